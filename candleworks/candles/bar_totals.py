"""Running totals for bars: they continue day_volume, so that the volume rule holds for bars as for ticks."""

from collections.abc import Sequence
from typing import NamedTuple


class BarTotals(NamedTuple):
    """A bar's volume and the stored running totals around its carrier, the tick with that volume; None: there is none.

    `before` is the highest total between the previous carrier (for the day's first one: the day's start) and this
    minute, `inside` the highest within the minute before the carrier, `next` the first after it that is above all
    earlier ones, `after` the highest from the carrier to the minute's end. `plain` is the volume of the minute's ticks
    without running totals.
    """

    volume: float | None
    before: float | None
    inside: float | None
    next: float | None
    after: float | None
    plain: float


class CarrierTotals(NamedTuple):
    """The running total of each carrier, or its volume where totals are unknown.

    `base` is the total before the first carrier when only later ones are known; it needs a tick of its own.
    """

    totals: list[float | None]
    volumes: list[float | None]
    base: float | None


def carrier_totals(bars: Sequence[BarTotals], *, from_zero: bool) -> CarrierTotals:
    """Continue the running total of one trading day through its bars, given in order.

    A minute's total is the total at its start plus the bar's volume, not below the totals of the minute's ticks and not
    above the next tick's total. With `from_zero`, a day without an earlier total begins with 0.
    """
    start = bars[0].before if bars[0].before is not None else (0.0 if from_zero else None)
    if start is not None:
        return CarrierTotals(_totals(bars, start), [None] * len(bars), None)
    base = _base(bars)
    if base is None:
        volumes = [None if bar.volume is None else max(bar.volume - bar.plain, 0.0) for bar in bars]
        return CarrierTotals([None] * len(bars), volumes, None)
    return CarrierTotals(_totals(bars, base), [None] * len(bars), base if bars[0].inside is None else None)


def _base(bars: Sequence[BarTotals]) -> float | None:
    """Count back from the first known total; volume of its own minute after it is not counted twice."""
    counted = 0.0
    for bar in bars:
        for known in (bar.before, bar.inside):
            if known is not None:
                return max(known - counted, 0.0)
        counted += bar.volume or 0.0
        if bar.next is not None:
            overlap = max(bar.after - bar.next, 0.0) if bar.after is not None else 0.0
            return max(bar.next - counted + overlap, 0.0)
    return None


def _totals(bars: Sequence[BarTotals], start: float) -> list[float | None]:
    totals: list[float | None] = []
    running = start
    for bar, limit in zip(bars, _limits(bars), strict=True):
        begin = max(running, bar.before or 0.0)
        running = max(begin, bar.inside or 0.0)
        if bar.volume is None:
            totals.append(None)
            continue
        total = begin + bar.volume
        running = max(running, total if limit is None else min(total, limit))
        totals.append(running)
    return totals


def _limits(bars: Sequence[BarTotals]) -> list[float | None]:
    """Return for each bar the next total of a tick."""
    limits: list[float | None] = []
    limit: float | None = None
    for bar in reversed(bars):
        limit = bar.next if bar.next is not None else limit
        limits.append(limit)
    return limits[::-1]
