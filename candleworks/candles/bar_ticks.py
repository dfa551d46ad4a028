"""Converts a bar to the ticks that the minute's candle lacks, at times at which no tick is stored.

These times are 0.9 ms after full seconds. The vendor's own ticks are there only when 900 of them share a second, and an
export of the table keeps its full seconds.
"""

from candleworks.model.bars import MINUTE_US, Bar, BarTick, MinuteSummary, Spans, within
from candleworks.model.trades import MICROSECONDS

OFFSET_US = 900


def ticks_of(bar: Bar, parts: Spans, stored: MinuteSummary | None) -> list[BarTick]:
    """Return ticks inside `parts`, in order of time, that make the minute's candle equal the bar as far as possible.

    The open or close is left out where a stored tick has to be the first or last, the high or low where a stored tick
    reaches it. A minute without stored ticks gets all four.
    """
    before = within(parts, bar.minute_us, stored.first_us) if stored else parts
    after = within(parts, stored.last_us + 1, bar.minute_us + MINUTE_US) if stored else parts
    close_us = _latest(after) if after else None
    opened = within(before, bar.minute_us, close_us) if close_us else before
    open_us = _earliest(opened) if opened else None
    inside = within(
        parts,
        bar.minute_us if open_us is None else open_us + 1,
        bar.minute_us + MINUTE_US if close_us is None else close_us,
    )
    extremes = _extremes(bar, stored, opened=open_us is not None, closed=close_us is not None)
    ticks = [BarTick(time_us, price) for time_us, price in zip(_between(inside, len(extremes)), extremes, strict=False)]
    if open_us is not None:
        ticks.insert(0, BarTick(open_us, bar.open))
    if close_us is not None:
        ticks.append(BarTick(close_us, bar.close))
    return ticks


def _extremes(bar: Bar, stored: MinuteSummary | None, *, opened: bool, closed: bool) -> list[float]:
    """Return the low and the high that are missing, the low of a rising bar first."""
    extremes = [bar.low, bar.high] if bar.close > bar.open else [bar.high, bar.low]
    if stored is None:
        return extremes
    present = [stored.low, stored.high, *([bar.open] if opened else ()), *([bar.close] if closed else ())]
    return [price for price in extremes if not min(present) <= price <= max(present)]


def _earliest(spans: Spans) -> int:
    start, stop = spans[0]
    time_us = start - start % MICROSECONDS + OFFSET_US
    time_us += MICROSECONDS if time_us < start else 0
    return time_us if time_us < stop else start


def _latest(spans: Spans) -> int:
    start, stop = spans[-1]
    time_us = (stop - 1) - (stop - 1) % MICROSECONDS + OFFSET_US + 3
    time_us -= MICROSECONDS if time_us >= stop else 0
    return time_us if time_us >= start else stop - 1


def _between(spans: Spans, count: int) -> list[int]:
    """Return up to `count` times, spread evenly; fewer where the spans are too short."""
    length = sum(stop - start for start, stop in spans)
    times_us: list[int] = []
    for number in range(min(count, length)):
        time_us = _at(spans, length * (number + 1) // (count + 1), number + 1)
        times_us.append(max(time_us, times_us[-1] + 1) if times_us else time_us)
    return times_us


def _at(spans: Spans, offset: int, number: int) -> int:
    """Return the time at an offset into the spans, moved to OFFSET_US after its second if that is in the same span."""
    for start, stop in spans:
        if offset < stop - start:
            time_us = start + offset
            behind = time_us - time_us % MICROSECONDS + OFFSET_US + number
            return behind if start <= behind < stop else time_us
        offset -= stop - start
    return spans[-1][1] - 1
