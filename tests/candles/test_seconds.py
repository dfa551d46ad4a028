"""Candles of seconds, computed from ticks, on either engine."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candleworks import clock
from candleworks.database.connection import Connection
from tests.candles.conftest import Market, Tick, candle_of, tick

START = datetime(2022, 10, 19, 12, tzinfo=UTC)
MONDAY = datetime(2000, 1, 3, tzinfo=UTC)
PERIODS = (1, 2, 5, 7, 15, 30, 59)


def seconds(connection: Connection, period: int, start: datetime, stop: datetime | None) -> list[tuple[object, ...]]:
    return [
        (row[0].astimezone(UTC), *row[1:])
        for row in connection.execute(
            "SELECT bucket, open, high, low, close, volume, ticks FROM ohlc('AAPL', %s, %s, %s)",
            [timedelta(seconds=period), start, stop],
        )
    ]


def expected(ticks: list[Tick], period: int) -> list[tuple[object, ...]]:
    width = timedelta(seconds=period)
    groups: dict[datetime, list[Tick]] = {}
    for one in sorted(ticks):
        groups.setdefault(one.time - (one.time - MONDAY) % width, []).append(one)
    candles = ((start, candle_of(group, width)) for start, group in groups.items())
    return [(start, c.open, c.high, c.low, c.close, c.volume, c.ticks) for start, c in candles]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offsets=st.lists(st.integers(0, 240_000), min_size=1, max_size=60, unique=True))
def test_every_period_of_seconds_is_what_the_ticks_say(
    connection: Connection, market: Market, offsets: list[int]
) -> None:
    """Also those that divide no minute, which are counted from Monday 2000-01-03 like all others."""
    connection.execute("TRUNCATE stocks_real_time")
    ticks = [
        Tick(START + timedelta(milliseconds=at), "AAPL", 100.0 + at % 13, None, float(at % 5) or None) for at in offsets
    ]
    market.insert(ticks)
    for period in PERIODS:
        assert seconds(connection, period, START, START + timedelta(minutes=5)) == expected(ticks, period)


def test_a_range_of_seconds_holds_its_start_and_not_its_end(connection: Connection, market: Market) -> None:
    """As with longer periods: the candles that overlap the range are whole."""
    market.insert(tick(f"2022-10-19 12:00:{second:02}", float(second)) for second in range(0, 30, 5))
    found = seconds(connection, 15, START + timedelta(seconds=10), START + timedelta(seconds=15))
    assert [(row[1], row[4]) for row in found] == [(0.0, 10.0)]
    assert (
        len(seconds(connection, 15, START + timedelta(seconds=10), START + timedelta(seconds=15, microseconds=1))) == 2
    )


def test_seconds_need_a_range_of_a_week_at_most(connection: Connection) -> None:
    """Ticks are read one by one: without bounds that would be the whole history."""
    for start, stop in ((None, START), (START, START + timedelta(days=7, seconds=1)), (None, None)):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as error:
            connection.execute("SELECT FROM ohlc('AAPL', '1 second', %s, %s)", [start, stop])
        assert "it must be at most 7 days for periods below a minute." in str(error.value)
    connection.execute("SELECT FROM ohlc('AAPL', '1 second', %s, NULL)", [clock.now() - timedelta(days=6)])


def test_bars_of_a_minute_say_nothing_of_its_seconds(connection: Connection, market: Market) -> None:
    """A filled gap has candles of minutes, and none of seconds."""
    market.insert([tick("2022-10-19 12:00:01", 1.0, origin="bar"), tick("2022-10-19 12:01:01", 2.0)])
    assert [row[1] for row in seconds(connection, 1, START, START + timedelta(minutes=5))] == [2.0]
    assert len(seconds(connection, 60, START, START + timedelta(minutes=5))) == 2


def test_quotes_have_seconds_on_every_side(connection: Connection) -> None:
    """Mid is half way between bid and ask."""
    connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [START, START])
    connection.execute(
        "INSERT INTO quotes (time, symbol, bid, ask) VALUES (%s, 'EUR/USD', 1.0, 1.5), (%s, 'EUR/USD', 1.25, 1.75)",
        [START, START + timedelta(milliseconds=500)],
    )
    for side, close in (("bid", 1.25), ("ask", 1.75), ("mid", 1.5)):
        found = connection.execute(
            "SELECT close, ticks FROM ohlc('EUR/USD', '1 second', %s, %s, %s)",
            [START, START + timedelta(minutes=1), side],
        ).fetchall()
        assert found == [(close, 2)]


def test_buckets_of_seconds_without_ticks_carry_the_last_price(connection: Connection, market: Market) -> None:
    """candles_filled() knows them too, and carries the last tick from before the range, even of the same minute."""
    market.insert([tick("2022-10-19 12:00:01", 5.0), tick("2022-10-19 12:00:30", 6.0)])
    connection.execute("INSERT INTO candleworks.calendar_rules VALUES ('AAPL', '24/7')")
    rows = connection.execute(
        "SELECT close, status FROM candles_filled('AAPL', '5 seconds', %s, %s, true)",
        [START + timedelta(seconds=20), START + timedelta(seconds=40)],
    ).fetchall()
    assert rows == [(5.0, "quiet"), (5.0, "quiet"), (6.0, "traded"), (6.0, "quiet")]
