"""Quote candles, computed a second time in Python and from the quotes alone."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from tests.candles.conftest import EPOCH, LEVELS

WEEK_END = datetime(2022, 10, 24, tzinfo=UTC)  # a Monday: partitions, days and every level meet here


class Quote(NamedTuple):
    time: datetime
    symbol: str
    bid: float
    ask: float
    bid_volume: float | None = None
    ask_volume: float | None = None


class QuoteCandle(NamedTuple):
    bucket: datetime
    symbol: str
    bid_open: float
    bid_high: float
    bid_low: float
    bid_close: float
    ask_open: float
    ask_high: float
    ask_low: float
    ask_close: float
    bid_volume: float | None
    ask_volume: float | None
    ticks: int


def candle_of(quotes: list[Quote], width: timedelta) -> QuoteCandle:
    quotes = sorted(quotes)
    first = quotes[0]
    return QuoteCandle(
        first.time - (first.time - EPOCH) % width,
        first.symbol,
        *_prices([quote.bid for quote in quotes]),
        *_prices([quote.ask for quote in quotes]),
        _total([quote.bid_volume for quote in quotes]),
        _total([quote.ask_volume for quote in quotes]),
        len(quotes),
    )


def _prices(prices: list[float]) -> tuple[float, float, float, float]:
    return prices[0], max(prices), min(prices), prices[-1]


def _total(volumes: list[float | None]) -> float | None:
    known = [volume for volume in volumes if volume is not None]
    return math.fsum(known) if known else None


class QuoteMarket:
    """The quotes of one database, and their candles both ways."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def insert(self, quotes: Iterable[Quote]) -> None:
        """Insert in one statement; what is there already stays."""
        quotes = list(quotes)
        for moment in {quote.time for quote in quotes}:
            self.connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [moment, moment])
        self.connection.execute(
            "INSERT INTO quotes (time, symbol, bid, ask, bid_volume, ask_volume)"
            " SELECT * FROM unnest(%s::timestamptz[], %s::text[], %s::float8[], %s::float8[], %s::float8[],"
            " %s::float8[]) ON CONFLICT DO NOTHING",
            [list(column) for column in zip(*quotes, strict=True)],
        )

    def shown(self, level: str) -> list[QuoteCandle]:
        columns = ", ".join(QuoteCandle._fields)
        rows = self.connection.execute(f"SELECT {columns} FROM quote_candles_{level} ORDER BY symbol, bucket")
        return [QuoteCandle(*row) for row in rows]

    def expected(self, level: str) -> list[QuoteCandle]:
        width = timedelta(minutes=LEVELS[level])
        groups: dict[tuple[str, datetime], list[Quote]] = defaultdict(list)
        for row in self.connection.execute("SELECT time, symbol, bid, ask, bid_volume, ask_volume FROM quotes"):
            quote = Quote(*row)
            groups[quote.symbol, quote.time - (quote.time - EPOCH) % width].append(quote)
        return [candle_of(groups[key], width) for key in sorted(groups)]

    def assert_shown_exactly(self) -> None:
        for level in LEVELS:
            assert self.shown(level) == self.expected(level), level


@pytest.fixture
def market(connection: Connection) -> QuoteMarket:
    return QuoteMarket(connection)


