"""Bars of the simulated market: the open, high, low, close and volume of its ticks."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from candleworks.simulate.catalogue import SimulatedInstrument, day_start
from candleworks.simulate.prices import SLOTS, TickSource
from candleworks.simulate.ticks import Floats, Integers

MINUTE: Final = 60
_PART_SECONDS: Final = 60 * MINUTE  # so long are ticks made at once: those of a day may need 500 MB
_SHARED_PRICES_FROM: Final = 4 * SLOTS  # so many ticks in a second surely touch every slot


@dataclass(frozen=True)
class Bars:
    """Equally long columns, oldest first; buckets without ticks have no bar. `starts` are seconds since 1970."""

    starts: Integers
    opens: Floats
    highs: Floats
    lows: Floats
    closes: Floats
    volumes: Integers

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, part: slice) -> Self:
        return type(self)(
            self.starts[part],
            self.opens[part],
            self.highs[part],
            self.lows[part],
            self.closes[part],
            self.volumes[part],
        )

    @classmethod
    def joined(cls, parts: "Iterable[Bars]") -> Self:
        columns = [(bars.starts, bars.opens, bars.highs, bars.lows, bars.closes, bars.volumes) for bars in parts]
        if not columns:
            floats, integers = np.empty(0), np.empty(0, dtype=np.int64)
            return cls(integers, floats, floats, floats, floats, integers)
        return cls(*(np.concatenate(column) for column in zip(*columns, strict=True)))

    def grouped(self, starts: Integers) -> Self:
        """Merge into wider bars: `starts` is the start of the bucket of each bar."""
        if not len(self):
            return self
        firsts = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
        lasts = np.append(firsts[1:], len(starts)) - 1
        return type(self)(
            starts[firsts],
            self.opens[firsts],
            np.maximum.reduceat(self.highs, firsts),
            np.minimum.reduceat(self.lows, firsts),
            self.closes[lasts],
            np.add.reduceat(self.volumes, firsts),
        )


def bucket_starts(instrument: SimulatedInstrument, minutes: Integers, width_minutes: int) -> Integers:
    """Return the bucket of each minute: trading days for 1440 minutes, else multiples of the width in UTC."""
    if width_minutes == 24 * MINUTE:
        zone = instrument.exchange.timezone
        return np.array([day_start(zone, minute) for minute in minutes.tolist()], dtype=np.int64)
    width = width_minutes * MINUTE
    starts: Integers = minutes - minutes % width
    return starts


def minute_bars(source: TickSource, row: int, first: int, end: int, *, known_until: int) -> Bars:
    """Return one-minute bars of the ticks in [first, end), both full minutes, and before `known_until`."""
    until = min(end, known_until)
    parts = range(first, until, _PART_SECONDS)
    return Bars.joined(_bars_of_part(source, row, part, min(until, part + _PART_SECONDS)) for part in parts)


def _bars_of_part(source: TickSource, row: int, first: int, until: int) -> Bars:
    rows = np.array([row])
    counters = source.counters(rows, first, until - first + 1)[0]
    counts = np.diff(counters)
    busy = np.flatnonzero(counts)
    if not len(busy):
        return Bars.joined(())
    seconds, units = _prices_of_seconds(source, row, first, counts, busy)
    prices = source.prices(np.full(len(units), row), units)
    minutes = seconds - seconds % MINUTE
    firsts = np.flatnonzero(np.diff(minutes, prepend=minutes[0] - 1))
    lasts = np.append(firsts[1:], len(minutes)) - 1
    return Bars(
        starts=minutes[firsts],
        opens=prices[firsts],
        highs=np.maximum.reduceat(prices, firsts),
        lows=np.minimum.reduceat(prices, firsts),
        closes=prices[lasts],
        volumes=_volumes(source, row, minutes[firsts], counters, span=(first, until)),
    )


def _prices_of_seconds(
    source: TickSource, row: int, first: int, counts: Integers, busy: Integers
) -> tuple[Integers, Integers]:
    """Return seconds and prices, in order, of the ticks or, in seconds with very many, of the slots that they share."""
    path = source.paths(np.array([row]), first, len(counts) + 1)[0]
    shared = counts[busy] >= _SHARED_PRICES_FROM
    points = np.where(shared, SLOTS, counts[busy])
    owners = np.repeat(busy, points)
    numbers = np.arange(len(owners)) - np.repeat(np.cumsum(points) - points, points)
    seconds = first + owners
    rows = np.full(len(owners), row)
    fractions = (numbers + source.phases(rows, seconds)) / counts[owners]
    slots = np.minimum(fractions * SLOTS, SLOTS - 1).astype(np.int64)
    slots = np.where(np.repeat(shared, points), numbers, slots)
    return seconds, source.units(rows, seconds, slots, path[owners], path[owners + 1])


def _volumes(source: TickSource, row: int, minutes: Integers, counters: Integers, *, span: tuple[int, int]) -> Integers:
    """Return the increase of the day's running total within each minute; all of it in the first minute of the day."""
    first, until = span
    before = counters[minutes - first]
    after = counters[np.minimum(minutes + MINUTE, until) - first]
    zone = source.instruments[row].exchange.timezone
    starts = [day_start(zone, minute) for minute in minutes.tolist()]
    of_day = {start: int(source.counters(np.array([row]), start, 1)[0, 0]) for start in set(starts)}
    origins = np.array([of_day[start] for start in starts], dtype=np.int64)
    rows = np.full(len(minutes), row)
    totals_after = source.day_volumes(rows, after - 1 - origins, after - 1)
    totals_before = source.day_volumes(rows, before - 1 - origins, before - 1)
    volumes: Integers = totals_after - np.where(before > origins, totals_before, 0)
    return volumes
