"""A market that replays recorded ticks."""

import math
from dataclasses import dataclass

import numpy as np

from candleworks.model.trades import volume_increase
from candleworks.simulate.bars import MINUTE, Bars
from candleworks.simulate.catalogue import day_start
from candleworks.simulate.market import NEVER_US
from candleworks.simulate.recording import Recording
from candleworks.simulate.ticks import NO_VOLUME, Integers, PriceEncoder, RecordedEncoder, Ticks


@dataclass(frozen=True)
class Playback:
    """One playback of the recording: when it started, and what is added to its timestamps."""

    started_us: int
    shift_seconds: int


class RecordedMarket:
    """Replays a recording.

    With a speed above 0 there is one playback: it starts with the first subscription, and later clients join in the
    middle, as on a real market. At speed 0 every client has its own playback, from the first tick, as fast as it reads.

    Unless `keep_times` is set, all timestamps are shifted by the same amount, so that the last one arrives as the
    current second: at speed 1 the recording's first second is the second of the first subscription, and no timestamp is
    in the future at any speed.
    """

    def __init__(self, recording: Recording, *, speed: float, keep_times: bool) -> None:
        self.catalogue = recording.catalogue
        self.recording = recording
        self.speed = speed
        self.keep_times = keep_times
        self.playback: Playback | None = None

    def cursor(self) -> "ReplayCursor":
        return ReplayCursor(self)

    def encoder(self) -> PriceEncoder:
        return RecordedEncoder(self.catalogue.instruments)

    def begin(self, now_us: int) -> Playback:
        """Return the playback that a client joins that subscribes now."""
        if self.playback is None or not self.speed:
            self.playback = Playback(now_us, 0 if self.keep_times else self.recording.shift_seconds(self.speed, now_us))
        return self.playback

    def progress(self, playback: Playback, now_us: int) -> int:
        """Return how many ticks of the recording are due."""
        if not self.speed:
            return len(self.recording.ticks)
        return int(np.searchsorted(self.recording.offsets_us, (now_us - playback.started_us) * self.speed, "right"))

    def history_start(self, now_us: int) -> int:  # noqa: ARG002 - a recording's history is all of it
        shift = self.playback.shift_seconds if self.playback else 0
        return int(self.recording.ticks.event_times[0] + shift) // MINUTE * MINUTE

    def minute_bars(self, row: int, first: int, end: int, now_us: int) -> Bars:
        if self.playback is None:
            return Bars.joined(())
        sent = self.recording.ticks[: self.progress(self.playback, now_us)]
        ticks = sent[np.flatnonzero(sent.rows == row)]
        event_times = ticks.event_times + self.playback.shift_seconds
        bars = Bars(event_times, ticks.prices, ticks.prices, ticks.prices, ticks.prices, self._increases(row, ticks))
        inside = slice(*np.searchsorted(event_times, [first, end]).tolist())
        return bars[inside].grouped(event_times[inside] - event_times[inside] % MINUTE)

    def _increases(self, row: int, ticks: Ticks) -> Integers:
        """Return the volume of each tick by its recorded day; 0 for the first running total of all."""
        zone = self.catalogue.instruments[row].exchange.timezone
        highest: dict[int, float] = {}
        increases = []
        for event_time, volume in zip(ticks.event_times.tolist(), ticks.volumes.tolist(), strict=True):
            day = day_start(zone, event_time)
            known = highest.setdefault(day, 0 if highest else volume)
            increases.append((volume_increase(volume, known) or 0) if known != NO_VOLUME else 0)
            highest[day] = max(known, volume)
        return np.array(increases, dtype=np.int64)


class ReplayCursor:
    def __init__(self, market: RecordedMarket) -> None:
        self._market = market
        self._recording = market.recording
        self._wanted = np.zeros(len(market.catalogue.instruments), dtype=np.bool_)
        self._playback: Playback | None = None
        self._next = 0

    @property
    def ended(self) -> bool:
        return self._next == len(self._recording.ticks)

    def subscribe(self, rows: list[int], now_us: int) -> Ticks:
        if self._playback is None:
            self._playback = self._market.begin(now_us)
            self._next = self._market.progress(self._playback, now_us) if self._market.speed else 0
        seen = self._recording.ticks.rows[: self._next]
        fresh = [row for row in dict.fromkeys(rows) if not self._wanted[row]]
        self._wanted[fresh] = True
        latest = [found[-1] for row in fresh if len(found := np.flatnonzero(seen == row))]
        return self._shifted(self._recording.ticks[np.array(latest, dtype=np.int64)], self._playback)

    def unsubscribe(self, rows: list[int]) -> None:
        self._wanted[rows] = False

    def take(self, now_us: int, limit: int) -> Ticks:
        if self._playback is None:
            return Ticks.none()
        due = self._market.progress(self._playback, now_us)
        while self._next < due:
            passed = slice(self._next, min(due, self._next + limit))
            self._next = passed.stop
            chosen = np.flatnonzero(self._wanted[self._recording.ticks.rows[passed]]) + passed.start
            if len(chosen):
                return self._shifted(self._recording.ticks[chosen], self._playback)
        return Ticks.none()

    def next_due_us(self) -> int:
        if self._playback is None or self.ended:
            return NEVER_US
        if not self._market.speed:
            return self._playback.started_us
        offset_us = int(self._recording.offsets_us[self._next])
        return self._playback.started_us + math.ceil(offset_us / self._market.speed)

    @staticmethod
    def _shifted(ticks: Ticks, playback: Playback) -> Ticks:
        return Ticks(
            ticks.rows, ticks.event_times + playback.shift_seconds, ticks.prices, ticks.bids, ticks.asks, ticks.volumes
        )
