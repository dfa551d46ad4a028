"""History beside a stream: it comes within seconds of the first tick, ends with its parent, and never disturbs."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.simulate import RunningSimulator, running_simulator
from tests.cli.commands import started
from tests.feed.streaming import until

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
SYMBOLS = ["AAPL", "BTC/USD"]


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    with running_simulator(rate=20, symbols=[*SYMBOLS, "MSFT"]) as running:
        yield running


@pytest.fixture
def variables(dsn: str, simulator: RunningSimulator) -> dict[str, str]:
    return {
        "CANDLEWORKS_DSN": dsn,
        "CANDLEWORKS_FEED_URL": simulator.feed_url,
        "CANDLEWORKS_REST_URL": simulator.rest_url,
        "CANDLEWORKS_SIMULATED": "true",
    }


def configure(directory: Path, *symbols: str, days: int = 2) -> None:
    feed = {"name": "twelvedata", "symbols": list(symbols), "backfill_days": days}
    (directory / "candleworks.yaml").write_text(json.dumps({"feeds": [feed]}))


def loaded(connection: Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT symbol, outcome FROM backfills").fetchall())


def history_processes(parent: int) -> list[psutil.Process]:
    children = (each for each in psutil.Process(parent).children() if each.status() != psutil.STATUS_ZOMBIE)
    return [each for each in children if "backfill" in each.cmdline()]


def test_history_and_names_come_by_themselves(
    connection: Connection, variables: dict[str, str], tmp_path: Path
) -> None:
    """For the symbols of the start, and for one that a reload adds, from a process that stands back."""
    configure(tmp_path, *SYMBOLS)
    with started("ingest", directory=tmp_path, **variables) as ingest:
        until(lambda: history_processes(ingest.pid))
        assert history_processes(ingest.pid)[0].nice() >= 10
        until(lambda: set(loaded(connection)) == set(SYMBOLS) and "loading" not in loaded(connection).values())
        days = connection.execute("SELECT symbol, count(*) FROM candles_1d GROUP BY 1 ORDER BY 1").fetchall()
        assert days == [("AAPL", 3), ("BTC/USD", 3)]
        names = connection.execute("SELECT symbol, name FROM company ORDER BY 1").fetchall()
        assert names == [("AAPL", "Apple Inc."), ("BTC/USD", "Bitcoin / US Dollar")]
        configure(tmp_path, *SYMBOLS, "MSFT")
        ingest.send_signal(signal.SIGHUP)
        until(lambda: loaded(connection).get("MSFT", "loading") != "loading")
        assert connection.execute("SELECT count(*) FROM company WHERE symbol = 'MSFT'").fetchone() == (1,)
        ingest.send_signal(signal.SIGTERM)
        assert ingest.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_its_parent(variables: dict[str, str], tmp_path: Path, number: signal.Signals) -> None:
    """Also when that is killed."""
    configure(tmp_path, *SYMBOLS, days=170)
    with started("ingest", directory=tmp_path, **variables) as ingest:
        until(lambda: history_processes(ingest.pid))
        child = history_processes(ingest.pid)[0]
        os.kill(ingest.pid, number)
        ingest.wait(30)
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_failure_disturbs_nothing(connection: Connection, variables: dict[str, str], tmp_path: Path) -> None:
    """It is logged, and recorded; the stream goes on, and nothing is tried over and over."""
    configure(tmp_path, *SYMBOLS)
    with started("ingest", directory=tmp_path, **variables | {"CANDLEWORKS_REST_URL": "http://127.0.0.1:9"}) as ingest:
        until(lambda: list(loaded(connection).values()) == ["failed", "failed"])
        until(lambda: not history_processes(ingest.pid))
        before = connection.execute("SELECT count(*) FROM stocks_real_time").fetchone()
        time.sleep(6)
        assert not history_processes(ingest.pid)
        after = connection.execute("SELECT count(*) FROM stocks_real_time").fetchone()
        ingest.send_signal(signal.SIGTERM)
        assert (ingest.wait(30), before < after) == (0, True)
        assert ingest.stderr
        assert "the history is not complete, it is tried again in 60 s" in ingest.stderr.read()
