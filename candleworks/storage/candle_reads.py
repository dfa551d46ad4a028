"""What was stored, as the chart page and the candle feeds read it."""

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import args_row, scalar_row

from candleworks.database.connection import Connection, ConnectionPool, describe, open_pool, transient_errors
from candleworks.database.queries import query
from candleworks.errors import TerminalError, TransientError
from candleworks.model.alerts import CheckResult
from candleworks.storage.quality import quality_history, quality_now

TRADE_SIDES = ("trade",)
QUOTE_SIDES = ("bid", "ask", "mid")
SIDES = TRADE_SIDES + QUOTE_SIDES
MAX_CONNECTIONS = 8
MAX_STATEMENT_SECONDS = 10
MAX_WAIT_SECONDS = 2.0
MAX_SPAN_MINUTES = 100 * 366 * 1440  # windows are never wider, so that they stay inside what a timestamp holds

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class Period(NamedTuple):
    """The width of a candle: so many minutes, or so many calendar months."""

    name: str
    minutes: int = 0
    months: int = 0

    @property
    def interval(self) -> str:
        return f"{self.months} months" if self.months else f"{self.minutes} minutes"

    @property
    def least_minutes(self) -> int:
        return self.minutes or self.months * 28 * 1440


@dataclass(frozen=True)
class CandleRange:
    """The newest `limit` candles that hold any moment of [start, stop); None leaves a bound open."""

    symbol: str
    period: Period
    price: str
    start: datetime | None
    stop: datetime | None
    limit: int


@dataclass(frozen=True)
class GapRange:
    """The newest `limit` holes that touch [start, stop) and concern the symbol; None leaves a bound open."""

    symbol: str
    start: datetime | None
    stop: datetime | None
    limit: int


class Gap(NamedTuple):
    """A gap of a feed; `symbol` is None where it concerns all symbols of the feed, `ended_at` while it is open.

    `outcome` is what filling it came to for the symbol that was asked for: filled, market_closed, empty (the vendor has
    no bars) or failed; None while it was not tried.
    """

    feed: str
    symbol: str | None
    started_at: datetime
    ended_at: datetime | None
    reason: str
    filled_at: datetime | None
    outcome: str | None


class Candle(NamedTuple):
    """`volume` is None where no tick of the bucket had one.

    `rebuilt` candles hold ticks that were made from a vendor's bars.
    """

    bucket: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    ticks: int
    rebuilt: bool


class StoredSymbol(NamedTuple):
    """A symbol with candles; what `company` does not know is None.

    `stopped_at` and `stop_reason` are None unless a person has stopped every feed that streams it.
    """

    symbol: str
    name: str | None
    exchange: str | None
    type: str | None
    traded: bool
    quoted: bool
    last_tick: datetime
    stopped_at: datetime | None
    stop_reason: str | None

    @property
    def sides(self) -> tuple[str, ...]:
        return _sides(traded=self.traded, quoted=self.quoted)


class Market:
    """Reads from a pool; every method raises TransientError while the database is away, and recovers with it."""

    def __init__(self, pool: ConnectionPool, dsn: str) -> None:
        self._pool = pool
        self._dsn = dsn
        self._busy: set[Connection] = set()
        self._away = False

    def symbols(self) -> list[StoredSymbol]:
        """Return every symbol that has candles, sorted."""
        with self._connection() as connection, connection.cursor(row_factory=args_row(StoredSymbol)) as cursor:
            return cursor.execute(query("market_symbols")).fetchall()

    def sides(self, symbol: str) -> tuple[str, ...]:
        """Return the price sides that have candles of the symbol, the usual one first."""
        with self._connection() as connection:
            row = connection.execute(query("market_kinds"), {"symbol": symbol}).fetchone()
        return _sides(traded=row[0], quoted=row[1]) if row else ()

    def usual_side(self, symbol: str) -> str:
        """Return trade, or bid for a symbol that has only quotes."""
        return next(iter(self.sides(symbol)), SIDES[0])

    def has_company(self, symbol: str) -> bool:
        """Tell whether the symbol is that of a known company, traded or not."""
        return bool(self._value("market_has_company", symbol=symbol))

    def last_tick(self, symbol: str, price: str) -> datetime | None:
        moment: datetime | None = self._value("market_last_tick", symbol=symbol, price=price)
        return moment

    def newest_tick(self) -> datetime | None:
        """Return the time of the newest tick of all symbols."""
        moment: datetime | None = self._value("market_newest_tick")
        return moment

    def candles(self, wanted: CandleRange) -> tuple[list[Candle], bool]:
        """Return the candles, oldest first, and whether the limit cut off older ones.

        How far back so many candles reach is unknown, because markets close: windows are read backwards, each one as
        wide as the last one lets expect, so the cost follows the limit and not the length of the history.
        """
        found: list[Candle] = []
        buckets = wanted.limit + 1
        with self._connection() as connection:
            first_start, stop = _bounds(connection, wanted)
            while first_start and stop and first_start < stop and len(found) <= wanted.limit:
                start = _window_start(connection, wanted.period, first_start, stop, buckets)
                candles = _read(connection, wanted, start, stop)
                found[:0] = candles
                buckets = _widened(buckets, got=len(candles), missing=wanted.limit + 1 - len(found))
                stop = start
        return found[-wanted.limit :], len(found) > wanted.limit

    def gaps(self, wanted: GapRange) -> tuple[list[Gap], bool]:
        """Return the holes in order of their start, and whether the limit may have cut off older ones.

        Those that began at the same moment stay together, so there may be more than the limit.
        """
        parameters = {
            "symbol": wanted.symbol,
            "start": wanted.start,
            "stop": wanted.stop,
            "most": wanted.limit + 1,
        }
        with self._connection() as connection, connection.cursor(row_factory=args_row(Gap)) as cursor:
            found = cursor.execute(query("gaps_of_symbol"), parameters).fetchall()
        if len(found) <= wanted.limit:
            return found[::-1], False
        oldest = found[wanted.limit - 1].started_at
        return [gap for gap in reversed(found) if gap.started_at >= oldest], True

    def read(self, action: Callable[[Connection], Result]) -> Result:
        """Return what `action` reads through a connection of the pool."""
        with self._connection() as connection:
            return action(connection)

    def quality(self) -> list[CheckResult]:
        """Return the newest result of every check and subject, the worst first."""
        with self._connection() as connection:
            return quality_now(connection)

    def quality_history(self, check: str) -> list[CheckResult]:
        """Return the newest results of one check, the newest first."""
        with self._connection() as connection:
            return quality_history(connection, check)

    def interrupt(self) -> None:
        """Cut the connections that are waiting for an answer: their callers get TransientError at once."""
        for connection in list(self._busy):
            with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)

    def _value(self, name: str, **parameters: object) -> Any:
        with self._connection() as connection, connection.cursor(row_factory=scalar_row) as cursor:
            return cursor.execute(query(name), parameters).fetchone()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with _explained(self._dsn), self._pool.connection(MAX_WAIT_SECONDS) as connection:
                self._busy.add(connection)
                try:
                    yield connection
                finally:
                    self._busy.discard(connection)
        except TransientError as error:
            self._note(str(error))
            raise
        self._note(None)

    def _note(self, problem: str | None) -> None:
        """Log the loss and the return of the database once each, instead of the pool's line per attempt."""
        if problem and not self._away:
            _log.warning("%s", problem)
        elif self._away and not problem:
            _log.warning("The database answers again.")
        self._away = problem is not None


