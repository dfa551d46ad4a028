"""What the command line says about itself."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from candleworks import __version__
from candleworks.cli.groups import LazyCommand
from candleworks.cli.main import SYNONYMS, app
from tests.cli.commands import candleworks, environment
from tests.cli.conftest import Invoke

PROGRAM: Any = typer.main.get_command(app)
# Half a second and 100 MB: what neither help nor a look at the database needs.
HEAVY = ("polars", "fastapi", "great_expectations", "prefect", "pyarrow", "exchange_calendars", "numpy", "picows")


def commands(of: Any, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each command with the first sentence of its help."""
    for name, lazy in of.commands.items():
        command = lazy.load() if isinstance(lazy, LazyCommand) else lazy
        yield (*path, name), command.help.splitlines()[0]
        if isinstance(command, TyperGroup):
            yield from commands(command, *path, name)


@pytest.mark.parametrize(
    ("command", "sentence"), [pytest.param(*each, id=" ".join(each[0])) for each in commands(PROGRAM)]
)
def test_every_command_says_what_it_does(invoke: Invoke, command: tuple[str, ...], sentence: str) -> None:
    """`--help` shows its options and begins with a whole sentence."""
    ended = invoke(*command, "--help")
    words = " ".join(ended.output.split())
    assert (ended.status, ended.errors) == (0, "")
    assert words.startswith(f"Usage: candleworks {' '.join(command)} ")
    assert sentence in words
    assert sentence[0].isupper()
    assert "--help" in words


def test_the_program_lists_its_commands(tmp_path: Path) -> None:
    """As a process, with status 0, each with its own first sentence, at most 80 columns wide."""
    ended = candleworks("--help", directory=tmp_path)
    assert (ended.status, ended.errors) == (0, "")
    words = " ".join(ended.output.split())
    for command, sentence in commands(PROGRAM):
        assert len(command) > 1 or f" {command[0]} {sentence}" in words
    assert max(map(len, ended.output.splitlines())) <= 80


def test_without_arguments_it_says_how_to_start(tmp_path: Path) -> None:
    """Three commands, as they can be typed here, and how to see all; status 0."""
    ended = candleworks(directory=tmp_path)
    assert (ended.status, ended.errors) == (0, "")
    program = f"{sys.executable} -m candleworks"
    assert [line.strip() for line in ended.output.splitlines() if line.startswith(f"  {program}")] == [
        f"{program} up",
        f"{program} import ticks.csv",
        f"{program} doctor",
    ]
    assert ended.output.endswith(f"{program} --help lists all commands, and COMMAND --help explains one.\n")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [], ["status"], ["dsn"], ["up", "--help"]])
def test_a_command_imports_what_it_needs(dsn: str, tmp_path: Path, arguments: list[str]) -> None:
    """Not what other commands need."""
    program = f"""
import atexit, json, sys
from candleworks.cli.main import main
atexit.register(lambda: print(json.dumps([name for name in {HEAVY} if name in sys.modules]), file=sys.stderr))
sys.argv[1:] = {arguments}
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(CANDLEWORKS_DSN=dsn, CANDLEWORKS_HOME=tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stderr) == []


def test_the_program_knows_its_version(invoke: Invoke) -> None:
    """The one of the package."""
    assert invoke("--version") == (0, f"candleworks {__version__}\n", "")


@pytest.mark.parametrize("arguments", [("status", "--bogus"), ("bogus",), ("import",), ("up", "--duration", "soon")])
def test_a_wrong_call_is_told_apart_from_a_failure(invoke: Invoke, arguments: tuple[str, ...]) -> None:
    """Status 2, nothing on standard output, and a hint at --help."""
    ended = invoke(*arguments)
    assert (ended.status, ended.output) == (2, "")
    assert "--help" in ended.errors
    assert "Traceback" not in ended.errors


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["statu"], "status"),
        (["fill_gaps"], "fill-gaps"),
        (["alerts", "silense"], "silence"),
        (["start"], "up"),
        (["version"], "--version"),
    ],
)
def test_a_mistyped_command_is_suggested(invoke: Invoke, typed: list[str], meant: str) -> None:
    """The nearest first."""
    ended = invoke(*typed)
    assert (ended.status, ended.output) == (2, "")
    assert f"No such command '{typed[-1]}'. Did you mean '{meant}'" in ended.errors


@pytest.mark.parametrize("synonym", SYNONYMS)
def test_a_word_of_other_programs_leads_to_ours(synonym: str) -> None:
    """No command has that name, and the one that it leads to exists."""
    assert synonym not in PROGRAM.commands
    assert SYNONYMS[synonym] in [*PROGRAM.commands, "--version", "--help"]


def completed(tmp_path: Path, shell: str, *words: str) -> list[str]:
    """What the shell is offered after these words."""
    (tmp_path / "candleworks.yaml").write_text("feeds: [{name: stocks, symbols: [AAPL, AMZN, MSFT]}]")
    line = " ".join(("candleworks", *words))
    variables = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words))},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    ended = candleworks(directory=tmp_path, _CANDLEWORKS_COMPLETE=f"complete_{shell}", **variables)
    assert (ended.status, ended.errors) == (0, "")
    return re.findall(r'^"?([A-Za-z0-9./_-]+)', ended.output.replace("_arguments '*: :((", ""), re.MULTILINE)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["s"], ["status", "sync-companies", "serve", "simulate"]),
        (["alerts", "un"], ["unsilence"]),
        (["export", "candles_1"], ["candles_1m", "candles_15m", "candles_1h", "candles_1d"]),
        (["ingest", "--feed", ""], ["stocks"]),
        (["fill-gaps", "--symbol", "A"], ["AAPL", "AMZN"]),
        (["check", "t"], ["ticks"]),
        (["doctor", "--j"], ["--json"]),
    ],
)
def test_shells_complete(tmp_path: Path, shell: str, words: list[str], offered: list[str]) -> None:
    """Commands, options, and the names of the configuration."""
    assert completed(tmp_path, shell, *words) == offered


def test_bash_completes_with_the_script_that_it_is_given(tmp_path: Path) -> None:
    """As a person's shell does after `source <(candleworks --show-completion)`."""
    candleworks_program = Path(sys.executable).parent / "candleworks"
    script = f"""
candleworks() {{ {candleworks_program} "$@"; }}
eval "$({candleworks_program} --show-completion)"
COMP_WORDS=(candleworks dsn --he) COMP_CWORD=2
_candleworks_completion {candleworks_program}
echo "${{COMPREPLY[@]}}"; complete -p candleworks
"""
    done = subprocess.run(
        ["/bin/bash", "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "--help\ncomplete -o default -F _candleworks_completion candleworks\n"


def test_ctrl_c_is_quiet_while_modules_are_imported(tmp_path: Path) -> None:
    """The first tenth of a second is nothing else."""
    program = """
import builtins
original = builtins.__import__
def interrupted(name, *arguments):
    if name == "typer":
        raise KeyboardInterrupt
    return original(name, *arguments)
builtins.__import__ = interrupted
from candleworks.cli import run
run()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
