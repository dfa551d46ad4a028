"""One-minute bars of the vendor, and the ticks that stand for them in the table of trades."""

from collections.abc import Sequence
from dataclasses import dataclass

from candleworks.model.trades import MICROSECONDS

MINUTE_US = 60 * MICROSECONDS
BAR_ORIGIN = "bar"
LIVE_ORIGIN = "twelvedata"

Spans = Sequence[tuple[int, int]]  # [start, stop) in microseconds since 1970, ascending and apart


@dataclass(frozen=True, slots=True)
class Bar:
    """`minute_us` is the first moment of the minute; `volume` is None where the vendor tells none."""

    minute_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float | None


@dataclass(frozen=True, slots=True)
class MinuteSummary:
    """What is stored of a minute besides bars.

    `known` counts the ticks inside the minute's gap; `recorded` tells that one of these comes from a recording.
    `volume` is that of ticks without a running total.
    """

    first_us: int
    last_us: int
    low: float
    high: float
    volume: float
    known: int
    recorded: bool


@dataclass(frozen=True, slots=True)
class BarTick:
    time_us: int
    price: float


def within(spans: Spans, start: int, stop: int) -> list[tuple[int, int]]:
    """Return what of `spans` lies in [start, stop)."""
    return [(max(first, start), min(last, stop)) for first, last in spans if first < stop and last > start]
