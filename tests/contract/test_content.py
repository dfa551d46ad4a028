"""Two databases, one on each engine, that were told the same ticks, tell the same candles."""

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from psycopg.rows import dict_row

from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine

Row = dict[str, Any]

WIDTHS = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
}
SUMS = {"volume", "vwap", "bid_volume", "ask_volume"}  # floats that were added up, in whatever order
SYMBOLS = ("AAPL", "BTC/USD", "EUR/USD")
FIRST_DAY = datetime(2022, 3, 11, tzinfo=UTC)  # the clocks of New York change on the 13th, a week begins on the 14th
DAYS = 5
TABLES = {"stocks_real_time": "candles_", "quotes": "quote_candles_"}
TUTORIAL = {"one_min_candle": "1m", "one_hour_candle": "1h", "one_day_candle": "1d"}
PERIODS = ("1 minute", "10 minutes", "30 minutes", "2 hours", "4 hours", "1 day", "7 days", "1 month")
OHLC = "SELECT bucket, open, high, low, close, volume, ticks FROM ohlc(%s, %s::interval, %s, %s)"
QUERIES = {
    "the tutorial's candles": "SELECT time_bucket('3 hours', time) AS bucket, symbol, first(price, time), max(price),"
    " min(price), last(price, time), last(day_volume, time) FROM stocks_real_time GROUP BY 1, 2 ORDER BY 1, 2",
    "the last quote": "SELECT symbol, last(bid, time), last(ask, time) FROM quotes GROUP BY 1 ORDER BY 1",
}


class Change(NamedTuple):
    """A statement with its parameters, and the moments of the ticks that it adds, alters or removes."""

    table: str
    statement: str
    parameters: list[Any]
    moments: list[datetime]


def random_moments(chance: random.Random, day: datetime, hours: tuple[int, int]) -> list[datetime]:
    """Distinct times within those hours of a day: a crowd in a few minutes, and single ticks."""
    minutes = [chance.randrange(hours[0] * 60, hours[1] * 60) for _ in range(12)]
    crowd = [
        timedelta(minutes=minutes[0] + chance.randrange(3), microseconds=chance.randrange(60_000_000))
        for _ in range(25)
    ]
    single = [timedelta(minutes=minute, seconds=chance.randrange(60)) for minute in minutes]
    return sorted({day + offset for offset in crowd + single})


def maybe(chance: random.Random, value: float) -> float | None:
    return None if chance.random() < 0.3 else value


def insert_trades(chance: random.Random, moments: list[datetime]) -> Change:
    columns: list[list[Any]] = [
        moments,
        [chance.choice(SYMBOLS) for _ in moments],
        [chance.choice([0.0, 0.1 + 0.2, chance.uniform(1, 500)]) for _ in moments],
        [maybe(chance, chance.randrange(10_000)) for _ in moments],
        [maybe(chance, chance.choice([0.0, chance.uniform(0, 100)])) for _ in moments],
        [chance.choice(["file", "file", "bar"]) for _ in moments],
    ]
    statement = (
        "INSERT INTO stocks_real_time (time, symbol, price, day_volume, volume, origin, received_at)"
        " SELECT *, '2022-04-01'::timestamptz FROM unnest(%s::timestamptz[], %s::text[], %s::float8[], %s::float8[],"
        " %s::float8[], %s::text[]) ON CONFLICT DO NOTHING"
    )
    return Change("stocks_real_time", statement, columns, moments)


def insert_quotes(chance: random.Random, moments: list[datetime]) -> Change:
    bids = [chance.choice([0.0, chance.uniform(1, 2)]) for _ in moments]
    columns: list[list[Any]] = [
        moments,
        [chance.choice(SYMBOLS) for _ in moments],
        bids,
        [bid + chance.choice([0.0, chance.uniform(0, 0.01)]) for bid in bids],
        [maybe(chance, chance.uniform(0, 100)) for _ in moments],
        [maybe(chance, chance.uniform(0, 100)) for _ in moments],
    ]
    statement = (
        "INSERT INTO quotes (time, symbol, bid, ask, bid_volume, ask_volume, received_at, origin)"
        " SELECT *, '2022-04-01'::timestamptz, 'file' FROM unnest(%s::timestamptz[], %s::text[], %s::float8[],"
        " %s::float8[], %s::float8[], %s::float8[]) ON CONFLICT DO NOTHING"
    )
    return Change("quotes", statement, columns, moments)


INSERTS: tuple[Callable[[random.Random, list[datetime]], Change], ...] = (insert_trades, insert_quotes)


def random_history(chance: random.Random) -> Iterator[Change | None]:
    """Days of ticks in order with late ones, corrections and removals among them; None stands for a refresh."""
    for number in range(DAYS):
        day = FIRST_DAY + timedelta(days=number)
        for hours in ((0, 12), (12, 24)):
            for insert in INSERTS:
                yield insert(chance, random_moments(chance, day, hours))
            if number in (1, 3):
                yield None  # in the middle of a day too
        if number:
            yield from _late(chance, day - timedelta(days=chance.randint(1, number)))
        yield None


