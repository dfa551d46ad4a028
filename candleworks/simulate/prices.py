"""A simulated market: the ticks of any symbol in any second, computed from a seed.

Nothing is drawn in sequence. The number of ticks in a second, their prices and their running volume are functions of
(seed, symbol, second), so bars computed for last Tuesday agree with the ticks that a client received last Tuesday.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from candleworks.simulate.catalogue import SimulatedInstrument, day_start
from candleworks.simulate.ticks import Floats, Integers, Ticks

Keys = NDArray[np.uint64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_TO_UNIT: Final = 2.0**-53


def mixed_bits(keys: Keys, index: Integers) -> Keys:
    """Return 64 random bits for each (key, index): the output function of SplitMix64 (Steele, Lea, Flood 2014)."""
    bits: Keys = keys + index.astype(np.uint64) * _GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
    return bits ^ (bits >> np.uint64(31))


def uniform(keys: Keys, index: Integers) -> Floats:
    """Return a number in [0, 1) for each (key, index)."""
    return (mixed_bits(keys, index) >> np.uint64(11)).astype(np.float64) * _TO_UNIT


def value_noise(keys: Keys, first_second: int, count: int, octaves: tuple[tuple[int, float], ...]) -> Floats:
    """Return one row per key and one column per second: a sum of value noises, one per (period in seconds, amplitude).

    Each noise runs straight from one lattice point to the next; its values lie in [-amplitude, amplitude).
    """
    total = np.zeros((len(keys), count))
    seconds = first_second + np.arange(count, dtype=np.int64)
    for number, (period, amplitude) in enumerate(octaves):
        octave_keys = mixed_bits(keys, np.full(len(keys), number, dtype=np.int64))
        phases = (octave_keys % np.uint64(period)).astype(
            np.int64
        )  # so that octaves do not change direction in the same second
        shifted = seconds + phases[:, None]
        lattice = shifted // period
        columns = lattice - lattice[:, :1]
        points = lattice[:, :1] + np.arange((count - 1) // period + 3)
        heights = uniform(octave_keys[:, None], points)
        left = np.take_along_axis(heights, columns, axis=1)
        right = np.take_along_axis(heights, columns + 1, axis=1)
        share = (shifted - lattice * period) / period
        total += ((left + (right - left) * share) * 2 - 1) * amplitude
    return total


SLOTS: Final = 64
"""Parts of a second with a price of their own; more ticks than that share prices, which bounds the cost of bars."""

_DAY_SECONDS: Final = 86_400
_MICROSECONDS: Final = 1_000_000
_ORIGIN: Final = 1_577_836_800  # 2020-01-01; smaller numbers leave a float more digits behind the point
_LONGEST_SILENCE_SECONDS: Final = 7 * _DAY_SECONDS

# The move of a day is the volatility; shorter and longer moves scale with the square root of time (random walk).
_PRICE_OCTAVES: Final = tuple((4**n * 2, (4**n * 2 / _DAY_SECONDS) ** 0.5) for n in range(11))
_JITTER: Final = (1 / _DAY_SECONDS) ** 0.5
# Between 0.4 and 1.6 times the usual rate: ticks come in bursts, but never stop.
_PACE_OCTAVES: Final = tuple((period, 0.1 * period) for period in (7, 61, 907))


class TickSource:
    """The ticks of `instruments`; `pace` multiplies each one's `ticks_per_second`."""

    def __init__(self, instruments: Sequence[SimulatedInstrument], *, seed: int, pace: float) -> None:
        self.instruments = instruments
        base = np.array([_key(seed, instrument) for instrument in instruments], dtype=np.uint64)
        self._path_keys, self._pace_keys, self._phase_keys, self._jitter_keys, self._volume_keys = (
            mixed_bits(base, np.full(len(base), purpose, dtype=np.int64)) for purpose in range(1, 6)
        )
        self._rates = np.array([instrument.ticks_per_second * pace for instrument in instruments])
        self._bases = np.array([instrument.price for instrument in instruments])
        self._volatilities = np.array([instrument.daily_volatility for instrument in instruments])
        self._scales = np.array([10.0**instrument.digits for instrument in instruments])
        self._spreads = np.maximum(1, np.round(self._bases * self._scales * 2e-5)).astype(np.int64)
        daily_volumes = np.array([instrument.daily_volume for instrument in instruments])
        self._sizes = np.maximum(1.0, daily_volumes / (self._rates * _DAY_SECONDS))

    def paths(self, rows: Integers, first_second: int, count: int) -> Floats:
        """Relative distance from the base price at whole seconds; the price runs straight between them."""
        walk = value_noise(self._path_keys[rows], first_second, count, _PRICE_OCTAVES)
        distances: Floats = walk * self._volatilities[rows][:, None]
        return distances

    def counters(self, rows: Integers, first_second: int, count: int) -> Integers:
        """Return how many ticks each row had before each second, from the beginning of the market; never decreases."""
        warp = value_noise(self._pace_keys[rows], first_second, count, _PACE_OCTAVES)
        elapsed = (first_second - _ORIGIN) + np.arange(count) + warp
        counters: Integers = np.floor(elapsed * self._rates[rows][:, None]).astype(np.int64)
        return counters

    def phases(self, rows: Integers, seconds: Integers) -> Floats:
        """Tick k of n in a second comes at the fraction (k + phase) / n of it."""
        return uniform(self._phase_keys[rows], seconds)

    def units(self, rows: Integers, seconds: Integers, slots: Integers, left: Floats, right: Floats) -> Integers:
        """Prices counted in the smallest step of each instrument; `left` and `right` are the path around the second."""
        jitter = (
            (uniform(self._jitter_keys[rows], seconds * SLOTS + slots) * 2 - 1) * self._volatilities[rows] * _JITTER
        )
        distance = left + (right - left) * ((slots + 0.5) / SLOTS) + jitter
        exact = self._bases[rows] * (1 + distance) * self._scales[rows]
        units: Integers = np.maximum(np.floor(exact + 0.5), 1).astype(np.int64)
        return units

    def prices(self, rows: Integers, units: Integers) -> Floats:
        """Correctly rounded division, so the float prints with the instrument's digits."""
        prices: Floats = units / self._scales[rows]
        return prices

    def day_volumes(self, rows: Integers, ticks_today: Integers, counters: Integers) -> Integers:
        """The running total after the tick with this number of the day (0 is the first) and of the market."""
        shares = (ticks_today + uniform(self._volume_keys[rows], counters)) * self._sizes[rows]
        totals: Integers = np.floor(shares).astype(np.int64) + 1
        return totals

    def counters_at_day_start(self, rows: Integers, second: int) -> Integers:
        starts = [day_start(self.instruments[row].exchange.timezone, second) for row in rows.tolist()]
        counters = np.empty(len(rows), dtype=np.int64)
        for start in set(starts):
            members = np.flatnonzero(np.array(starts) == start)
            counters[members] = self.counters(rows[members], start, 1)[:, 0]
        return counters

    def second(self, rows: Integers, second: int) -> tuple[Ticks, Integers]:
        """Return all ticks of a second in the order of sending, and the offset of each in microseconds."""
        bounds = self.counters(rows, second, 2)
        counts = bounds[:, 1] - bounds[:, 0]
        path = self.paths(rows, second, 2)
        owners = np.repeat(np.arange(len(rows)), counts)
        numbers = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        event_times = np.full(len(owners), second, dtype=np.int64)
        fractions = (numbers + self.phases(rows, np.full(len(rows), second))[owners]) / counts[owners]
        slots = np.minimum(fractions * SLOTS, SLOTS - 1).astype(np.int64)
        of_tick = rows[owners]
        units = self.units(of_tick, event_times, slots, path[owners, 0], path[owners, 1])
        counters = bounds[owners, 0] + numbers
        ticks_today = counters - self.counters_at_day_start(rows, second)[owners]
        bought = counters % 2  # every other trade lifts the ask, the rest hit the bid
        spreads = self._spreads[of_tick]
        ticks = Ticks(
            rows=of_tick,
            event_times=event_times,
            prices=self.prices(of_tick, units),
            bids=self.prices(of_tick, np.maximum(units - bought * spreads, 1)),
            asks=self.prices(of_tick, units + (1 - bought) * spreads),
            volumes=self.day_volumes(of_tick, ticks_today, counters),
        )
        offsets_us = (fractions * _MICROSECONDS).astype(np.int64)
        order = np.argsort(offsets_us, kind="stable")
        return ticks[order], offsets_us[order]

    def last_before(self, row: int, time_us: int) -> Ticks:
        """Return the latest tick of `row` before `time_us`, none if the symbol had no tick for a week."""
        rows = np.array([row])
        second, offset_us = divmod(time_us, _MICROSECONDS)
        ticks, offsets_us = self.second(rows, second)
        done = int(np.searchsorted(offsets_us, offset_us))
        if done:
            return ticks[done - 1 : done]
        window = 64
        while window < _LONGEST_SILENCE_SECONDS:
            counters = self.counters(rows, second - window, window + 1)[0]
            busy = np.flatnonzero(np.diff(counters))
            if len(busy):
                ticks, _ = self.second(rows, second - window + int(busy[-1]))
                return ticks[-1:]
            window *= 4
        return Ticks.none()


def _key(seed: int, instrument: SimulatedInstrument) -> int:
    name = f"{seed}/{instrument.symbol}/{instrument.exchange.name}"
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
