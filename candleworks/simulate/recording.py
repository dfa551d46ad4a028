"""Recorded ticks, as the tutorial's `time,symbol,price,day_volume` files have them or as they come from a database."""

import csv
import math
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from candleworks.errors import TerminalError, UsageError
from candleworks.model.tick_validation import VOLUME_FAULTS, number_fault
from candleworks.simulate.catalogue import Catalogue
from candleworks.simulate.ticks import NO_VOLUME, Integers, Ticks

COLUMNS: Final = ["time", "symbol", "price", "day_volume"]
SECOND_US: Final = 1_000_000


@dataclass(frozen=True)
class Recording:
    """Recorded ticks in the order of their arrival.

    `offsets_us` is when each arrived after the recording's first second; ticks of one second are spread over it.
    `symbols` are as recorded, by row.
    """

    symbols: tuple[str, ...]
    catalogue: Catalogue
    ticks: Ticks
    offsets_us: Integers

    def __len__(self) -> int:
        return len(self.ticks)

    @property
    def length_seconds(self) -> int:
        return int(self.ticks.event_times[-1] - self.ticks.event_times[0])

    def shift_seconds(self, speed: float, now_us: int) -> int:
        """Return what to add to the timestamps so that the last one is current when sent at this speed from now on."""
        length = self.length_seconds
        saved = length if not speed else max(0.0, length * (1 - 1 / speed))
        return now_us // SECOND_US - math.ceil(saved) - int(self.ticks.event_times[0])

    def without(self, known: Counter[tuple[str, int, float, float | None]]) -> "Recording":
        """Leave out these ticks (symbol, timestamp, price, volume), each as often as it is counted."""
        rows = {symbol: row for row, symbol in enumerate(self.symbols)}
        left = Counter({(rows[symbol], *rest): count for (symbol, *rest), count in known.items()})
        kept = np.ones(len(self), dtype=np.bool_)
        for row, event_time in {(row, event_time) for row, event_time, *_ in left}:
            for place in np.flatnonzero((self.ticks.rows == row) & (self.ticks.event_times == event_time)).tolist():
                volume = float(self.ticks.volumes[place])
                tick = (row, event_time, float(self.ticks.prices[place]), None if volume == NO_VOLUME else volume)
                if left[tick]:
                    left[tick] -= 1
                    kept[place] = False
        places = np.flatnonzero(kept)
        return replace(self, ticks=self.ticks[places], offsets_us=self.offsets_us[places])

    def shifted(self, seconds: int) -> "Recording":
        return replace(self, ticks=replace(self.ticks, event_times=self.ticks.event_times + seconds))


@dataclass(frozen=True)
class RecordingSelection:
    """A part of a recording: these symbols (empty: all), with timestamps in [start_us, stop_us)."""

    symbols: frozenset[str] = frozenset()
    start_us: float = -math.inf
    stop_us: float = math.inf

    def contains(self, event_us: int, symbol: str) -> bool:
        return self.start_us <= event_us < self.stop_us and (not self.symbols or symbol in self.symbols)


@dataclass
class RecordingBuilder:
    """Collects ticks in compact columns, 48 bytes each; ticks of one symbol are added in the order of arrival."""

    symbols: dict[str, int] = field(default_factory=dict)
    rows: "array[int]" = field(default_factory=lambda: array("q"))
    times_us: "array[int]" = field(default_factory=lambda: array("q"))
    prices: "array[float]" = field(default_factory=lambda: array("d"))
    volumes: "array[float]" = field(default_factory=lambda: array("d"))
    bids: "array[float]" = field(default_factory=lambda: array("d"))
    asks: "array[float]" = field(default_factory=lambda: array("d"))

    def add(
        self,
        time_us: int,
        symbol: str,
        price: float,
        volume: float | None,
        bid: float | None = None,
        ask: float | None = None,
    ) -> None:
        self.times_us.append(time_us)
        self.rows.append(self.symbols.setdefault(symbol, len(self.symbols)))
        self.prices.append(price)
        self.volumes.append(NO_VOLUME if volume is None else volume)
        self.bids.append(math.nan if bid is None else bid)
        self.asks.append(math.nan if ask is None else ask)

    def __len__(self) -> int:
        return len(self.times_us)

    def recording(self, known: Catalogue) -> Recording:
        """Sort stably: files are newest first, but keep the order of arrival within a second.

        Instruments that `known` has are taken from it.
        """
        catalogue = Catalogue(known.find_or_record(symbol) for symbol in self.symbols)
        times_us = np.frombuffer(self.times_us, dtype=np.int64)
        order = np.argsort(times_us, kind="stable")
        event_times = times_us[order] // SECOND_US
        _, firsts, counts = np.unique(event_times, return_index=True, return_counts=True)
        places = np.arange(len(event_times)) - np.repeat(firsts, counts)
        offsets_us = (places * 2 + 1) * SECOND_US // (2 * np.repeat(counts, counts))
        ticks = Ticks(
            rows=np.frombuffer(self.rows, dtype=np.int64)[order],
            event_times=event_times,
            prices=np.frombuffer(self.prices)[order],
            bids=np.frombuffer(self.bids)[order],
            asks=np.frombuffer(self.asks)[order],
            volumes=np.frombuffer(self.volumes)[order],
        )
        return Recording(tuple(self.symbols), catalogue, ticks, (event_times - event_times[0]) * SECOND_US + offsets_us)


def read_recording(
    path: Path, known: Catalogue, part: RecordingSelection | None = None, *, named: str = "--replay "
) -> Recording:
    """Read a CSV file in any order; instruments that `known` has are taken from it, others are invented.

    Raises UsageError when the file cannot be opened and TerminalError when it is not a recording; `named` comes before
    the path in their messages.
    """
    part = part or RecordingSelection()
    builder = RecordingBuilder()
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for event_us, symbol, price, volume in _parsed(file, f"{named}{path}"):
                if part.contains(event_us, symbol):
                    builder.add(event_us, symbol, price, volume)
    except OSError as error:
        raise UsageError(f"{named}{path} cannot be read: {error.strerror}; give a recorded file") from error
    except UnicodeDecodeError as error:
        raise TerminalError(f"{named}{path} is not UTF-8 text: give a CSV with {','.join(COLUMNS)}") from error
    if not builder:
        wanted = "no ticks" if part == RecordingSelection() else "no such ticks"
        raise TerminalError(f"{named}{path} contains {wanted}: give a CSV with rows below {','.join(COLUMNS)}")
    return builder.recording(known)


def _parsed(file: Iterator[str], name: str) -> Iterator[tuple[int, str, float, float | None]]:
    reader = csv.reader(file)
    if (header := next(reader, [])) != COLUMNS:
        raise TerminalError(f"{name} starts with {','.join(header)!r}: expected {','.join(COLUMNS)}")
    event_times: dict[str, int] = {}
    for row in reader:
        try:
            time, symbol, price, volume = row
            if time not in event_times:
                event_times[time] = _epoch_us(time)
            yield event_times[time], symbol, _number("price", price), _number("day_volume", volume) if volume else None
        except ValueError as error:
            raise TerminalError(f"{name} line {reader.line_num} is not a tick ({error}): {','.join(row)}") from error


def _epoch_us(text: str) -> int:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"the time {text} has no offset")
    return round(time.timestamp() * SECOND_US)


def _number(name: str, text: str) -> float:
    value = float(text)
    if fault := number_fault(value, VOLUME_FAULTS):
        raise ValueError(f"the {name} {text} {fault}")
    return value
