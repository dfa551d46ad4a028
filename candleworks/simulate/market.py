"""The markets that the server streams: one that generates ticks in real time, or a replayed recording."""

from functools import lru_cache
from typing import Final, Protocol

import numpy as np

from candleworks.simulate.bars import Bars, minute_bars
from candleworks.simulate.catalogue import Catalogue
from candleworks.simulate.prices import TickSource
from candleworks.simulate.ticks import Integers, PriceEncoder, Ticks

SECOND_US: Final = 1_000_000
NEVER_US: Final = 2**62
DAY_SECONDS: Final = 86_400
HISTORY_DAYS: Final = 180
_CACHED_DAYS: Final = 200  # the whole history of one symbol, some 70 kB a day


class Cursor(Protocol):
    """The position of one client in a market. Times are microseconds since 1970 and must not decrease."""

    @property
    def ended(self) -> bool:
        """Whether no more ticks will come."""

    def subscribe(self, rows: list[int], now_us: int) -> Ticks:
        """Subscribe to `rows`; return the latest earlier tick of each row that was not subscribed yet."""

    def unsubscribe(self, rows: list[int]) -> None: ...

    def take(self, now_us: int, limit: int) -> Ticks:
        """Return the next ticks that are due, in order, about `limit` of them at most."""

    def next_due_us(self) -> int:
        """Return when the next tick may be due; a time in the past while the cursor is behind."""


class Market(Protocol):
    @property
    def catalogue(self) -> Catalogue: ...

    def cursor(self) -> Cursor: ...

    def encoder(self) -> PriceEncoder: ...

    def history_start(self, now_us: int) -> int:
        """Return the second before which there are no bars."""

    def minute_bars(self, row: int, first: int, end: int, now_us: int) -> Bars:
        """Return bars of the minutes in [first, end), from ticks that a client could have received by `now_us`."""


class LiveMarket:
    """Generates ticks in real time; ticks of one second are sent during the next."""

    def __init__(self, catalogue: Catalogue, *, symbols: tuple[str, ...], rate: float, seed: int) -> None:
        rows = {catalogue.find_or_invent(symbol) for symbol in symbols}
        pace = rate / sum(catalogue.instruments[row].ticks_per_second for row in rows)
        self.catalogue = catalogue
        self.source = TickSource(catalogue.instruments, seed=seed, pace=pace)
        self._day_of_bars = lru_cache(maxsize=_CACHED_DAYS)(self._bars_of_day)

    def cursor(self) -> "LiveCursor":
        return LiveCursor(self.source)

    def encoder(self) -> PriceEncoder:
        return PriceEncoder(self.catalogue.instruments)

    def history_start(self, now_us: int) -> int:
        return (now_us // SECOND_US // DAY_SECONDS - HISTORY_DAYS) * DAY_SECONDS

    def minute_bars(self, row: int, first: int, end: int, now_us: int) -> Bars:
        known_until = now_us // SECOND_US - 1
        parts: list[Bars] = []
        while first < min(end, known_until):
            next_day = (first // DAY_SECONDS + 1) * DAY_SECONDS
            if first % DAY_SECONDS == 0 and next_day <= min(end, known_until):
                parts.append(self._day_of_bars(row, first))
            else:
                parts.append(minute_bars(self.source, row, first, min(end, next_day), known_until=known_until))
            first = next_day
        return Bars.joined(parts)

    def _bars_of_day(self, row: int, first: int) -> Bars:
        end = first + DAY_SECONDS
        return minute_bars(self.source, row, first, end, known_until=end)


class LiveCursor:
    def __init__(self, source: TickSource) -> None:
        self._source = source
        self._rows: Integers = np.empty(0, dtype=np.int64)
        self._position_us = 0  # every tick before this time has been taken
        self._second = 0  # the one whose ticks are loaded
        self._ticks, self._offsets_us, self._next = Ticks.none(), np.empty(0, dtype=np.int64), 0

    @property
    def ended(self) -> bool:
        return False

    def subscribe(self, rows: list[int], now_us: int) -> Ticks:
        if not len(self._rows):
            self._position_us = now_us - SECOND_US
        fresh = [row for row in dict.fromkeys(rows) if row not in self._rows]
        self._rows = np.concatenate([self._rows, np.array(fresh, dtype=np.int64)])
        self._load()
        return Ticks.joined([self._source.last_before(row, self._position_us) for row in fresh])

    def unsubscribe(self, rows: list[int]) -> None:
        self._rows = self._rows[~np.isin(self._rows, rows)]
        self._load()

    def take(self, now_us: int, limit: int) -> Ticks:
        target_us = now_us - SECOND_US
        while len(self._rows) and self._position_us < target_us:
            due = int(np.searchsorted(self._offsets_us, target_us - self._second * SECOND_US))
            if due > self._next:
                return self._take_until(min(due, self._next + limit))
            self._move_to(min(target_us, (self._second + 1) * SECOND_US))
        return Ticks.none()

    def next_due_us(self) -> int:
        if not len(self._rows):
            return NEVER_US
        offset_us = int(self._offsets_us[self._next]) + 1 if self._next < len(self._ticks) else SECOND_US
        return (self._second + 1) * SECOND_US + offset_us

    def _take_until(self, end: int) -> Ticks:
        """Take ticks with the same offset together: there is no position between them."""
        last_offset_us = int(self._offsets_us[end - 1])
        end = int(np.searchsorted(self._offsets_us, last_offset_us, side="right"))
        taken = self._ticks[self._next : end]
        self._next = end
        self._move_to(self._second * SECOND_US + last_offset_us + 1)
        return taken

    def _move_to(self, position_us: int) -> None:
        self._position_us = position_us
        if position_us // SECOND_US != self._second:
            self._load()

    def _load(self) -> None:
        self._second, offset_us = divmod(self._position_us, SECOND_US)
        self._ticks, self._offsets_us = self._source.second(self._rows, self._second)
        self._next = int(np.searchsorted(self._offsets_us, offset_us))
