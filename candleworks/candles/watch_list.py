"""The prices of all symbols for the watch list, kept in memory so that a request costs what has changed.

Three reads: ticks that arrived (every second), the newest tick of each symbol, and candles of symbols without recent
ticks (both every few seconds, or less often where they take long). docs/decisions/0046-watch-list.md has the
measurements.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

from candleworks import clock
from candleworks.candles.reads import CandleReader, sides_of
from candleworks.errors import TransientError
from candleworks.storage.watch_list import (
    MarketHours,
    NewestPrice,
    SymbolFacts,
    arrived_ticks,
    market_hours,
    newest_candles,
    newest_ticks,
    previous_closes,
    symbol_facts,
)

ARRIVED_SECONDS = 1.0
FULL_SECONDS = 5.0
MAX_LOAD = 0.02  # of the time may go into one of the other reads
RECENT = timedelta(days=8)
OVERLAP = timedelta(seconds=5)  # a tick may be stored later than one that arrived after it
NEW_DAY = timedelta(hours=1)  # after such a pause the previous close may be another one
DIGITS = 10  # differences of prices have noise in their last binary digits
NEVER = float("-inf")

PriceKey = tuple[str, bool]  # a symbol, and whether its trades or its bids

log = logging.getLogger(__name__)


class WatchedPrice(NamedTuple):
    """One line of the watch list; `change` is against `previous_close`, in percent too; None where that is unknown.

    `sides` has the default price side first, whose price this is.
    """

    symbol: str
    name: str | None
    exchange: str | None
    type: str | None
    sides: Sequence[str]
    calendar: str | None
    time: datetime
    price: float
    previous_close: float | None
    change: float | None
    change_percent: float | None
    stopped_at: datetime | None
    stop_reason: str | None


@dataclass(frozen=True)
class WatchedChanges:
    """The lines that changed since a version; `complete`: these are all lines."""

    version: int
    complete: bool
    prices: list[WatchedPrice]
    markets: list[MarketHours]


class WatchList:
    """Shared by all threads: one of them reads while the others answer with what is known."""

    def __init__(self, reader: CandleReader) -> None:
        self._reader = reader
        self._reading = Lock()
        self._version = self._complete_from = clock.now_us()  # above the versions of a server that ran before
        self._ticks: dict[PriceKey, NewestPrice] = {}
        self._candles: dict[PriceKey, NewestPrice] = {}  # of what has no recent ticks
        self._facts: dict[str, SymbolFacts] = {}
        self._closes: dict[str, tuple[datetime, float]] = {}  # with the end of the trading day
        self._lines: dict[str, tuple[int, WatchedPrice]] = {}  # with the version at which each changed
        self._markets: list[MarketHours] = []
        self._arrived = clock.now()
        self._arrived_at = NEVER
        self._ticks_due = self._candles_due = NEVER

    def changes(self, since: int) -> WatchedChanges:
        """Return what changed since a version, 0 for everything; TransientError while the database is unavailable."""
        self.refresh()
        return self.known(since)

    def refresh(self) -> int:
        """Read what is due, unless another thread does, and return the version then."""
        if self._reading.acquire(blocking=self._ticks_due == NEVER):
            try:
                self._refresh(clock.monotonic())
            finally:
                self._reading.release()
        return self._version

    def known(self, since: int) -> WatchedChanges:
        """Return what changed since a version, as of the last refresh."""
        complete = since < self._complete_from
        version, lines, markets = self._version, list(self._lines.values()), self._markets
        return WatchedChanges(
            version, complete, [line for changed, line in lines if complete or changed > since], markets
        )

    def _refresh(self, at: float) -> None:
        """Read what is due at a monotonic time."""
        if at - self._arrived_at < ARRIVED_SECONDS:
            return
        now = clock.now()
        arrived = [] if self._ticks_due == NEVER else self._read_arrived(now)
        if at > self._ticks_due or any(map(self._may_begin_a_day, arrived)):
            self._read_ticks(now)
            self._ticks_due = _due_after(at)
        else:
            self._keep(arrived)
            self._publish({price.symbol for price in arrived})
        if at > self._candles_due:
            began = clock.monotonic()
            self._read_candles(now)
            self._candles_due = _due_after(began)
        self._arrived, self._arrived_at = now, at

    def _read_arrived(self, now: datetime) -> list[NewestPrice]:
        return self._reader.read(lambda c: arrived_ticks(c, self._arrived - OVERLAP, now - RECENT))

    def _may_begin_a_day(self, arrived: NewestPrice) -> bool:
        """Whether a tick is of a new symbol or side, or may be the first one of a trading day."""
        known = self._ticks.get((arrived.symbol, arrived.traded))
        return known is None or arrived.time - known.time > NEW_DAY

    def _read_ticks(self, now: datetime) -> None:
        """Read the newest ticks of all symbols anew: one that was deleted or corrected is gone."""
        self._ticks = _keyed(self._reader.read(lambda c: newest_ticks(c, now - RECENT)))
        self._read_facts()
        self._markets = self._reader.read(market_hours)

    def _read_candles(self, now: datetime) -> None:
        """Add the symbols without recent ticks; reading their candles may take too long, and is tried again later."""
        try:
            self._candles = _keyed(self._reader.read(lambda c: newest_candles(c, now - RECENT)))
        except TransientError as error:
            log.warning("The watch list has no symbols without ticks of the last %d days: %s", RECENT.days, error)
        self._read_facts(corrected=True)

    def _keep(self, arrived: Iterable[NewestPrice]) -> None:
        for price in arrived:
            if price.time >= self._ticks[price.symbol, price.traded].time:
                self._ticks[price.symbol, price.traded] = price

    def _newest(self, symbol: str) -> NewestPrice:
        """Return the newest trade of a symbol, or its newest bid where it was never traded."""
        places = [(known, (symbol, traded)) for traded in (True, False) for known in (self._ticks, self._candles)]
        return next(known[key] for known, key in places if key in known)

    def _has(self, symbol: str, *, traded: bool) -> bool:
        return (symbol, traded) in self._ticks or (symbol, traded) in self._candles

    def _read_facts(self, *, corrected: bool = False) -> None:
        """Read what is known of all symbols, and the previous closes that are missing; `corrected`: all of them."""
        symbols = {symbol for symbol, _ in self._ticks.keys() | self._candles.keys()}
        times = {symbol: self._newest(symbol).time for symbol in symbols}
        self._facts = {fact.symbol: fact for fact in self._reader.read(lambda c: symbol_facts(c, times))}
        wanted: dict[tuple[datetime, bool], list[str]] = defaultdict(list)
        for symbol, fact in self._facts.items():
            if fact.day_end and (corrected or self._closes.get(symbol, (None,))[0] != fact.day_end):
                wanted[fact.day_end, self._newest(symbol).traded].append(symbol)
        for (day_end, traded), members in wanted.items():
            self._read_closes(members, day_end, traded=traded)
        self._forget(self._lines.keys() - symbols)
        self._publish(symbols)

    def _read_closes(self, symbols: Sequence[str], day_end: datetime, *, traded: bool) -> None:
        found = self._reader.read(lambda c: previous_closes(c, symbols, day_end, traded=traded))
        self._closes |= {symbol: (day_end, close) for symbol, close in found.items()}

    def _forget(self, symbols: Iterable[str]) -> None:
        """Drop lines; clients get all others again, because only that says that one is gone."""
        for symbol in list(symbols):
            del self._lines[symbol]
            self._version += 1
            self._complete_from = self._version

    def _publish(self, symbols: Iterable[str]) -> None:
        """Give the lines that changed a new version."""
        version = self._version + 1
        for symbol in symbols:
            line = self._line(symbol)
            if symbol not in self._lines or self._lines[symbol][1] != line:
                self._lines[symbol] = (version, line)
        self._version = version

    def _line(self, symbol: str) -> WatchedPrice:
        newest, facts = self._newest(symbol), self._facts[symbol]
        day_end, known = self._closes.get(symbol, (None, None))
        close = known if day_end == facts.day_end else None
        change = None if close is None else round(newest.price - close, DIGITS)
        return WatchedPrice(
            symbol,
            facts.name,
            facts.exchange,
            facts.type,
            sides_of(traded=self._has(symbol, traded=True), quoted=self._has(symbol, traded=False)),
            facts.calendar,
            newest.time,
            newest.price,
            close,
            change,
            round(100 * change / close, DIGITS) if change is not None and close else None,
            facts.stopped_at,
            facts.stop_reason,
        )


def _due_after(began: float) -> float:
    """Return when a read is due again that began at a monotonic time and has just ended."""
    ended = clock.monotonic()
    return ended + max(FULL_SECONDS, (ended - began) / MAX_LOAD)


def _keyed(prices: Iterable[NewestPrice]) -> dict[PriceKey, NewestPrice]:
    return {(price.symbol, price.traded): price for price in prices}
