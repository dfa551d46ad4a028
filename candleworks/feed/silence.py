"""Knows how long each symbol has said nothing, and whether its market is open."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from candleworks.model.trades import MICROSECONDS
from candleworks.model.trading_day import AROUND_THE_CLOCK, calendar_of
from candleworks.settings import Settings

Sessions = Mapping[str, Sequence[tuple[int, int]]]


class Silent(NamedTuple):
    """A symbol of which nothing came since `since_us`, though it should have."""

    symbol: str
    since_us: int


class Watchdog:
    """Watches the symbols of one feed. Times are microseconds since 1970.

    Until `sessions` (open and close by calendar) are known, only what trades around the clock is expected to tick.
    """

    def __init__(self, settings: Settings, symbols: Iterable[str]) -> None:
        self.sessions: Sessions = {}
        self._settings = settings
        self._limits_us: dict[str, int] = {}
        self._calendars: dict[str, str] = {}
        self._last_us: dict[str, int] = {}
        self._listening_us: dict[str, int] = {}
        self.follow(settings, symbols)

    def follow(self, settings: Settings, symbols: Iterable[str]) -> None:
        """Take a new configuration, and watch these symbols instead."""
        self._settings = settings
        self._calendars = {symbol: calendar_of(symbol, settings.calendars) for symbol in symbols}
        self._limits_us = {symbol: self._limit_us(symbol) for symbol in self._calendars}
        self._listening_us = {
            symbol: since for symbol, since in self._listening_us.items() if symbol in self._calendars
        }

    def _limit_us(self, symbol: str) -> int:
        silence = self._settings.silence
        around_the_clock = self._calendars[symbol] == AROUND_THE_CLOCK
        seconds = silence.around_the_clock_seconds if around_the_clock else silence.session_seconds
        return silence.symbols.get(symbol, seconds) * MICROSECONDS

    @property
    def calendars(self) -> set[str]:
        """The calendars whose sessions have to be known."""
        return set(self._calendars.values()) - {AROUND_THE_CLOCK}

    def listening(self, symbols: Iterable[str], now_us: int) -> None:
        """Note that these symbols are streamed from now on: earlier silence says nothing."""
        self._listening_us.update(dict.fromkeys(symbols, now_us))

    def deaf(self) -> None:
        """Note that there is no connection."""
        self._listening_us = {}

    def seen(self, symbols: Iterable[str], now_us: int) -> None:
        self._last_us.update((symbol, now_us) for symbol in symbols if symbol in self._calendars)

    def silent(self, now_us: int) -> list[Silent]:
        """Return the symbols whose silence is longer than it may be."""
        return [
            Silent(symbol, since)
            for symbol in self._listening_us
            if (since := self._silent_since(symbol, now_us)) is not None and now_us - since > self._limits_us[symbol]
        ]

    def expects(self, symbol: str, now_us: int) -> bool:
        """Whether the symbol's market is open, as far as that is known."""
        return self._opened_us(symbol, now_us) is not None

    def all_silent(self, now_us: int) -> int | None:
        """Return since when nothing at all comes though at least one market is open; null while it is not so."""
        since = {symbol: self._silent_since(symbol, now_us) for symbol in self._listening_us}
        expected = {symbol: moment for symbol, moment in since.items() if moment is not None}
        if not expected:
            return None
        limit_us = min(self._limits_us[symbol] for symbol in expected)
        latest = max(self._last_us.get(symbol, 0) for symbol in self._listening_us)
        since_us = max(latest, *expected.values())
        return since_us if now_us - since_us > limit_us else None

    def _silent_since(self, symbol: str, now_us: int) -> int | None:
        """Return since when its market is open, we listen, and nothing came; None while it is not expected to tick."""
        opened_us = self._opened_us(symbol, now_us)
        if opened_us is None:
            return None
        return max(opened_us, self._listening_us[symbol], self._last_us.get(symbol, 0))

    def _opened_us(self, symbol: str, now_us: int) -> int | None:
        calendar = self._calendars.get(symbol)
        if calendar == AROUND_THE_CLOCK:
            return 0
        ranges = self.sessions.get(calendar or "", ())
        return next((opened for opened, closes in ranges if opened <= now_us < closes), None)