def _late(chance: random.Random, day: datetime) -> Iterator[Change]:
    for insert in INSERTS:
        yield insert(chance, random_moments(chance, day, (10, 11)))
    minute = day + timedelta(hours=chance.randrange(24))
    hour = [minute + timedelta(minutes=offset) for offset in range(60)]
    within = [minute, minute + timedelta(hours=1)]
    yield Change("quotes", "DELETE FROM quotes WHERE time >= %s AND time < %s", within, hour)
    correction = "UPDATE stocks_real_time SET price = price / 3 WHERE time >= %s AND time < %s"
    yield Change("stocks_real_time", correction, within, hour)


class LateBuckets:
    """The buckets that TimescaleDB may show as they were until the next refresh.

    What came after the newest candle of the last refresh is seen at once, at every level.
    """

    def __init__(self) -> None:
        self._newest: dict[str, datetime] = {}
        self._seen: dict[str, datetime] = {}
        self._late: dict[tuple[str, str], set[datetime]] = defaultdict(set)

    def add(self, change: Change) -> None:
        self._seen[change.table] = max(change.moments[-1], self._seen.get(change.table, change.moments[-1]))
        for level, width in WIDTHS.items():
            newest = self._newest.get(change.table)
            buckets = {start_of(moment, width) for moment in change.moments}
            self._late[change.table, level] |= {b for b in buckets if newest and b <= start_of(newest, width)}

    def refreshed(self) -> None:
        self._newest = dict(self._seen)
        self._late.clear()

    def of(self, table: str, level: str) -> set[datetime]:
        return self._late[table, level]


def start_of(moment: datetime, width: timedelta) -> datetime:
    return moment - (moment - FIRST_DAY) % width


def apply(connection: Connection, change: Change) -> int:
    if change.statement.startswith("INSERT"):
        prepare = "prepare_ticks" if change.table == "stocks_real_time" else "prepare_quotes"
        connection.execute(f"SELECT candleworks.{prepare}(%s, %s)", [change.moments[0], change.moments[-1]])
    return connection.execute(change.statement, change.parameters).rowcount


def read(connection: Connection, statement: str, *parameters: object) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, parameters).fetchall()


def candles(connection: Connection, relation: str, without: set[datetime]) -> list[Row]:
    rows = read(connection, f"SELECT * FROM {relation} ORDER BY bucket, symbol")
    return [row for row in rows if row["bucket"] not in without]


def assert_same(ours: list[Row], theirs: list[Row], what: str) -> None:
    assert len(ours) == len(theirs), what
    for one, other in zip(ours, theirs, strict=True):
        assert list(one) == list(other), what
        for name in one:
            assert one[name] == other[name] or (name in SUMS and _close(one[name], other[name])), (what, one, other)


def _close(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and math.isclose(one, other, rel_tol=1e-9)


def assert_same_candles(plain: Connection, timescale: Connection, late: LateBuckets) -> int:
    """Compare every candle outside the late buckets; return how many there were."""
    compared = 0
    relations = [
        (f"{prefix}{level}", table, level) for (table, prefix), level in itertools.product(TABLES.items(), WIDTHS)
    ] + [(view, "stocks_real_time", level) for view, level in TUTORIAL.items()]
    for relation, table, level in relations:
        without = late.of(table, level)
        ours = candles(plain, relation, without)
        assert_same(ours, candles(timescale, relation, without), relation)
        compared += len(ours)
    return compared


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_ticks_make_the_same_candles(both: dict[Engine, Connection], seed: int) -> None:
    """Before a refresh all candles but those that wait for it are equal, after it all of them."""
    plain, timescale = both[Engine.POSTGRES], both[Engine.TIMESCALE]
    late = LateBuckets()
    for change in random_history(random.Random(seed)):
        if change is not None:
            assert apply(plain, change) == apply(timescale, change)
            late.add(change)
            continue
        assert assert_same_candles(plain, timescale, late) > 300
        refresh(plain)
        refresh(timescale)
        late.refreshed()
        assert assert_same_candles(plain, timescale, late) > 300
    _assert_same_everywhere(plain, timescale)


def _assert_same_everywhere(plain: Connection, timescale: Connection) -> None:
    """Compare all ticks, ohlc() and queries in the tutorial's manner, from sessions in different zones."""
    plain.execute("SET TimeZone = 'America/New_York'")
    timescale.execute("SET TimeZone = 'Asia/Kathmandu'")
    assert assert_same_candles(plain, timescale, LateBuckets()) > 1_500
    statements = QUERIES | {table: f"SELECT * FROM {table} ORDER BY symbol, time" for table in TABLES}
    for what, statement in statements.items():
        found = read(plain, statement)
        assert found
        assert_same(found, read(timescale, statement), what)
    span = [FIRST_DAY + timedelta(hours=5, seconds=7), FIRST_DAY + timedelta(days=4, hours=3)]
    for symbol, period in itertools.product(SYMBOLS, PERIODS):
        found = read(plain, OHLC, symbol, period, *span)
        assert found
        assert_same(found, read(timescale, OHLC, symbol, period, *span), f"ohlc of {period}")
