"""Bars, and the ticks that stand for them in the table of trades."""

from collections.abc import Sequence
from dataclasses import dataclass

from candleworks.model.trades import MICROSECONDS

MINUTE_US = 60 * MICROSECONDS
BAR_ORIGIN = "bar"
LIVE_ORIGIN = "twelvedata"

Spans = Sequence[tuple[int, int]]  # [start, stop) in microseconds since 1970, ascending and apart


@dataclass(frozen=True, slots=True)
class Bar:
    """`minute_us` is the first moment of the bar's minute or longer interval; `volume` is None where none is known."""

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


def period_of(interval_us: int) -> str:
    """Write a bar's length as candle levels are called: 1m, 4h, 1d."""
    minutes = interval_us // MINUTE_US
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


def within(spans: Spans, start: int, stop: int) -> list[tuple[int, int]]:
    """Return what of `spans` lies in [start, stop)."""
    return [(max(first, start), min(last, stop)) for first, last in spans if first < stop and last > start]
