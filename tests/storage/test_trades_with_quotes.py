"""Trades with the quotes that were in force, on either engine, compared with DuckDB's ASOF JOIN."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import duckdb
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candleworks.database.connection import Connection

START = datetime(2026, 3, 2, 15, tzinfo=UTC)
STOP = START + timedelta(minutes=1)
# The rule a second time: prices are whole, so that the mid is exact, and a window over all trades finds changes.
DUCKDB = """
WITH moves AS (
    SELECT *, price - lag(price) OVER (ORDER BY time) AS move FROM trades
), signed AS (
    SELECT *, last_value(CASE WHEN move <> 0 THEN sign(move) END IGNORE NULLS) OVER (ORDER BY time) AS tick FROM moves
)
SELECT t.time, t.price, q.time, q.bid, q.ask, CASE
    WHEN q.time IS NULL THEN NULL
    WHEN 2 * t.price <> q.bid + q.ask THEN CASE WHEN 2 * t.price > q.bid + q.ask THEN 'buy' ELSE 'sell' END
    WHEN tick > 0 THEN 'buy'
    WHEN tick < 0 THEN 'sell'
END
FROM signed t ASOF LEFT JOIN quotes q ON t.time >= q.time
WHERE t.time >= ? AND t.time < ?
ORDER BY t.time
"""


class Quote(NamedTuple):
    at: int
    bid: int
    spread: int


def moment(at: int) -> datetime:
    """A time at so many quarters of a second from the start."""
    return START + timedelta(seconds=at / 4)


def insert(
    connection: Connection,
    trades: list[tuple[int, float]],
    quotes: list[tuple[int, float, float]],
    origin: str = "file",
) -> None:
    """Store trades (at, price) and quotes (at, bid, ask) of AAPL."""
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [START - timedelta(days=20), STOP])
    connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [START - timedelta(days=20), STOP])
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO stocks_real_time (time, symbol, price, origin) VALUES (%s, 'AAPL', %s, %s)",
            [(moment(at), price, origin) for at, price in trades],
        )
        cursor.executemany(
            "INSERT INTO quotes (time, symbol, bid, ask, origin) VALUES (%s, 'AAPL', %s, %s, %s)",
            [(moment(at), bid, ask, origin) for at, bid, ask in quotes],
        )


def read(connection: Connection, columns: str, start: datetime = START, stop: datetime = STOP) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT {columns} FROM trades_with_quotes('AAPL', %s, %s)", [start, stop]).fetchall()


def sides(connection: Connection) -> list[str | None]:
    return [side for (side,) in read(connection, "side")]


# Few times and few prices, so that ties, equal prices and trades at the mid are common; some lie before the range.
times = st.integers(-40, 120)
trades_of = st.dictionaries(times, st.integers(97, 103), max_size=60)
quotes_of = st.lists(
    st.builds(Quote, times, st.integers(96, 103), st.integers(0, 3)), max_size=60, unique_by=lambda q: q.at
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trades=trades_of, quotes=quotes_of)
def test_each_trade_has_the_quote_and_the_side_that_duckdb_finds(
    connection: Connection, trades: dict[int, int], quotes: list[Quote]
) -> None:
    """On random data with ties: DuckDB's ASOF JOIN gives the same quotes, its windows the same sides."""
    connection.execute("TRUNCATE stocks_real_time, quotes")
    rows = [(quote.at, quote.bid, quote.bid + quote.spread) for quote in quotes]
    insert(connection, [(at, float(price)) for at, price in trades.items()], rows)
    with duckdb.connect() as other:
        other.execute("SET TimeZone = 'UTC'")
        other.execute("CREATE TABLE trades (time TIMESTAMPTZ, price DOUBLE)")
        other.execute("CREATE TABLE quotes (time TIMESTAMPTZ, bid DOUBLE, ask DOUBLE)")
        if trades:
            other.executemany("INSERT INTO trades VALUES (?, ?)", [(moment(at), price) for at, price in trades.items()])
        if rows:
            other.executemany("INSERT INTO quotes VALUES (?, ?, ?)", [(moment(at), *sides) for at, *sides in rows])
        expected = other.execute(DUCKDB, [START, STOP]).fetchall()
    assert read(connection, "time, price, quote_time, bid, ask, side") == expected


