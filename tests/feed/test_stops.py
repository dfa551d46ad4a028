"""A stop ends within its time whatever the database does, and loses nothing."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from candleworks.database.connection import connect
from candleworks.database.migrations import migrate
from candleworks.settings import load_settings
from tests.cli.commands import ended, started
from tests.feed.stalls import (
    STALLS,
    StallingServer,
    packets_dropped,
    schema_locked,
    server_stopped,
    stalling_server,
)
from tests.feed.streaming import count, price, until
from tests.feed.vendor import Vendor

STOP_SECONDS = 10  # what a stop may take at most
START_SECONDS = 60  # what a start may take on a busy machine
NOW = int(time.time())


@pytest.fixture
def stalling(tmp_path: Path) -> Iterator[StallingServer]:
    with stalling_server(tmp_path / "server") as found:
        migrate(found.server.dsn, load_settings({"CANDLEWORKS_HOME": str(tmp_path / "home")}))
        yield found


def configuration(directory: Path, dsn: str, vendor: Vendor) -> dict[str, object]:
    """The variables of an ingest of one symbol."""
    path = directory / "feed.yaml"
    path.write_text(json.dumps({"feeds": [{"symbols": ["AAPL"], "backfill_days": 0}]}))
    return {
        "CANDLEWORKS_DSN": dsn,
        "CANDLEWORKS_CONFIG": path,
        "CANDLEWORKS_FEED_URL": vendor.url,
        "TWELVEDATA_API_KEY": "key",
    }


@pytest.mark.parametrize("stall", STALLS)
def test_a_stop_does_not_wait_for_a_database_that_does_not_answer(
    stalling: StallingServer,
    stall: Callable[[StallingServer], AbstractContextManager[None]],
    vendor: Vendor,
    tmp_path: Path,
) -> None:
    """What came meanwhile is on disk, and the next start stores it: each tick once."""
    variables = configuration(tmp_path, stalling.dsn, vendor)
    with connect(stalling.server.dsn) as connection:
        with started("ingest", directory=tmp_path, **variables) as process:
            until(lambda: vendor.send(price(NOW, 1.0)))
            until(lambda: count(connection) == 1)
            with stall(stalling):
                for number in range(2, 12):
                    vendor.send(price(NOW, float(number)))
                    time.sleep(0.1)
                began = time.monotonic()
                process.send_signal(signal.SIGTERM)
                stopped = ended(process, 60)
                seconds = time.monotonic() - began
        assert seconds < STOP_SECONDS
        assert stopped.status == 0
        assert "10 ticks kept in" in stopped.errors
        assert "Traceback" not in stopped.errors
        with started("ingest", directory=tmp_path, **variables) as process:
            until(lambda: count(connection) == 11, START_SECONDS)
            process.send_signal(signal.SIGTERM)
            assert ended(process).status == 0
    assert not list((tmp_path / "home" / "spool").rglob("*.spool"))


@pytest.mark.parametrize("stall", [server_stopped, packets_dropped, schema_locked])
def test_a_start_that_the_database_does_not_answer_can_be_stopped(
    stalling: StallingServer,
    stall: Callable[[StallingServer], AbstractContextManager[None]],
    vendor: Vendor,
    tmp_path: Path,
) -> None:
    """Whatever it was waiting for: a connection, an answer, a lock."""
    with (
        stall(stalling),
        started("ingest", directory=tmp_path, **configuration(tmp_path, stalling.dsn, vendor)) as process,
    ):
        until(lambda: stalling.proxy.connections)
        time.sleep(1)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        stopped = ended(process, 60)
        assert time.monotonic() - began < STOP_SECONDS
    assert "Traceback" not in stopped.errors
