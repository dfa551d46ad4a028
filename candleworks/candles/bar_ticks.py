"""Turns a bar into ticks: those that the minute's candle lacks, at moments of which no tick is stored.

They stand 0.9 ms behind whole seconds. The vendor's own ticks stand there only when 900 of them share a second, and an
export of the table keeps its whole seconds.
"""

from candleworks.model.bars import MINUTE_US, Bar, BarTick, MinuteSummary, Spans, within
from candleworks.model.trades import MICROSECONDS

BEHIND_THE_SECOND_US = 900


def ticks_of(bar: Bar, parts: Spans, stored: MinuteSummary | None) -> list[BarTick]:
    """Return ticks inside `parts`, in order of time, that make the minute's candle equal the bar as far as possible.

    An open or close is left out where a stored tick has to stand first or last, a high or low where a stored one
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
    ticks = [BarTick(moment, price) for moment, price in zip(_between(inside, len(extremes)), extremes, strict=False)]
    if open_us is not None:
        ticks.insert(0, BarTick(open_us, bar.open))
    if close_us is not None:
        ticks.append(BarTick(close_us, bar.close))
    return ticks


def _extremes(bar: Bar, stored: MinuteSummary | None, *, opened: bool, closed: bool) -> list[float]:
    """Return the low and the high that are to be shown, a rising bar's low first."""
    extremes = [bar.low, bar.high] if bar.close > bar.open else [bar.high, bar.low]
    if stored is None:
        return extremes
    shown = [stored.low, stored.high, *([bar.open] if opened else ()), *([bar.close] if closed else ())]
    return [price for price in extremes if not min(shown) <= price <= max(shown)]


def _earliest(spans: Spans) -> int:
    start, stop = spans[0]
    moment = start - start % MICROSECONDS + BEHIND_THE_SECOND_US
    moment += MICROSECONDS if moment < start else 0
    return moment if moment < stop else start


def _latest(spans: Spans) -> int:
    start, stop = spans[-1]
    moment = (stop - 1) - (stop - 1) % MICROSECONDS + BEHIND_THE_SECOND_US + 3
    moment -= MICROSECONDS if moment >= stop else 0
    return moment if moment >= start else stop - 1


def _between(spans: Spans, count: int) -> list[int]:
    """Return up to `count` moments, spread evenly; fewer where there is no room for more."""
    room = sum(stop - start for start, stop in spans)
    moments: list[int] = []
    for number in range(min(count, room)):
        moment = _at(spans, room * (number + 1) // (count + 1), number + 1)
        moments.append(max(moment, moments[-1] + 1) if moments else moment)
    return moments


def _at(spans: Spans, offset: int, number: int) -> int:
    """Return the moment so far into the spans, moved behind its second where that is inside the same span."""
    for start, stop in spans:
        if offset < stop - start:
            moment = start + offset
            behind = moment - moment % MICROSECONDS + BEHIND_THE_SECOND_US + number
            return behind if start <= behind < stop else moment
        offset -= stop - start
    return spans[-1][1] - 1