def test_a_quote_of_the_same_time_is_the_trades_own(connection: Connection) -> None:
    """Live ticks store a trade and its bid and ask with one time: that quote counts, with an age of zero."""
    insert(connection, [(4, 100.0), (6, 100.0)], [(3, 90.0, 91.0), (4, 99.0, 100.5), (7, 80.0, 81.0)])
    found = read(connection, "bid, ask, mid, spread, quote_age_seconds, side")
    assert found == [(99.0, 100.5, 99.75, 1.5, 0.0, "buy"), (99.0, 100.5, 99.75, 1.5, 0.5, "buy")]


def test_a_trade_at_the_mid_is_told_by_the_last_change_of_the_price(connection: Connection) -> None:
    """Also from before the range and over trades of equal price; without any change nothing is known."""
    insert(connection, [(1, 100.0), (2, 100.0)], [(0, 99.0, 101.0)])
    assert sides(connection) == [None, None]
    insert(connection, [(-8, 99.0), (-6, 100.0), (-5, 100.0)], [])
    assert sides(connection) == ["buy", "buy"]
    insert(connection, [(-7, 101.0)], [])
    assert sides(connection) == ["sell", "sell"]


def test_the_mid_of_decimal_prices_is_met(connection: Connection) -> None:
    """100.46 is half way between 100.45 and 100.47, although binary fractions say otherwise; what is near is not."""
    assert (100.45 + 100.47) / 2 != 100.46
    insert(connection, [(-1, 101.0), (1, 100.46), (2, 100.46000001), (3, 100.45999999)], [(0, 100.45, 100.47)])
    assert sides(connection) == ["sell", "buy", "sell"]


def test_without_a_quote_there_is_no_side(connection: Connection) -> None:
    """The tick test alone is another rule; all that the quote would say is null."""
    insert(connection, [(1, 100.0), (2, 101.0)], [(3, 1.0, 2.0)])
    found = read(connection, "quote_time, bid, ask, mid, spread, quote_age_seconds, side")
    assert found == [(None,) * 7] * 2


def test_the_last_quote_may_be_weeks_old(connection: Connection) -> None:
    """Its age says so."""
    insert(connection, [(4, 100.0)], [(-4 * 86_400 * 15, 99.0, 100.0)])
    assert read(connection, "bid, quote_age_seconds") == [(99.0, 15 * 86_400.0 + 1)]


def test_what_was_rebuilt_from_bars_is_left_out(connection: Connection) -> None:
    """Nothing is known of the moments within a bar, neither of its trades nor of its quotes."""
    insert(connection, [(4, 100.0)], [(0, 99.0, 101.5)])
    insert(connection, [(-1, 90.0), (5, 100.0)], [(3, 80.0, 81.0)], origin="bar")
    assert read(connection, "price, bid, side") == [(100.0, 99.0, "sell")]


@pytest.mark.parametrize(
    ("start", "stop", "said"),
    [
        (None, STOP, "<NULL> to 2026-03-02 15:01:00+00"),
        (START, None, "2026-03-02 15:00:00+00 to <NULL>"),
        (START, START + timedelta(days=32), "2026-03-02 15:00:00+00 to 2026-04-03 15:00:00+00"),
    ],
)
def test_the_range_is_bounded(connection: Connection, start: Any, stop: Any, said: str) -> None:
    """One sentence says what the range is and what it may be."""
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refusal:
        read(connection, "time", start, stop)
    assert refusal.value.diag.message_primary == (
        f"trades_with_quotes: the range is from {said}, it must have two ends and be at most 31 days."
    )


def test_infinite_and_empty_ranges(connection: Connection) -> None:
    """An infinite one is refused, one that ends before it starts has no trades."""
    for bounds in (("-infinity", "2026-03-02"), ("2026-03-02", "infinity")):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute("SELECT FROM trades_with_quotes('AAPL', %s, %s)", bounds)
    assert read(connection, "time", STOP, START) == []


def test_spreads_are_numbers_as_stored(connection: Connection) -> None:
    """The difference of two binary fractions, not rounded."""
    insert(connection, [(4, 100.0)], [(0, 100.45, 100.47)])
    [(spread,)] = read(connection, "spread")
    assert math.isclose(spread, 0.02)
