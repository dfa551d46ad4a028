"""What was traded while nobody listened is told apart from what was traded in the minute of the next tick."""

from datetime import datetime, timedelta

import pytest

from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.model.bars import LIVE_ORIGIN
from candleworks.storage.trades import TradeStore
from tests.storage.conftest import ZONES, Book, Trade, at

NOON = at("2022-10-19 16:00:00")
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
GAP = (NOON + 3 * MINUTE + 50 * SECOND, NOON + 8 * MINUTE + 2 * SECOND)


def ticks(first: int, count: int) -> list[Trade]:
    """A trade every ten seconds, from so many on after noon, of 10 shares each."""
    return [Trade(NOON + n * 10 * SECOND, "AAPL", 1.0, 1_000.0 + 10 * n) for n in range(first, first + count)]


@pytest.fixture
def interrupted(book: Book) -> Book:
    """A feed that was down from the 23rd tick to the 49th, which has the volume of 26 ticks."""
    store(book, [Trade(NOON - DAY, "AAPL", 1.0, 5.0), *ticks(0, 24), *ticks(49, 20)])
    gap(book, *GAP)
    return book


def store(book: Book, rows: list[Trade], origin: str = LIVE_ORIGIN) -> None:
    book.merge(rows, store=TradeStore(book.connection, origin, ZONES.__getitem__))
    refresh(book.connection)


def gap(book: Book, start: datetime, stop: datetime | None) -> None:
    book.connection.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason)"
        " VALUES ('stocks', 'AAPL', %s, %s, 'dropped')",
        [start, stop],
    )


def before(connection: Connection, period: str, start: datetime | None = None, stop: datetime | None = None) -> object:
    return connection.execute(
        "SELECT bucket, volume_before FROM volume_before('AAPL', %s::interval, %s, %s)", [period, start, stop]
    ).fetchall()


def test_the_candle_after_a_gap_says_what_was_traded_before_it(interrupted: Book) -> None:
    """Of a total that counts on; with the rest it is the volume of the candle."""
    minute = NOON + 8 * MINUTE
    assert before(interrupted.connection, "1 minute") == [(minute, 260.0)]
    candle = interrupted.connection.execute("SELECT volume FROM candles_1m WHERE bucket = %s", [minute]).fetchone()
    assert candle == (260.0 + 40.0,)


def test_a_candle_that_holds_the_gap_traded_it(interrupted: Book) -> None:
    """Nothing of its volume lies before its first tick."""
    assert before(interrupted.connection, "1 hour") == []
    assert before(interrupted.connection, "5 minutes") == [(NOON + 5 * MINUTE, 260.0)]


def test_ranges_hold_whole_candles(interrupted: Book) -> None:
    """As those of ohlc(): a gap before the range is known, one after it is not looked at."""
    minute = NOON + 8 * MINUTE
    connection = interrupted.connection
    assert before(connection, "1 minute", minute + 20 * SECOND, minute + 21 * SECOND) == [(minute, 260.0)]
    assert before(connection, "1 minute", minute + MINUTE, minute + 9 * MINUTE) == []
    assert before(connection, "1 minute", NOON, minute) == []


def test_a_snapshot_inside_the_gap_has_the_volume_until_then(interrupted: Book) -> None:
    """The vendor's last trade from before the feed was back, and the next tick, each in its own minute."""
    store(interrupted, ticks(44, 1))
    assert before(interrupted.connection, "1 minute") == [(NOON + 7 * MINUTE, 210.0), (NOON + 8 * MINUTE, 50.0)]
    assert before(interrupted.connection, "5 minutes") == [(NOON + 5 * MINUTE, 210.0)]


def test_a_gap_that_bars_fill_left_nothing_before(interrupted: Book) -> None:
    """The bars have the volume, whether or not the whole gap is filled."""
    interrupted.connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price, day_volume, volume, origin)"
        " VALUES (%s, 'AAPL', 1, 1480, 250, 'bar')",
        [GAP[1] - SECOND],
    )
    assert before(interrupted.connection, "1 minute") == []


def test_a_filled_gap_and_an_open_one_say_nothing(interrupted: Book) -> None:
    """One is settled; after the other nothing has come."""
    interrupted.connection.execute("UPDATE feed_gaps SET filled_at = now()")
    gap(interrupted, NOON + 11 * MINUTE + 20 * SECOND, None)
    assert before(interrupted.connection, "1 minute") == []


def test_a_file_does_not_stand_for_the_feed(interrupted: Book) -> None:
    """Trades of another source around the gap are not what the feed missed."""
    store(
        interrupted, [row._replace(day_volume=9e6, event_time=row.event_time + SECOND) for row in ticks(47, 2)], "file"
    )
    assert before(interrupted.connection, "1 minute") == [(NOON + 8 * MINUTE, 260.0)]


def test_the_dashboard_draws_the_rest(interrupted: Book) -> None:
    """The volume of the candle without that part."""
    rows = interrupted.connection.execute(
        "SELECT time, volume FROM dashboards.candles('AAPL', '1 minute', %s, %s, 'trade') WHERE open IS NOT NULL",
        [NOON + 8 * MINUTE, NOON + 10 * MINUTE - SECOND],
    ).fetchall()
    assert rows == [(NOON + 8 * MINUTE, 40.0), (NOON + 9 * MINUTE, 60.0)]
