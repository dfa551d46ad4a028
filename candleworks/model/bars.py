"""Bars, the order of their prices, and the ticks that represent them in the table of trades."""

from collections.abc import Sequence
from dataclasses import dataclass

from candleworks.model.trades import MICROSECONDS

MINUTE_US = 60 * MICROSECONDS
BAR_ORIGIN = "bar"
LIVE_ORIGIN = "twelvedata"

# The OHLC rule: the first of each pair is at most the second.
OHLC_ORDER = (("low", "open"), ("open", "high"), ("low", "close"), ("close", "high"))

Spans = Sequence[tuple[int, int]]  # [start, stop) in microseconds since 1970, ascending, without overlaps


@dataclass(frozen=True, slots=True)
class Bar:
    """`minute_us` is the start of the bar's minute or longer interval; `volume` is None where it is unknown."""

    minute_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float | None


@dataclass(frozen=True, slots=True)
class MinuteSummary:
    """The stored ticks of a minute, without bars.

    `known` counts the ticks inside the minute's gap; `recorded` is true when one of these comes from a recording.
    `volume` is the volume of ticks without a running total.
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


def follows_ohlc_order(open_: float, high: float, low: float, close: float) -> bool:
    """Whether the prices of a bar do not contradict each other: low <= open, close <= high."""
    prices = {"open": open_, "high": high, "low": low, "close": close}
    return all(prices[lower] <= prices[upper] for lower, upper in OHLC_ORDER)


def period_of(interval_us: int) -> str:
    """Return the name of a bar's length, as of candle levels: 1m, 4h, 1d."""
    minutes = interval_us // MINUTE_US
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


def within(spans: Spans, start: int, stop: int) -> list[tuple[int, int]]:
    """Return the parts of `spans` that lie in [start, stop)."""
    return [(max(first, start), min(last, stop)) for first, last in spans if first < stop and last > start]
