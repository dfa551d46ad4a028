"""`up` where it cannot start, is interrupted, or loses a part of itself."""

import os
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

from candleworks.database.engine import Engine
from candleworks.simulate import running_simulator
from tests.acceptance.platform import database_of, free_port, platform, processes_of
from tests.cli.commands import candleworks


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """With the setting that changes it; nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        ended = candleworks("up", "--no-prefect", directory=tmp_path, CANDLEWORKS_WEB_PORT=port)
    sentence = (
        f"Port {port} for the chart page is in use by process {os.getpid()} ({psutil.Process().name()}): stop the"
        " process that listens on it, or set CANDLEWORKS_WEB_PORT.\n"
    )
    assert ended == (1, "", sentence)
    assert processes_of(tmp_path / "home") == []


def test_a_port_in_use_by_prefect_is_named_too(tmp_path: Path) -> None:
    """Another Prefect server may well be there."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        ended = candleworks("up", directory=tmp_path, CANDLEWORKS_WEB_PORT=free_port(), CANDLEWORKS_PREFECT_PORT=port)
    sentence = (
        f"Port {port} for Prefect is in use by process {os.getpid()} ({psutil.Process().name()}): stop the process that"
        " listens on it, or set CANDLEWORKS_PREFECT_PORT.\n"
    )
    assert ended == (1, "", sentence)
    assert processes_of(tmp_path / "home") == []


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_a_refused_key_ends_it_with_one_line(dsn: str, tmp_path: Path) -> None:
    """Status 1: without its only feed there is nothing to show."""
    with (
        running_simulator(refused_keys=("s3cret",)) as simulator,
        platform(
            tmp_path, CANDLEWORKS_DSN=dsn, CANDLEWORKS_FEED_URL=simulator.feed_url, TWELVEDATA_API_KEY="s3cret"
        ) as up,
    ):
        assert up.wait() == 1
        assert processes_of(up.home) == []
    assert up.output.splitlines()[-1] == (
        f"The ingest of twelvedata has stopped: Feed twelvedata: {simulator.feed_url} rejected the API key (HTTP 401):"
        f" correct TWELVEDATA_API_KEY. (log: {up.home}/logs/ingest-twelvedata.log)"
    )
    assert "s3cret" not in up.output
    assert "Traceback" not in up.output


@pytest.mark.parametrize("seconds", [0.3, 1.2])
def test_a_signal_during_the_start_leaves_nothing_behind(tmp_path: Path, seconds: float) -> None:
    """No process, and no home that cannot be started any more."""
    with platform(tmp_path) as up:
        time.sleep(seconds)
        up.process.send_signal(signal.SIGTERM)
        up.wait()
        assert processes_of(up.home) == []
        assert "Traceback" not in up.output
    with database_of(tmp_path / "home") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
