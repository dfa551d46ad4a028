"""How long each symbol has been silent, and whether its market is open."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from candleworks.model.trades import MICROSECONDS
from candleworks.model.trading_day import AROUND_THE_CLOCK, calendar_of
from candleworks.settings import Settings

Sessions = Mapping[str, Sequence[tuple[int, int]]]


class SilentSymbol(NamedTuple):
    """A symbol without ticks since `since_us` although its market is open."""

    symbol: str
    since_us: int


class SilenceMonitor:
    """Tracks the symbols of one feed. Times are microseconds since 1970.

    `sessions` are opening and closing times by calendar. Until they are known, only symbols that trade around the
    clock are expected to tick.
    """

    def __init__(self, settings: Settings, symbols: Iterable[str]) -> None:
        self.sessions: Sessions = {}
        self._settings = settings
        self._limits_us: dict[str, int] = {}
        self._calendars: dict[str, str] = {}
        self._last_us: dict[str, int] = {}
        self._subscribed_us: dict[str, int] = {}
        self.configure(settings, symbols)

    def configure(self, settings: Settings, symbols: Iterable[str]) -> None:
        """Use a new configuration and track these symbols; those that stay keep their times."""
        self._settings = settings
        self._calendars = {symbol: calendar_of(symbol, settings.calendars) for symbol in symbols}
        self._limits_us = {symbol: self._limit_us(symbol) for symbol in self._calendars}
        self._subscribed_us = {
            symbol: since for symbol, since in self._subscribed_us.items() if symbol in self._calendars
        }

    def _limit_us(self, symbol: str) -> int:
        around_the_clock = self._calendars[symbol] == AROUND_THE_CLOCK
        return self._settings.silence.of_symbol(symbol, around_the_clock=around_the_clock) * MICROSECONDS

    @property
    def calendars(self) -> set[str]:
        """The calendars whose sessions are needed."""
        return set(self._calendars.values()) - {AROUND_THE_CLOCK}

    def subscribed(self, symbols: Iterable[str], now_us: int) -> None:
        """Note that these symbols are streamed from now on: earlier silence does not count."""
        self._subscribed_us.update(dict.fromkeys(symbols, now_us))

    def disconnected(self) -> None:
        self._subscribed_us = {}

    def received(self, symbols: Iterable[str], now_us: int) -> None:
        """Note that these symbols ticked."""
        self._last_us.update((symbol, now_us) for symbol in symbols if symbol in self._calendars)

    def silent_symbols(self, now_us: int) -> list[SilentSymbol]:
        """Return the symbols that have been silent for longer than their limit."""
        return [
            SilentSymbol(symbol, since)
            for symbol in self._subscribed_us
            if (since := self._silent_since(symbol, now_us)) is not None and now_us - since > self._limits_us[symbol]
        ]

    def is_market_open(self, symbol: str, now_us: int) -> bool:
        """Whether the symbol's market is open, as far as that is known."""
        return self._opened_us(symbol, now_us) is not None

    def feed_silent_since(self, now_us: int) -> int | None:
        """Return since when no symbol ticks although a market is open; null within the limit or while all are shut."""
        since = {symbol: self._silent_since(symbol, now_us) for symbol in self._subscribed_us}
        expected = {symbol: start_us for symbol, start_us in since.items() if start_us is not None}
        if not expected:
            return None
        limit_us = self._settings.silence.feed_seconds * MICROSECONDS
        latest = max(self._last_us.get(symbol, 0) for symbol in self._subscribed_us)
        since_us = max(latest, *expected.values())
        return since_us if now_us - since_us > limit_us else None

    def _silent_since(self, symbol: str, now_us: int) -> int | None:
        """Return since when the market is open, the symbol is streamed and it did not tick; None: no tick is due."""
        opened_us = self._opened_us(symbol, now_us)
        if opened_us is None:
            return None
        return max(opened_us, self._subscribed_us[symbol], self._last_us.get(symbol, 0))

    def _opened_us(self, symbol: str, now_us: int) -> int | None:
        calendar = self._calendars.get(symbol)
        if calendar == AROUND_THE_CLOCK:
            return 0
        ranges = self.sessions.get(calendar or "", ())
        return next((opened for opened, closes in ranges if opened <= now_us < closes), None)
