"""Reads candles and gaps for the chart page and the candle feeds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar

from candleworks.database.connection import Connection
from candleworks.model.alerts import CheckResult
from candleworks.storage.candle_reads import (
    Candle,
    CandleSeries,
    StoredSymbol,
    SymbolGap,
    buckets_before,
    candle_bounds,
    candles_between,
    charted_symbols,
    gaps_of_symbol,
    has_company,
    has_trades_and_quotes,
    last_tick,
    newest_tick,
    volumes_before,
)
from candleworks.storage.quality import quality_history, quality_now
from candleworks.storage.read_pool import ReadPool, open_read_pool

TRADE_SIDES = ("trade",)
QUOTE_SIDES = ("bid", "ask", "mid")
SIDES = TRADE_SIDES + QUOTE_SIDES
MAX_SPAN_SECONDS = 100 * 366 * 86_400  # windows are never wider, so that they stay within the range of a timestamp
MAX_TICK_SPAN_SECONDS = 7 * 86_400  # of periods below a minute, which ohlc() computes from ticks
# A volume is a sum and a mid is half of one, so that their last binary digits are noise: 62.759999999999984. Decimal
# numbers of up to 15 digits are exact as doubles.
_DIGITS = 15

_Read = TypeVar("_Read")


class Period(NamedTuple):
    """The width of a candle: a number of seconds, or of calendar months."""

    name: str
    seconds: int = 0
    months: int = 0

    @property
    def interval(self) -> str:
        return f"{self.months} months" if self.months else f"{self.seconds} seconds"

    @property
    def max_window(self) -> int:
        """How many buckets are read at a time at most."""
        widest = MAX_TICK_SPAN_SECONDS if 0 < self.seconds < 60 else MAX_SPAN_SECONDS
        return max(1, widest // (self.seconds or self.months * 28 * 86_400))


@dataclass(frozen=True)
class CandleRange:
    """The newest `limit` candles that overlap [start, stop); None leaves a bound open.

    Days and longer periods begin at midnight of `zone`; None is UTC.
    """

    symbol: str
    period: Period
    price: str
    start: datetime | None
    stop: datetime | None
    limit: int
    zone: str | None = None


@dataclass(frozen=True)
class GapRange:
    """The newest `limit` gaps that overlap [start, stop) and affect the symbol; None leaves a bound open."""

    symbol: str
    start: datetime | None
    stop: datetime | None
    limit: int


class CandleReader:
    """Reads through a pool; every method raises TransientError while the database is unavailable."""

    def __init__(self, pool: ReadPool) -> None:
        self._pool = pool

    def symbols(self) -> list[StoredSymbol]:
        """Return every symbol that has candles, sorted."""
        return self.read(charted_symbols)

    def sides(self, symbol: str) -> tuple[str, ...]:
        """Return the price sides that have candles of the symbol, the default side first."""
        traded, quoted = self.read(lambda connection: has_trades_and_quotes(connection, symbol))
        return sides_of(traded=traded, quoted=quoted)

    def default_side(self, symbol: str) -> str:
        """Return trade, or bid for a symbol that has only quotes."""
        return next(iter(self.sides(symbol)), SIDES[0])

    def has_company(self, symbol: str) -> bool:
        """Whether `company` has the symbol, with or without candles."""
        return self.read(lambda connection: has_company(connection, symbol))

    def last_tick(self, symbol: str, price: str) -> datetime | None:
        return self.read(lambda connection: last_tick(connection, symbol, price))

    def newest_tick(self) -> datetime | None:
        """Return the time of the newest tick of all symbols."""
        return self.read(newest_tick)

    def candles(self, wanted: CandleRange) -> tuple[list[Candle], bool]:
        """Return the candles, oldest first, and whether the limit cut off older ones."""
        found = self.read(lambda connection: _newest_candles(connection, wanted))
        return found[-wanted.limit :], len(found) > wanted.limit

    def volumes_before(self, wanted: CandleRange, start: datetime) -> dict[datetime, float]:
        """Return how much of the volumes of the range, from `start` on, was traded before the candle's first trade.

        Candles without such volume are left out; those of quotes have none.
        """
        if wanted.price != "trade":
            return {}
        series = CandleSeries(wanted.symbol, wanted.period.interval, wanted.price, wanted.zone)
        return self.read(lambda connection: volumes_before(connection, series, start, wanted.stop))

    def gaps(self, wanted: GapRange) -> tuple[list[SymbolGap], bool]:
        """Return the gaps in order of their start, and whether the limit may have cut off older ones.

        Gaps that began at the same time are not separated, so there may be more than the limit.
        """
        bounds = (wanted.symbol, wanted.start, wanted.stop, wanted.limit + 1)
        found = self.read(lambda connection: gaps_of_symbol(connection, *bounds))
        if len(found) <= wanted.limit:
            return found[::-1], False
        oldest = found[wanted.limit - 1].started_at
        return [gap for gap in reversed(found) if gap.started_at >= oldest], True

    def read(self, action: Callable[[Connection], _Read]) -> _Read:
        """Return what `action` reads through a connection of the pool."""
        with self._pool.connection() as connection:
            return action(connection)

    def quality(self) -> list[CheckResult]:
        """Return the newest result of every check and subject, the worst first."""
        return self.read(quality_now)

    def quality_history(self, check: str) -> list[CheckResult]:
        """Return the newest results of one check, the newest first."""
        return self.read(lambda connection: quality_history(connection, check))

    def interrupt(self) -> None:
        """Interrupt the reads that are running: their callers get TransientError at once."""
        self._pool.interrupt()


@contextmanager
def open_reader(dsn: str) -> Iterator[CandleReader]:
    """Yield a reader with a pool of its own; the database need not be available yet."""
    with open_read_pool(dsn) as pool:
        yield CandleReader(pool)


def sides_of(*, traded: bool, quoted: bool) -> tuple[str, ...]:
    """Return the price sides of a symbol with candles of trades or quotes, the default side first."""
    return (TRADE_SIDES if traded else ()) + (QUOTE_SIDES if quoted else ())


def _newest_candles(connection: Connection, wanted: CandleRange) -> list[Candle]:
    """Read candles backwards in windows until there are more than the limit, or none are left.

    How far back so many candles reach is unknown, because markets close. Each window is as wide as the density of the
    last one suggests, so the cost depends on the limit and not on the length of the history.
    """
    series = CandleSeries(wanted.symbol, wanted.period.interval, wanted.price, wanted.zone)
    found: list[Candle] = []
    buckets = wanted.limit + 1
    first, stop = candle_bounds(connection, series, wanted.start, wanted.stop)
    while first and stop and first < stop and len(found) <= wanted.limit:
        width = min(buckets, wanted.period.max_window)
        start = buckets_before(connection, series, first, stop, width)
        candles = candles_between(connection, series, start, stop)
        found[:0] = candles
        buckets = _next_width(buckets, found=len(candles), missing=wanted.limit + 1 - len(found))
        stop = start
    return found


def _next_width(buckets: int, *, found: int, missing: int) -> int:
    """Expect the next window to be as dense as this one, within bounds, and add a quarter as a margin."""
    expected = missing * buckets * 5 // (found * 4) if found else buckets * 16
    return max(buckets * 2, min(buckets * 16, expected))


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def rounded_volume(volume: float | None) -> float | None:
    return volume if volume is None or volume.is_integer() else _rounded(volume)


def rounded_price(price: float, side: str) -> float:
    """Return a price with the digits that its ticks have."""
    return _rounded(price) if side == "mid" else price