# Moments around the edges of buckets, days and partitions; few enough that quotes meet in a bucket, and in a moment.
moments = st.builds(
    lambda minutes, microseconds: WEEK_END + timedelta(minutes=minutes, microseconds=microseconds),
    st.sampled_from([-1441, -241, -240, -61, -6, -1, 0, 1, 4, 5, 14, 60]),
    st.sampled_from([0, 1, 30_000_000, 59_999_999]),
)
volumes = st.none() | st.integers(0, 1_000_000).map(float)
sides = st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)).map(lambda two: (min(two) / 100, max(two) / 100))
rows = st.lists(
    st.builds(
        lambda moment, symbol, side, bid_volume, ask_volume: Quote(
            moment, symbol, side[0], side[1], bid_volume, ask_volume
        ),
        *(moments, st.sampled_from(["EUR/USD", "XAU/USD"]), sides, volumes, volumes),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda quote: quote[:2],
)
changes = st.one_of(
    st.tuples(st.just("insert"), rows),
    st.tuples(st.just("insert"), rows),
    st.tuples(st.just("correct"), moments),
    st.tuples(st.just("delete"), moments),
    st.tuples(st.just("refresh"), st.none()),
)


def apply(market: QuoteMarket, change: tuple[str, Any]) -> None:
    kind, what = change
    if kind == "insert":
        market.insert(what)
    elif kind == "correct":
        market.connection.execute("UPDATE quotes SET bid = bid / 2, ask_volume = 7 WHERE time >= %s", [what])
    elif kind == "delete":
        market.connection.execute("DELETE FROM quotes WHERE time <= %s", [what])
    else:
        refresh(market.connection)


@examples(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(changes, min_size=1, max_size=8))
def test_quote_candles_are_what_the_quotes_say_whatever_happened_to_them(
    market: QuoteMarket, engine: Engine, history: list[tuple[str, Any]]
) -> None:
    """Inserts, late ones, corrections, deletions and refreshes in any order: exact after a refresh.

    On plain PostgreSQL before it too; TimescaleDB shows what is older than its newest stored candle as it was.
    """
    market.connection.execute("DELETE FROM quotes")
    refresh(market.connection)
    for change in history:
        apply(market, change)
    if engine is Engine.POSTGRES:
        market.assert_shown_exactly()
    refresh(market.connection)
    market.assert_shown_exactly()


def test_both_sides_of_a_candle_follow_their_own_quotes(market: QuoteMarket) -> None:
    """The highest bid and the highest ask come from different quotes; open and close go by time."""
    minute = datetime(2024, 3, 1, 12, tzinfo=UTC)
    market.insert(
        [
            Quote(minute + timedelta(seconds=50), "EUR/USD", 1.05, 1.06, None, 2.0),
            Quote(minute, "EUR/USD", 1.01, 1.40, 1.0, None),
            Quote(minute + timedelta(seconds=20), "EUR/USD", 1.20, 1.21, 4.0, None),
        ]
    )
    expected = (1.01, 1.20, 1.01, 1.05, 1.40, 1.40, 1.06, 1.06, 5.0, 2.0, 3)
    for _ in range(2):
        for level in LEVELS:
            assert [candle[2:] for candle in market.shown(level)] == [expected], level
        refresh(market.connection)


def test_the_forming_candle_shows_each_quote_at_once(market: QuoteMarket) -> None:
    """After a refresh too, at every level."""
    now = datetime.now(UTC)
    market.insert([Quote(now - timedelta(microseconds=1), "EUR/USD", 1.0, 2.0)])
    refresh(market.connection)
    market.insert([Quote(now, "EUR/USD", 3.0, 4.0)])
    for level in LEVELS:
        assert market.shown(level)[-1].ask_close == 4.0, level


def test_a_refresh_tells_what_it_did_for_quotes(market: QuoteMarket) -> None:
    """Levels of quotes are counted beside those of trades, under names of their own."""
    minute = datetime(2024, 3, 1, 12, tzinfo=UTC)
    market.insert(Quote(minute + timedelta(minutes=offset), "EUR/USD", 1.0, 2.0) for offset in (0, 1, 60))
    expected = {"quote 1m": 3, "quote 5m": 2, "quote 15m": 2, "quote 1h": 2, "quote 4h": 1, "quote 1d": 1}
    assert +refresh(market.connection) == Counter(expected)
    assert refresh(market.connection).total() == 0


def test_quotes_and_trades_are_refreshed_together(market: QuoteMarket) -> None:
    """One refresh serves both, and neither changes the other's candles."""
    minute = datetime(2024, 3, 1, 12, tzinfo=UTC)
    market.insert([Quote(minute, "EUR/USD", 1.0, 2.0)])
    market.connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [minute, minute])
    market.connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price) VALUES (%s, 'EUR/USD', 1.5)", [minute]
    )
    changed = refresh(market.connection)
    assert {changed[name] for name in ("1m", "1d", "quote 1m", "quote 1d")} == {1}
    assert [candle.bid_open for candle in market.shown("1d")] == [1.0]
    row = market.connection.execute("SELECT open, ticks FROM candles_1d").fetchall()
    assert row == [(1.5, 1)]
