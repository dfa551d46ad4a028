"""A market that replays recorded ticks, as the tutorial's `time,symbol,price,day_volume` files hold them."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Final

import numpy as np

from candleworks.errors import TerminalError, UsageError
from candleworks.simulate.bars import MINUTE, Bars
from candleworks.simulate.catalogue import Catalogue
from candleworks.simulate.days import day_start
from candleworks.simulate.market import NEVER_US, SECOND_US
from candleworks.simulate.noise import Integers
from candleworks.simulate.ticks import NO_VOLUME, Ticks

COLUMNS: Final = ["time", "symbol", "price", "day_volume"]


@dataclass(frozen=True)
class Recording:
    """Recorded ticks in the order of their arrival.

    `instants_us` is when each came, from the recording's first second on; ticks of one second are spread over it.
    """

    catalogue: Catalogue
    ticks: Ticks
    instants_us: Integers

    @property
    def length_seconds(self) -> int:
        return int(self.ticks.stamps[-1] - self.ticks.stamps[0])


def read_recording(path: Path, known: Catalogue) -> Recording:
    """Read `path`, newest rows first or not; what `known` says of its symbols is kept, others are made up.

    Raises UsageError where the file cannot be opened, TerminalError where it is no recording.
    """
    catalogue = Catalogue(())
    rows_of_symbols: dict[str, int] = {}
    read: list[tuple[int, int, float, int]] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for stamp_us, symbol, price, volume in _parsed(file, path):
                if symbol not in rows_of_symbols:
                    rows_of_symbols[symbol] = catalogue.add(known.instruments[known.find_or_invent(symbol)])
                read.append((stamp_us, rows_of_symbols[symbol], price, volume))
    except OSError as error:
        raise UsageError(f"--replay {path} cannot be read: {error.strerror}; give a recorded file") from error
    except UnicodeDecodeError as error:
        raise TerminalError(f"--replay {path} is not UTF-8 text: give a CSV with {','.join(COLUMNS)}") from error
    if not read:
        raise TerminalError(f"--replay {path} holds no ticks: give a CSV with rows below {','.join(COLUMNS)}")
    return _recording(catalogue, read)


def _parsed(file: Iterator[str], path: Path) -> Iterator[tuple[int, str, float, int]]:
    reader = csv.reader(file)
    if (header := next(reader, [])) != COLUMNS:
        raise TerminalError(f"--replay {path} starts with {','.join(header)!r}: expected {','.join(COLUMNS)}")
    stamps: dict[str, int] = {}
    for row in reader:
        try:
            time, symbol, price, volume = row
            if time not in stamps:
                stamps[time] = _epoch_us(time)
            yield stamps[time], symbol, _finite(price), int(float(volume)) if volume else NO_VOLUME
        except ValueError as error:
            raise TerminalError(
                f"--replay {path} line {reader.line_num} is no tick ({error}): {','.join(row)}"
            ) from error


def _epoch_us(text: str) -> int:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"the time {text} has no offset")
    return round(time.timestamp() * SECOND_US)


def _finite(text: str) -> float:
    price = float(text)
    if not math.isfinite(price):
        raise ValueError(f"the price {text} is no number")
    return price


def _recording(catalogue: Catalogue, read: list[tuple[int, int, float, int]]) -> Recording:
    """Sort stably: files are newest first, yet keep the order of arrival within a second."""
    read.sort(key=itemgetter(0))
    times_us, rows, prices, volumes = zip(*read, strict=True)
    stamps = np.array(times_us, dtype=np.int64) // SECOND_US
    _, firsts, counts = np.unique(stamps, return_index=True, return_counts=True)
    places = np.arange(len(stamps)) - np.repeat(firsts, counts)
    offsets_us = (places * 2 + 1) * SECOND_US // (2 * np.repeat(counts, counts))
    ticks = Ticks(
        rows=np.array(rows, dtype=np.int64),
        stamps=stamps,
        prices=np.array(prices),
        bids=np.array(prices),
        asks=np.array(prices),
        volumes=np.array(volumes, dtype=np.int64),
    )
    return Recording(catalogue, ticks, (stamps - stamps[0]) * SECOND_US + offsets_us)


@dataclass(frozen=True)
class Showing:
    """One run of the recording: when it began, and what is added to its stamps."""

    started_us: int
    shift_seconds: int


class RecordedMarket:
    """Replays a recording.

    With a speed there is one showing: it begins with the first subscription, and who comes later joins in the middle,
    as on a real market. At speed 0 every client has its own showing, from the first tick, as fast as it reads.

    Unless stamps are kept they are all shifted alike, so that the last one comes as the current second: at speed 1 the
    recording's first second is then the second of the first subscription, and at no speed a stamp lies in the future.
    """

    def __init__(self, recording: Recording, *, speed: float, keep_stamps: bool) -> None:
        self.catalogue = recording.catalogue
        self.recording = recording
        self.speed = speed
        self.keep_stamps = keep_stamps
        self.showing: Showing | None = None

    def cursor(self) -> "ReplayCursor":
        return ReplayCursor(self)

    def begin(self, now_us: int) -> Showing:
        """The showing that a client who subscribes now takes part in."""
        if self.showing is None or not self.speed:
            self.showing = Showing(now_us, 0 if self.keep_stamps else self._shift_seconds(now_us))
        return self.showing

    def progress(self, showing: Showing, now_us: int) -> int:
        """How many ticks of the recording are due."""
        if not self.speed:
            return len(self.recording.ticks)
        return int(np.searchsorted(self.recording.instants_us, (now_us - showing.started_us) * self.speed, "right"))

    def history_start(self, now_us: int) -> int:  # noqa: ARG002 - a recording's history is all of it
        shift = self.showing.shift_seconds if self.showing else 0
        return int(self.recording.ticks.stamps[0] + shift) // MINUTE * MINUTE

    def minute_bars(self, row: int, first: int, end: int, now_us: int) -> Bars:
        if self.showing is None:
            return Bars.joined(())
        sent = self.recording.ticks[: self.progress(self.showing, now_us)]
        ticks = sent[np.flatnonzero(sent.rows == row)]
        stamps = ticks.stamps + self.showing.shift_seconds
        bars = Bars(stamps, ticks.prices, ticks.prices, ticks.prices, ticks.prices, self._increases(row, ticks))
        inside = slice(*np.searchsorted(stamps, [first, end]).tolist())
        return bars[inside].grouped(stamps[inside] - stamps[inside] % MINUTE)

    def _shift_seconds(self, now_us: int) -> int:
        length = self.recording.length_seconds
        hurried = length if not self.speed else max(0.0, length * (1 - 1 / self.speed))
        return now_us // SECOND_US - math.ceil(hurried) - int(self.recording.ticks.stamps[0])

    def _increases(self, row: int, ticks: Ticks) -> Integers:
        """What each tick added to the highest total of its recorded day; 0 for the first day's first total."""
        zone = self.catalogue.instruments[row].exchange.timezone
        highest: dict[int, int] = {}
        increases = []
        for stamp, volume in zip(ticks.stamps.tolist(), ticks.volumes.tolist(), strict=True):
            day = day_start(zone, stamp)
            known = highest.setdefault(day, 0 if highest else volume)
            increases.append(max(0, volume - known) if known != NO_VOLUME else 0)
            highest[day] = max(known, volume)
        return np.array(increases, dtype=np.int64)


