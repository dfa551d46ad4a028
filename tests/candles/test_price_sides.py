"""Bid, ask and mid through ohlc(), against the article's own SQL on quotes as a broker delivers them."""

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, connect
from tests.conftest import clone

SYMBOL = "EUR/USD"
SIDES = ("bid", "ask", "mid")
FRIDAY = datetime(2016, 11, 4, tzinfo=UTC)  # closes at 22:00, opens again on Sunday at 22:00
LAST = datetime(2016, 11, 8, 12, tzinfo=UTC)

# As the article writes it: the first and the last of an array in order of time, the sum of the volumes, the count.
SIDE = """
    SELECT date_trunc(%(unit)s, time, 'UTC') AS dt, (array_agg({side} ORDER BY time))[1] AS o, max({side}) AS h,
        min({side}) AS l, (array_agg({side} ORDER BY time DESC))[1] AS c, sum({side}_volume) AS vol, count(*) AS ticks
    FROM quotes WHERE symbol = %(symbol)s GROUP BY 1
"""
ARTICLE = {
    **{side: f"SELECT * FROM ({SIDE.format(side=side)}) candles ORDER BY dt" for side in ("bid", "ask")},
    "mid": f"""
        SELECT dt, (bid.o + ask.o) / 2, (bid.h + ask.h) / 2, (bid.l + ask.l) / 2, (bid.c + ask.c) / 2,
            bid.vol + ask.vol, ticks
        FROM ({SIDE.format(side="bid")}) bid JOIN ({SIDE.format(side="ask")}) ask USING (dt, ticks) ORDER BY dt
    """,
}
OHLC = """
    SELECT bucket, open, high, low, close, volume, ticks
    FROM ohlc(%(symbol)s, %(period)s::interval, NULL, NULL, %(price)s)
"""


def brokers_quotes(chance: random.Random) -> Iterator[tuple[datetime, str, float, float, float, float]]:
    """Milliseconds, bursts and lulls, five digits, a spread that now and then is nothing, no quotes at the weekend."""
    moment, points = FRIDAY + timedelta(milliseconds=321), 110_401
    while moment < LAST:
        points += chance.choice([-3, -2, -1, -1, 0, 0, 1, 1, 2, 3])
        spread = chance.choice([0, 1, 2, 2, 3, 8])
        volumes = (chance.randrange(75, 900) / 100, chance.randrange(75, 900) / 100)
        yield moment, SYMBOL, points / 100_000, (points + spread) / 100_000, *volumes
        moment += timedelta(milliseconds=chance.choice([1, 52, 310, 2_000, 61_000, 185_000]))
        if moment > FRIDAY + timedelta(hours=22) and moment < FRIDAY + timedelta(hours=70):
            moment = FRIDAY + timedelta(hours=70)


@pytest.fixture(scope="module")
def quoted(server_dsn: str, template: str) -> Iterator[Connection]:
    """Quotes of five days, the first three of them refreshed and the rest not."""
    rows = list(brokers_quotes(random.Random(8)))
    with clone(server_dsn, template) as dsn, connect(dsn, "test") as connection:
        connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [rows[0][0], rows[-1][0]])
        monday = FRIDAY + timedelta(days=3)
        for part in ([row for row in rows if row[0] < monday], [row for row in rows if row[0] >= monday]):
            copying = "COPY quotes (time, symbol, bid, ask, bid_volume, ask_volume) FROM STDIN"
            with connection.cursor().copy(copying) as copy:
                for row in part:
                    copy.write_row(row)
            if part[0][0] < monday:
                refresh(connection)
        yield connection


