"""The prices of all symbols for the watch list, kept in memory so that a request costs what has changed.

Three reads, by what they cost: ticks that arrived (every second), symbols with recent candles (seconds), and all of them
(minutes, or when a new one appears). A previous close is read once for a symbol and trading day.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

from candleworks import clock
from candleworks.candles.reads import CandleReader, sides_of
from candleworks.storage.watch_list import (
    ArrivedPrice,
    MarketHours,
    WatchedSymbol,
    arrived_prices,
    market_hours,
    previous_closes,
    watched_symbols,
)

ARRIVED_SECONDS = 1.0
RECENT_SECONDS = 5.0
ALL_SECONDS = 300.0
MAX_LOAD = 0.02  # of the time may go into reading recent symbols
RECENT = timedelta(days=8)
OVERLAP = timedelta(seconds=5)  # a tick may be stored later than one that arrived after it
NEW_DAY = timedelta(hours=1)  # after such a pause the previous close may be another one
_DIGITS = 10  # differences of prices have noise in their last binary digits


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
    """The lines that changed since a version; `complete`: all of them, what is missing is gone."""

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
        self._symbols: dict[str, WatchedSymbol] = {}
        self._closes: dict[str, tuple[datetime, float]] = {}
        self._prices: dict[str, tuple[int, WatchedPrice]] = {}  # with the version at which each changed
        self._markets: list[MarketHours] = []
        self._arrived = clock.now()
        self._read_at = self._recent_at = self._all_at = float("-inf")
        self._recent_seconds = RECENT_SECONDS

    def changes(self, since: int) -> WatchedChanges:
        """Return what changed since a version, 0 for everything; TransientError while the database is unavailable."""
        if self._reading.acquire(blocking=self._all_at == float("-inf")):
            try:
                self._refresh(clock.monotonic())
            finally:
                self._reading.release()
        complete = since < self._complete_from
        known = list(self._prices.values())
        prices = [price for version, price in known if complete or version > since]
        return WatchedChanges(max((version for version, _ in known), default=self._version), complete, prices, self._markets)

    def _refresh(self, at: float) -> None:
        """Read what is due at a monotonic time."""
        if at - self._read_at < ARRIVED_SECONDS:
            return
        if at - self._all_at > ALL_SECONDS:
            self._read_all(at)
        elif at - self._recent_at > self._recent_seconds:
            self._read_recent(at)
        else:
            self._read_arrived(at)
        self._read_at = at

    def _read_all(self, at: float) -> None:
        self._arrived = clock.now()
        symbols = {found.symbol: found for found in self._reader.read(lambda c: watched_symbols(c, None))}
        if self._symbols.keys() - symbols.keys():
            self._prices = {symbol: self._prices[symbol] for symbol in self._prices if symbol in symbols}
            self._version += 1
            self._complete_from = self._version
        self._symbols = symbols
        self._closes.clear()
        self._publish(symbols)
        self._markets = self._reader.read(market_hours)
        self._all_at = self._recent_at = at

    def _read_recent(self, at: float) -> None:
        arrived = clock.now()
        found = self._reader.read(lambda c: watched_symbols(c, arrived - RECENT))
        if any(self._is_news(symbol) for symbol in found):
            self._read_all(at)
            return
        self._symbols |= {symbol.symbol: self._with_known_sides(symbol) for symbol in found}
        self._publish(symbol.symbol for symbol in found)
        self._markets = self._reader.read(market_hours)
        self._arrived, self._recent_at = arrived, at
        self._recent_seconds = max(RECENT_SECONDS, (clock.monotonic() - at) / MAX_LOAD)

    def _read_arrived(self, at: float) -> None:
        now = clock.now()
        found = self._reader.read(lambda c: arrived_prices(c, self._arrived - OVERLAP, now - RECENT))
        if any(self._needs_more(arrived) for arrived in found):
            self._read_recent(at)
            return
        newer = [arrived for arrived in found if arrived.time >= self._symbols[arrived.symbol].time]
        for arrived in newer:
            known = self._symbols[arrived.symbol]
            if arrived.traded or not known.traded:
                self._symbols[arrived.symbol] = known._replace(time=arrived.time, price=arrived.price)
        self._publish(arrived.symbol for arrived in newer)
        self._arrived = now

    def _needs_more(self, arrived: ArrivedPrice) -> bool:
        """Whether a tick is of a new symbol, or may be the first one of a trading day."""
        known = self._symbols.get(arrived.symbol)
        return known is None or arrived.time - known.time > NEW_DAY

    def _is_news(self, found: WatchedSymbol) -> bool:
        """Whether a symbol is new, or has its first candle of a kind."""
        known = self._symbols.get(found.symbol)
        return known is None or (found.traded and not known.traded) or (found.quoted and not known.quoted)

    def _with_known_sides(self, found: WatchedSymbol) -> WatchedSymbol:
        """Keep the sides of a symbol: it may have older candles of the other kind, and its older trade is its price."""
        known = self._symbols[found.symbol]
        if known.traded and not found.traded:
            return known._replace(name=found.name, stopped_at=found.stopped_at, stop_reason=found.stop_reason)
        return found._replace(quoted=found.quoted or known.quoted)

    def _publish(self, symbols: Iterable[str]) -> None:
        """Give the lines that changed a new version, with their previous closes."""
        names = list(symbols)
        self._read_closes(names)
        version = self._version + 1
        for name in names:
            price = self._line(self._symbols[name])
            if name not in self._prices or self._prices[name][1] != price:
                self._prices[name] = (version, price)
        self._version = version

    def _read_closes(self, names: Iterable[str]) -> None:
        """Read the previous closes of those symbols that are not known for their trading day."""
        wanted: dict[datetime, list[str]] = defaultdict(list)
        for name in names:
            day_end = self._symbols[name].day_end
            if day_end and self._symbols[name].traded and self._closes.get(name, (None,))[0] != day_end:
                wanted[day_end].append(name)
        for day_end, members in wanted.items():
            found = self._reader.read(lambda c, end=day_end, of=members: previous_closes(c, of, end))  # type: ignore[misc]
            self._closes |= {name: (day_end, close) for name, close in found.items() if close is not None}

    def _line(self, symbol: WatchedSymbol) -> WatchedPrice:
        day_end, close = self._closes.get(symbol.symbol, (None, None))
        known = close if day_end == symbol.day_end else None
        change = None if known is None else round(symbol.price - known, _DIGITS)
        return WatchedPrice(
            symbol.symbol,
            symbol.name,
            symbol.exchange,
            symbol.type,
            sides_of(traded=symbol.traded, quoted=symbol.quoted),
            symbol.calendar,
            symbol.time,
            symbol.price,
            known,
            change,
            round(100 * change / known, _DIGITS) if change is not None and known else None,
            symbol.stopped_at,
            symbol.stop_reason,
        )
