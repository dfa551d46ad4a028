"""Which candles are closed, on either engine: their bucket is over and no tick of it may still be missing."""

from datetime import UTC, datetime, timedelta

import pytest

from candleworks import clock
from candleworks.database.connection import Connection
from tests.candles.conftest import Market, Tick

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def now(market: Market) -> datetime:
    """A tick in each of the last ten minutes and in this one, of a symbol that no feed streams."""
    now = clock.now()
    market.insert(Tick(now - minutes * MINUTE, "AAPL", 1.0 + minutes) for minutes in range(11))
    return now


def open_buckets(connection: Connection, period: str = "1 minute") -> list[datetime]:
    return [
        bucket.astimezone(UTC)
        for (bucket,) in connection.execute(
            "SELECT bucket FROM ohlc('AAPL', %s::interval, now() - interval '10 days', NULL) WHERE NOT closed", [period]
        )
    ]


def minute_of(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def feed(connection: Connection, heard: datetime | None, lag_ms: float = 5.0) -> None:
    """Make a feed that streams AAPL, whose statistics were written last at `heard`."""
    connection.execute(
        "INSERT INTO feed_symbols VALUES ('test', 'AAPL', 'streaming', NULL, %s)", [clock.now() - timedelta(hours=1)]
    )
    if heard:
        connection.execute(
            "INSERT INTO ingest_stats VALUES ('test', %s, 1, 1, %s, %s, %s, 0, 0, 0, 0, 0)", [heard, *[lag_ms] * 3]
        )


def gap(connection: Connection, start: datetime, stop: datetime | None, filled: datetime | None = None) -> int:
    row = connection.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason, filled_at)"
        " VALUES ('test', 'AAPL', %s, %s, 'disconnected', %s) RETURNING id",
        [start, stop, filled],
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_only_the_bucket_that_lasts_is_forming(connection: Connection, now: datetime) -> None:
    """Of every period, whatever it is computed from; a bucket counts as over two seconds after its end."""
    sure = connection.execute("SELECT now() - interval '2 seconds'").fetchone()
    assert sure is not None
    for period, width in {"1 minute": MINUTE, "7 minutes": 7 * MINUTE, "1 hour": timedelta(hours=1)}.items():
        rows = connection.execute(
            "SELECT bucket, closed, now() FROM ohlc('AAPL', %s, now() - interval '1 day', NULL)", [width]
        ).fetchall()
        assert rows, period
        assert all(closed == (bucket + width <= at - 2 * SECOND) for bucket, closed, at in rows), period
    assert not open_buckets(connection, "1 day") or open_buckets(connection, "1 day")[-1].date() <= now.date()


def test_a_minute_with_a_gap_closes_when_the_gap_is_settled(connection: Connection, now: datetime) -> None:
    """Filled, or tried with the result that there is nothing to fill it with; a failure settles nothing."""
    feed(connection, now)
    minute = minute_of(now) - 5 * MINUTE
    number = gap(connection, minute + 10 * SECOND, minute + 20 * SECOND)
    assert minute in open_buckets(connection)
    assert minute - MINUTE not in open_buckets(connection)
    connection.execute(
        "INSERT INTO gap_fills (gap_id, symbol, outcome, bars, reason, attempts, at)"
        " VALUES (%s, 'AAPL', 'failed', 0, 'no answer', 1, now())",
        [number],
    )
    assert minute in open_buckets(connection)
    connection.execute("UPDATE gap_fills SET outcome = 'empty'")
    assert minute not in open_buckets(connection)
    connection.execute("DELETE FROM gap_fills")
    connection.execute("UPDATE feed_gaps SET filled_at = now()")
    assert minute not in open_buckets(connection)


def test_nothing_closes_in_an_open_gap(connection: Connection, now: datetime) -> None:
    """Every candle since its beginning may lack ticks, and those before it are closed."""
    feed(connection, now)
    minute = minute_of(now) - 5 * MINUTE
    gap(connection, minute + SECOND, None)
    assert open_buckets(connection)[0] == minute


def test_nothing_closes_after_the_process_of_the_feed_died(connection: Connection, now: datetime) -> None:
    """Its gap is recorded only when it starts again; until then its statistics say how far candles are complete."""
    feed(connection, minute_of(now) - 4 * MINUTE + SECOND)
    assert open_buckets(connection)[0] == minute_of(now) - 4 * MINUTE


def test_candles_close_later_while_a_feed_stores_late(connection: Connection, now: datetime) -> None:
    """After an outage of the database, ticks that waited are written minutes late: the lag says how late."""
    feed(connection, clock.now(), lag_ms=3 * 60_000)
    assert open_buckets(connection)[0] in (minute_of(now) - 3 * MINUTE, minute_of(now) - 4 * MINUTE)


def test_a_feed_that_was_stopped_on_purpose_or_dropped_the_symbol_holds_nothing_open(
    connection: Connection, now: datetime
) -> None:
    """Imported history of a symbol that is no longer streamed is closed."""
    feed(connection, None)
    minute = minute_of(now) - 5 * MINUTE
    connection.execute("UPDATE feed_symbols SET since = %s", [minute])
    assert minute in open_buckets(connection)
    connection.execute("INSERT INTO feed_stops VALUES ('test', now(), 'maintenance', true)")
    assert minute not in open_buckets(connection)
    connection.execute("DELETE FROM feed_stops")
    connection.execute("UPDATE feed_symbols SET status = 'removed'")
    assert minute not in open_buckets(connection)


def test_filled_and_session_candles_say_the_same(connection: Connection, now: datetime) -> None:
    """Buckets without ticks too: a minute in which nobody listened is not closed, a quiet one is."""
    connection.execute("INSERT INTO candleworks.calendar_rules VALUES ('AAPL', '24/7')")
    feed(connection, now)
    minute = minute_of(now) - 5 * MINUTE
    gap(connection, minute + SECOND, minute + 2 * SECOND)
    rows = connection.execute(
        "SELECT bucket, closed FROM candles_filled('AAPL', '1 minute', %s, NULL) WHERE bucket < %s",
        [minute - 20 * MINUTE, minute_of(now) - MINUTE],
    ).fetchall()
    assert [bucket for bucket, closed in rows if not closed] == [minute]
    days = connection.execute("SELECT open_at, closed FROM session_candles('AAPL', NULL, NULL)").fetchall()
    assert days[-1][1] is False


@pytest.mark.usefixtures("now")
def test_a_reader_of_candles_alone_learns_what_is_closed(connection: Connection) -> None:
    """The function acts for its owner: gaps and statistics need no rights of their own."""
    connection.execute("CREATE ROLE closed_reader NOLOGIN")
    try:
        connection.execute("GRANT SELECT ON candles_1m TO closed_reader")
        connection.execute("SET ROLE closed_reader")
        found = connection.execute("SELECT closed FROM ohlc('AAPL', '1 minute', NULL, NULL)").fetchall()
        assert (True,) in found
    finally:
        connection.execute("RESET ROLE")
        connection.execute("DROP OWNED BY closed_reader")
        connection.execute("DROP ROLE closed_reader")
