"""How fast a series of samples grows, without being misled by outliers and by the steps of garbage collection."""

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

BLOCKS = 24  # neighbouring samples depend on each other, medians of blocks hardly
NORMAL_QUANTILE = statistics.NormalDist().inv_cdf(0.975)


class Slope(NamedTuple):
    """Growth per unit of time, and the ends of its 95 % interval."""

    median: float
    low: float
    high: float


def slope(times: Sequence[float], values: Sequence[float]) -> Slope:
    """Return the Theil-Sen estimator with the interval of Sen (1968), from medians of at most BLOCKS blocks.

    Raises ValueError for fewer than two different times.
    """
    points = list(zip(_medians(times), _medians(values), strict=True))
    slopes = sorted((y - x) / (t - s) for (s, x), (t, y) in itertools.combinations(points, 2) if t != s)
    if not slopes:
        raise ValueError(f"A slope needs samples at two times, got {len(times)} samples: sample for longer.")
    count = len(points)
    spread = NORMAL_QUANTILE * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    margin = max(0, math.floor((len(slopes) - spread) / 2))
    return Slope(statistics.median(slopes), slopes[margin], slopes[-1 - margin])


def _medians(values: Sequence[float]) -> list[float]:
    blocks = min(BLOCKS, len(values))
    edges = [len(values) * block // blocks for block in range(blocks + 1)]
    return [statistics.median(values[start:end]) for start, end in itertools.pairwise(edges)]
