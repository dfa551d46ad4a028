"""A market that replays recorded ticks."""

import math
from dataclasses import dataclass

import numpy as np

from candleworks.simulate.bars import MINUTE, Bars
from candleworks.simulate.days import day_start
from candleworks.simulate.frames import PriceEncoder, RecordedEncoder
from candleworks.simulate.market import NEVER_US
from candleworks.simulate.noise import Integers
from candleworks.simulate.recording import Recording
from candleworks.simulate.ticks import NO_VOLUME, Ticks


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

    def encoder(self) -> PriceEncoder:
        return RecordedEncoder(self.catalogue.instruments)

    def begin(self, now_us: int) -> Showing:
        """The showing that a client who subscribes now takes part in."""
        if self.showing is None or not self.speed:
            self.showing = Showing(now_us, 0 if self.keep_stamps else self.recording.shift_seconds(self.speed, now_us))
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
