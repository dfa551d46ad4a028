"""Partitions of ticks are dropped without a stop for those who read and write."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import pytest

from candleworks.candles.audit import audit
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.storage import tick_retention
from candleworks.storage.tick_retention import drop_ticks

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
TICKS = 12_000
OLDEST = (
    "SELECT partition, state FROM candleworks.tick_partitions WHERE relation = 'stocks_real_time' ORDER BY stop LIMIT 1"
)
LATE = "INSERT INTO stocks_real_time (time, symbol, price) VALUES (now() - interval '34 days', 'S1', 5)"


@pytest.fixture
def ticks(connection: Connection) -> Connection:
    """Five weeks of ticks, nothing refreshed yet."""
    connection.execute("SELECT candleworks.prepare_ticks(now() - interval '36 days', now() + interval '1 day')")
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price)"
        f" SELECT now() - n * interval '250 seconds', 'S' || n % 3, 100 + n % 13 FROM generate_series(1, {TICKS}) n"
    )
    return connection


@pytest.fixture
def reader(dsn: str) -> Iterator[Connection]:
    """A connection whose transaction goes on until it is ended."""
    with connect(dsn, "reader", autocommit=False) as connection:
        yield connection


def two_weeks_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=14)


@contextmanager
def writing(dsn: str) -> Iterator[Callable[[], timedelta]]:
    """Store a new tick every few milliseconds; yields what tells how long the slowest took."""
    took, over = [timedelta()], Event()

    def write() -> None:
        with connect(dsn, "writer") as connection:
            while not over.is_set():
                began = datetime.now(UTC)
                connection.execute(
                    "INSERT INTO stocks_real_time (time, symbol, price) VALUES (clock_timestamp(), 'W', 1)"
                )
                took.append(datetime.now(UTC) - began)

    thread = Thread(target=write)
    thread.start()
    try:
        yield lambda: max(took)
    finally:
        over.set()
        thread.join()


def candle_ticks(connection: Connection) -> int:
    row = connection.execute("SELECT sum(ticks)::bigint FROM candles_1d").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drop that does not wait for long."""
    monkeypatch.setattr(tick_retention, "LOCK_TIMEOUT", "1500ms")


def test_a_tick_that_comes_while_ticks_are_dropped_still_counts(ticks: Connection) -> None:
    """Between the last refresh and the drop a tick may come: its candle is stored before the partition goes."""
    refresh(ticks)
    ticks.execute(LATE)
    assert drop_ticks(ticks, "stocks_real_time", two_weeks_ago()) >= 2
    refresh(ticks)
    assert ticks.execute("SELECT count(*) FROM candles_1d WHERE low = 5").fetchone() == (1,)
    assert candle_ticks(ticks) == TICKS + 1


@pytest.mark.usefixtures("short_waits")
def test_a_long_reader_neither_waits_nor_makes_writers_wait(
    ticks: Connection, reader: Connection, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Ticks that it has seen stay until its transaction is over; the next maintenance drops them."""
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    assert reader.execute("SELECT count(*) FROM stocks_real_time").fetchone() == (TICKS,)
    with writing(dsn) as slowest, caplog.at_level(logging.WARNING):
        assert drop_ticks(ticks, "stocks_real_time", two_weeks_ago()) == 0
        assert reader.execute("SELECT count(*) FROM stocks_real_time").fetchone() == (TICKS,)
    assert slowest() < timedelta(seconds=1)
    partition, state = ticks.execute(OLDEST).fetchone() or ("", "")
    assert state == "detaching"
    (warning,) = caplog.messages
    assert warning == (
        f"The ticks in candleworks.{partition} are still used by a transaction that began before they were to be"
        " dropped: the next `candleworks maintain` drops them."
    )
    reader.rollback()
    assert drop_ticks(ticks, "stocks_real_time", two_weeks_ago()) >= 2
    refresh(ticks)
    assert audit(ticks, None, None).differences == []
    assert ticks.execute("SHOW lock_timeout").fetchone() == ("5min",)


@pytest.mark.usefixtures("short_waits")
def test_a_reader_that_stays_keeps_the_drop_waiting(ticks: Connection, reader: Connection) -> None:
    """The detach that it held up is finished by none but the first call after its end."""
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    reader.execute("SELECT count(*) FROM stocks_real_time")
    for _ in range(2):
        assert drop_ticks(ticks, "stocks_real_time", two_weeks_ago()) == 0
    assert reader.execute("SELECT count(*) FROM stocks_real_time").fetchone() == (TICKS,)


def test_a_drop_is_resumed_after_the_detach(ticks: Connection) -> None:
    """A process that ends between the two leaves a table beside the ticks."""
    refresh(ticks)
    partition, _ = ticks.execute(OLDEST).fetchone() or ("", "")
    ticks.execute(f"ALTER TABLE stocks_real_time DETACH PARTITION candleworks.{partition} CONCURRENTLY")
    assert ticks.execute(OLDEST).fetchone() == (partition, "detached")
    drop_ticks(ticks, "stocks_real_time", two_weeks_ago())
    assert ticks.execute("SELECT to_regclass(%s)", [f"candleworks.{partition}"]).fetchone() == (None,)
    assert candle_ticks(ticks) == TICKS


def test_a_writer_that_is_not_done_is_waited_for(ticks: Connection, reader: Connection) -> None:
    """Its tick counts, because the partition is closed after its end."""
    reader.execute(LATE)
    thread = Thread(target=drop_ticks, args=(ticks, "stocks_real_time", two_weeks_ago()))
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    reader.commit()
    thread.join(20)
    refresh(ticks)
    assert candle_ticks(ticks) == TICKS + 1


def test_ticks_have_no_default_partition(ticks: Connection) -> None:
    """With one, PostgreSQL detaches nothing concurrently; weeks get theirs before their first tick comes."""
    assert ticks.execute("SELECT DISTINCT partdefid::bigint FROM pg_partitioned_table").fetchall() == [(0,)]


def test_a_week_without_ticks_does_not_keep_later_ones_from_candles(connection: Connection) -> None:
    """Its partition is dropped like any other; history that is imported afterwards gets its candles."""
    old = "now() - interval '40 days'"
    connection.execute(f"SELECT candleworks.prepare_ticks({old}, {old})")
    assert drop_ticks(connection, "stocks_real_time", two_weeks_ago()) == 1
    connection.execute(f"SELECT candleworks.prepare_ticks({old}, {old})")
    connection.execute(f"INSERT INTO stocks_real_time (time, symbol, price) VALUES ({old}, 'A', 1)")
    refresh(connection)
    assert candle_ticks(connection) == 1
