import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import typer
from typer.testing import CliRunner

from candleworks.cli.simulate import simulate
from candleworks.errors import TerminalError
from candleworks.simulate import running_simulator

PROGRAM = "import typer; from candleworks.cli.simulate import simulate; typer.run(simulate)"


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running command and the line that it prints when it is ready."""
    command = [sys.executable, "-c", PROGRAM, "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_command_serves_until_a_signal_comes(number: signal.Signals) -> None:
    """It prints both addresses in one line, answers there, and ends with status 0 and nothing more to say."""
    with started("--rate", "5") as (process, line):
        found = re.fullmatch(r"simulated feed (ws://127\.0\.0\.1:\d+/v1/quotes/price) and REST (http://\S+)\n", line)
        assert found, line
        assert httpx.get(f"{found[2]}/stocks", params={"apikey": "demo"}).status_code == 200
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
        assert (process.returncode, output) == (0, "")


def test_the_command_ends_by_itself_after_its_duration() -> None:
    """With status 0."""
    with started("--duration", "0.2") as (process, _):
        assert process.wait(timeout=30) == 0


def test_the_command_takes_keys_to_refuse() -> None:
    """Each one is answered 401."""
    with started("--refuse-key", "a", "--refuse-key", "b") as (_, line):
        address = f"{line.split()[-1]}/stocks"
        statuses = [httpx.get(address, params={"apikey": key}).status_code for key in "abc"]
        assert statuses == [401, 401, 200]


def test_a_port_in_use_ends_the_command() -> None:
    """The error is one for which the command line exits with status 1."""
    app = typer.Typer()
    app.command()(simulate)
    with running_simulator() as simulator:
        result = CliRunner().invoke(app, ["--port", str(simulator.port)])
    assert isinstance(result.exception, TerminalError)
    assert result.exception.exit_code == 1
    assert str(result.exception).startswith(f"port {simulator.port} on 127.0.0.1 is in use")


def test_every_option_is_explained() -> None:
    """The help names each one."""
    app = typer.Typer()
    app.command()(simulate)
    help_text = CliRunner().invoke(app, ["--help"]).output
    for option in ("host", "port", "rate", "symbols", "seed", "replay", "speed", "keep-times", "close-at-end"):
        assert f"--{option}" in help_text