@contextlib.contextmanager
def open_market(dsn: str) -> Iterator[Market]:
    """Yield a Market with connections of its own; the database need not answer yet."""
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    limits = f"{conninfo_to_dict(dsn).get('options') or ''} -c statement_timeout={MAX_STATEMENT_SECONDS}s".strip()
    # tcp_user_timeout: without it a cut cable is noticed after 15 minutes.
    patient = make_conninfo(dsn, options=limits, tcp_user_timeout=MAX_STATEMENT_SECONDS * 1000)
    pool = open_pool(patient, "candleworks serve", max_size=MAX_CONNECTIONS)
    try:
        yield Market(pool, dsn)
    finally:
        pool.close(timeout=0.5)


@contextlib.contextmanager
def _explained(dsn: str) -> Iterator[None]:
    with transient_errors(dsn):
        try:
            yield
        except psycopg.errors.QueryCanceled:
            raise TransientError(
                f"The database {describe(dsn)} took longer than {MAX_STATEMENT_SECONDS} s to answer: ask for less,"
                " or try again later."
            ) from None
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction, psycopg.errors.InvalidSchemaName):
            raise TerminalError(
                f"The database {describe(dsn)} has no candles of candleworks: run `candleworks migrate`."
            ) from None


def _sides(*, traded: bool, quoted: bool) -> tuple[str, ...]:
    return (TRADE_SIDES if traded else ()) + (QUOTE_SIDES if quoted else ())


def _bounds(connection: Connection, wanted: CandleRange) -> tuple[datetime | None, datetime | None]:
    parameters = {
        "symbol": wanted.symbol,
        "period": wanted.period.interval,
        "price": wanted.price,
        "start": wanted.start,
        "stop": wanted.stop,
    }
    return connection.execute(query("candle_bounds"), parameters).fetchone() or (None, None)


def _window_start(
    connection: Connection, period: Period, first_start: datetime, stop: datetime, buckets: int
) -> datetime:
    parameters = {
        "first_start": first_start,
        "stop": stop,
        "buckets": min(buckets, MAX_SPAN_MINUTES // period.least_minutes + 1),
        "period": period.interval,
    }
    row = connection.execute(query("candles_before"), parameters).fetchone()
    return row[0] if row else first_start


def _read(connection: Connection, wanted: CandleRange, start: datetime, stop: datetime) -> list[Candle]:
    parameters = {
        "symbol": wanted.symbol,
        "period": wanted.period.interval,
        "price": wanted.price,
        "start": start,
        "stop": stop,
    }
    with connection.cursor(row_factory=args_row(Candle), binary=True) as cursor:
        return cursor.execute(query("candles_between"), parameters).fetchall()


def _widened(buckets: int, *, got: int, missing: int) -> int:
    """Expect the next window to be as dense as this one, within bounds, and a quarter more to be on the safe side."""
    expected = missing * buckets * 5 // (got * 4) if got else buckets * 16
    return max(buckets * 2, min(buckets * 16, expected))