class ReplayCursor:
    def __init__(self, market: RecordedMarket) -> None:
        self._market = market
        self._recording = market.recording
        self._wanted = np.zeros(len(market.catalogue.instruments), dtype=np.bool_)
        self._showing: Showing | None = None
        self._next = 0

    @property
    def ended(self) -> bool:
        return self._next == len(self._recording.ticks)

    def subscribe(self, rows: list[int], now_us: int) -> Ticks:
        if self._showing is None:
            self._showing = self._market.begin(now_us)
            self._next = self._market.progress(self._showing, now_us) if self._market.speed else 0
        seen = self._recording.ticks.rows[: self._next]
        fresh = [row for row in dict.fromkeys(rows) if not self._wanted[row]]
        self._wanted[fresh] = True
        latest = [found[-1] for row in fresh if len(found := np.flatnonzero(seen == row))]
        return self._shifted(self._recording.ticks[np.array(latest, dtype=np.int64)], self._showing)

    def unsubscribe(self, rows: list[int]) -> None:
        self._wanted[rows] = False

    def take(self, now_us: int, limit: int) -> Ticks:
        if self._showing is None:
            return Ticks.none()
        due = self._market.progress(self._showing, now_us)
        while self._next < due:
            passed = slice(self._next, min(due, self._next + limit))
            self._next = passed.stop
            chosen = np.flatnonzero(self._wanted[self._recording.ticks.rows[passed]]) + passed.start
            if len(chosen):
                return self._shifted(self._recording.ticks[chosen], self._showing)
        return Ticks.none()

    def next_due_us(self) -> int:
        if self._showing is None or self.ended:
            return NEVER_US
        if not self._market.speed:
            return self._showing.started_us
        instant_us = int(self._recording.instants_us[self._next])
        return self._showing.started_us + math.ceil(instant_us / self._market.speed)

    @staticmethod
    def _shifted(ticks: Ticks, showing: Showing) -> Ticks:
        return Ticks(
            ticks.rows, ticks.stamps + showing.shift_seconds, ticks.prices, ticks.bids, ticks.asks, ticks.volumes
        )
