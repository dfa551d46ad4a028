"""One writer for a feed, and what it stores exactly once, however often it loses the database."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.database.locks import Lock, take_lock
from candleworks.errors import TerminalError
from candleworks.settings import Settings
from candleworks.simulate import running_simulator
from candleworks.storage import feeds
from tests.feed.streaming import (
    PATIENCE_SECONDS,
    count,
    price,
    read_journal,
    stored,
    streaming,
    trades_of,
    until,
)
from tests.feed.vendor import Vendor

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)  # nothing here depends on it
NOW = int(time.time())
WRITER = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE application_name = 'candleworks ingest twelvedata' AND datname = current_database()"
)
MARKS = "SELECT feed, sequence > 12 FROM candleworks.feed_marks"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait half a second for a feed that somebody has."""
    monkeypatch.setattr(feeds, "LOCK_WAIT_MS", 500)


def elsewhere(settings: Settings, home: Path) -> Settings:
    """The same feed on another machine: nothing in common but the database."""
    return settings.model_copy(update={"home": home})


def only_row(connection: Connection, question: str) -> tuple[Any, ...]:
    row = connection.execute(question).fetchone()
    assert row
    return row


def test_a_feed_is_ingested_once_per_home(settings: Settings, vendor: Vendor) -> None:
    """The second one does not even ask the database; the first goes on."""
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        with pytest.raises(TerminalError) as caught, streaming(settings, vendor.url, "AAPL") as second:
            second.wait()
    assert str(caught.value) == (
        f"Feed twelvedata is already being streamed (process {os.getpid()} uses"
        f" {settings.home / 'spool' / 'twelvedata'}): stop that one first."
    )
    assert len(vendor.paths) == 1


def test_a_feed_is_ingested_once_per_database(settings: Settings, vendor: Vendor, tmp_path: Path) -> None:
    """The second one does not ask the vendor, and names the lock owner; it may stream when that one ends."""
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        other = elsewhere(settings, tmp_path / "other")
        with pytest.raises(TerminalError) as caught, streaming(other, vendor.url, "AAPL") as second:
            second.wait()
    assert str(caught.value).startswith(
        "Feed twelvedata is already being streamed (candleworks ingest twelvedata, from this machine, since "
    )
    assert str(caught.value).endswith(" UTC): stop that one first.")
    assert len(vendor.paths) == 1
    with streaming(other, vendor.url, "AAPL"):
        until(lambda: len(vendor.received) == 2)


def test_after_a_lost_connection_the_feed_is_held_again(
    settings: Settings, vendor: Vendor, connection: Connection, tmp_path: Path
) -> None:
    """Its ticks are stored, and others are refused as before."""
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        connection.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM ({WRITER}) w")
        vendor.send(price(NOW))
        until(lambda: count(connection) == 1)
        other = elsewhere(settings, tmp_path / "other")
        with (
            pytest.raises(TerminalError, match="is already being streamed"),
            streaming(other, vendor.url, "AAPL") as second,
        ):
            second.wait()


def test_a_feed_that_somebody_else_took_is_let_go(
    settings: Settings, dsn: str, vendor: Vendor, connection: Connection
) -> None:
    """When it was lost with the connection; what came meanwhile stays on disk for the next start."""
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with (
        connect(dsn, "somebody else") as somebody,
        ThreadPoolExecutor(1) as threads,
        streaming(settings, vendor.url, "AAPL") as running,
    ):
        until(lambda: vendor.received)
        taking = threads.submit(take_lock, somebody, Lock.FEED, "twelvedata")
        until(lambda: only_row(connection, waiting) == (1,))
        connection.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM ({WRITER}) w")
        taking.result(PATIENCE_SECONDS)
        vendor.send(price(NOW))
        with pytest.raises(TerminalError) as caught:
            running.wait()
    assert str(caught.value).startswith(
        "Feed twelvedata is already being streamed (candleworks somebody else, from this machine,"
    )
    assert count(connection) == 0
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: count(connection) == 1)


def test_a_writer_that_is_cut_off_again_and_again_neither_doubles_nor_loses(
    settings: Settings, connection: Connection, tmp_path: Path
) -> None:
    """In the middle of its work; the mark in the database is the number of the last entry."""
    journal = tmp_path / "journal"
    kills = 0
    with (
        running_simulator(rate=3_000, symbols=["AAPL", "BTC/USD"], journal=journal) as simulator,
        streaming(settings, simulator.feed_url, "AAPL", "BTC/USD", flush_interval_ms=5),
    ):
        until(lambda: count(connection) > 100)
        for number in range(12):
            before = count(connection)
            while kills <= number:
                kills += len(connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({WRITER}) w").fetchall())
            until(lambda before=before: count(connection) > before)
    assert stored(connection) == trades_of(read_journal(journal))
    assert connection.execute(MARKS).fetchall() == [("twelvedata", True)]
    assert not list((settings.home / "spool").rglob("*.spool"))


@contextmanager
def commits_that_are_not_answered(connection: Connection) -> Iterator[None]:
    """The server waits, after it has committed, for a standby that does not exist."""
    connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    try:
        connection.execute("SELECT pg_reload_conf()")
        yield
    finally:
        connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        connection.execute("SELECT pg_reload_conf()")


def test_a_commit_of_which_no_word_came_is_not_repeated(
    settings: Settings, vendor: Vendor, connection: Connection
) -> None:
    """The connection ends after the commit and before the answer: what was committed is known by its mark."""
    stuck = f"{WRITER} AND wait_event = 'SyncRep'"
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        vendor.send(price(NOW, 1.0))
        until(lambda: count(connection) == 1)
        with commits_that_are_not_answered(connection):
            vendor.send(price(NOW, 2.0), price(NOW, 2.0))
            until(lambda: connection.execute(stuck).fetchall())
            assert count(connection) == 1
            connection.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM ({WRITER}) w")
            assert count(connection) == 3
            vendor.send(price(NOW, 3.0))
        until(lambda: count(connection) == 4)
    assert [row[0] for row in connection.execute("SELECT price FROM stocks_real_time ORDER BY time")] == [
        1.0,
        2.0,
        2.0,
        3.0,
    ]


def test_what_is_on_disk_already_stored_is_skipped(settings: Settings, vendor: Vendor, connection: Connection) -> None:
    """A crash after the commit and before the file was removed leaves it there: the marks tell."""
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        with connection.transaction():
            connection.execute("LOCK TABLE stocks_real_time")
            vendor.send(price(NOW, 1.0), price(NOW, 2.0))
            until(lambda: spooled(settings))
            kept = {path: path.read_bytes() for path in spooled(settings)}
        until(lambda: count(connection) == 2)
    assert not spooled(settings)
    for path, contents in kept.items():
        path.write_bytes(contents)
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: len(vendor.received) == 2)
        vendor.send(price(NOW, 3.0))
        until(lambda: count(connection) == 3)
    assert not spooled(settings)
    assert [row[0] for row in connection.execute("SELECT price FROM stocks_real_time ORDER BY time")] == [1.0, 2.0, 3.0]


def spooled(settings: Settings) -> list[Path]:
    return [path for path in (settings.home / "spool").rglob("*.spool") if path.stat().st_size > 100]