def assert_same(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    """Prices to the last bit; volumes are sums of floats, whose order may differ."""
    assert [(*row[:5], row[6]) for row in found] == [(*row[:5], row[6]) for row in expected]
    assert all(math.isclose(one[5], other[5], rel_tol=1e-9) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("price", SIDES)
@pytest.mark.parametrize("unit", ["hour", "day"])
def test_candles_are_those_of_the_articles_sql(quoted: Connection, unit: str, price: str) -> None:
    """The live tail included, whatever the zone of the session."""
    for zone in ("UTC", "America/New_York"):
        quoted.execute("SELECT set_config('TimeZone', %s, false)", [zone])
        expected = quoted.execute(ARTICLE[price], {"unit": unit, "symbol": SYMBOL}).fetchall()
        found = quoted.execute(OHLC, {"symbol": SYMBOL, "period": f"1 {unit}", "price": price}).fetchall()
        assert len(expected) >= {"hour": 50, "day": 4}[unit]
        assert_same(found, expected)


@pytest.mark.parametrize("price", SIDES)
@pytest.mark.parametrize("period", ["7 minutes", "90 minutes", "2 hours", "3 days", "1 week", "1 month"])
def test_any_period_has_every_price_side(quoted: Connection, period: str, price: str) -> None:
    """The article's SQL with time_bucket in the place of date_trunc."""
    statement = ARTICLE[price].replace("date_trunc(%(unit)s, time, 'UTC')", "time_bucket(%(period)s::interval, time)")
    parameters = {"symbol": SYMBOL, "period": period, "price": price}
    expected = quoted.execute(statement, parameters).fetchall()
    assert expected
    assert_same(quoted.execute(OHLC, parameters).fetchall(), expected)


def test_a_range_of_quotes_is_cut_like_one_of_trades(quoted: Connection) -> None:
    """Every candle that holds a moment of the range, whole, and none that begins at its end."""
    bounds = {"symbol": SYMBOL, "start": FRIDAY + timedelta(hours=3, minutes=5), "stop": FRIDAY + timedelta(hours=6)}
    for period, hours in (("1 hour", [3, 4, 5]), ("2 hours", [2, 4])):
        rows = quoted.execute(
            "SELECT bucket FROM ohlc(%(symbol)s, %(period)s::interval, %(start)s, %(stop)s, 'mid')",
            {**bounds, "period": period},
        ).fetchall()
        assert [row[0] for row in rows] == [FRIDAY + timedelta(hours=hour) for hour in hours]


def test_the_coarsest_level_that_divides_the_period_is_read(quoted: Connection) -> None:
    """A week of quotes is made of days, 90 minutes of quarter hours, 7 minutes of minutes."""
    levels = {"1 week": "1d", "1 month": "1d", "3 days": "1d", "8 hours": "4h", "90 minutes": "15m", "7 minutes": "1m"}
    for period, level in levels.items():
        assert quoted.execute("SELECT candleworks.level_for(%s::interval)", [period]).fetchone() == (level,)


def test_the_volume_of_mid_is_that_of_both_sides(connection: Connection) -> None:
    """Where one side had none it is the other's, and null where neither had one."""
    connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [FRIDAY, FRIDAY])
    connection.execute(
        "INSERT INTO quotes (time, symbol, bid, ask, bid_volume, ask_volume)"
        " SELECT %s + n * interval '1 minute', 'EUR/USD', 1, 2, bid_volume, ask_volume"
        " FROM (VALUES (0, 1.5, 2.5), (1, NULL, 2.5), (2, 1.5, NULL), (3, NULL, NULL)) v(n, bid_volume, ask_volume)",
        [FRIDAY],
    )
    shown = connection.execute("SELECT volume FROM ohlc('EUR/USD', '1 minute', NULL, NULL, 'mid')").fetchall()
    assert [row[0] for row in shown] == [4.0, 2.5, 1.5, None]


def test_trades_and_quotes_of_a_symbol_keep_apart(connection: Connection) -> None:
    """A side without ticks has no candles, and one with ticks shows only its own."""
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [FRIDAY, FRIDAY])
    connection.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (%s, 'EUR/USD', 1.5)", [FRIDAY])
    for price, expected in (("trade", [(1.5,)]), ("bid", []), ("mid", [])):
        parameters = {"symbol": SYMBOL, "period": "1 day", "price": price}
        assert [row[4:5] for row in connection.execute(OHLC, parameters)] == expected
