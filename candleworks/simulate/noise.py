"""Random numbers that are a function of where they stand, not of what was drawn before.

A market made of them can be asked for any second of any day, in any order, and answers the same.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_TO_UNIT: Final = 2.0**-53


def scrambled(keys: Keys, index: Integers) -> Keys:
    """64 well-mixed bits for each (key, index): the output function of SplitMix64 (Steele, Lea, Flood 2014)."""
    bits: Keys = keys + index.astype(np.uint64) * _GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
    return bits ^ (bits >> np.uint64(31))


def uniform(keys: Keys, index: Integers) -> Floats:
    """A number in [0, 1) for each (key, index)."""
    return (scrambled(keys, index) >> np.uint64(11)).astype(np.float64) * _TO_UNIT


def wander(keys: Keys, first_second: int, count: int, octaves: tuple[tuple[int, float], ...]) -> Floats:
    """One row per key and one column per second: the sum of value noises, one per (period in seconds, amplitude).

    Each noise runs straight from one lattice point to the next; its values lie in [-amplitude, amplitude).
    """
    total = np.zeros((len(keys), count))
    seconds = first_second + np.arange(count, dtype=np.int64)
    for number, (period, amplitude) in enumerate(octaves):
        octave_keys = scrambled(keys, np.full(len(keys), number, dtype=np.int64))
        phases = (octave_keys % np.uint64(period)).astype(np.int64)  # or all octaves would bend in the same second
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
