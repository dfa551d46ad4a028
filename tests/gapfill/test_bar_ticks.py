"""Which ticks stand for a bar, and when: the candle of a minute becomes the bar as far as the minute allows."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candleworks.candles.bar_ticks import ticks_of
from candleworks.model.bars import MINUTE_US, Bar, MinuteSummary

MINUTE = 1_700_000_040_000_000
SECOND = 1_000_000
WHOLE = [(MINUTE, MINUTE + MINUTE_US)]

prices = st.integers(1, 9).map(float)
bars = st.lists(prices, min_size=4, max_size=4).map(
    lambda four: Bar(MINUTE, four[0], max(four), min(four), four[3], 10.0)
)
bounds = st.lists(st.integers(0, MINUTE_US), min_size=2, max_size=6, unique=True).map(sorted)
parts = bounds.map(lambda b: [(MINUTE + start, MINUTE + stop) for start, stop in zip(b[::2], b[1::2], strict=False)])


def summary(first_us: int, last_us: int, low: float, high: float) -> MinuteSummary:
    return MinuteSummary(MINUTE + first_us, MINUTE + last_us, low, high, 0.0, 0, recorded=False)


def test_a_rising_bar_goes_down_first() -> None:
    """Open, low, high, close."""
    ticks = ticks_of(Bar(MINUTE, 2.0, 4.0, 1.0, 3.0, None), WHOLE, None)
    assert [tick.price for tick in ticks] == [2.0, 1.0, 4.0, 3.0]


@pytest.mark.parametrize("close", [2.0, 1.5])
def test_any_other_bar_goes_up_first(close: float) -> None:
    """Open, high, low, close, also when it ends where it began."""
    ticks = ticks_of(Bar(MINUTE, 2.0, 4.0, 1.0, close, None), WHOLE, None)
    assert [tick.price for tick in ticks] == [2.0, 4.0, 1.0, close]


def test_ticks_of_a_whole_minute_are_spread_over_it() -> None:
    """Behind whole seconds, where the vendor's own ticks of a second do not reach."""
    ticks = ticks_of(Bar(MINUTE, 2.0, 4.0, 1.0, 3.0, None), WHOLE, None)
    assert [tick.time_us - MINUTE for tick in ticks] == [900, 19_000_901, 39_000_902, 59_000_903]


@given(bars, parts)
def test_without_stored_ticks_there_are_four_inside_the_gap(bar: Bar, gap: list[tuple[int, int]]) -> None:
    """At distinct moments, in order, in parts of any length that have room for them."""
    ticks = ticks_of(bar, gap, None)
    times = [tick.time_us for tick in ticks]
    assert all(one < other for one, other in pairwise(times))
    assert all(any(start <= time < stop for start, stop in gap) for time in times)
    if sum(stop - start for start, stop in gap) > 4 * SECOND:
        assert [ticks[0].price, ticks[-1].price] == [bar.open, bar.close]
        assert sorted(tick.price for tick in ticks[1:-1]) == [bar.low, bar.high]


@given(bars, parts, st.data())
def test_beside_stored_ticks_the_candle_becomes_the_bar(
    bar: Bar, gap: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Stored ticks that the bar knows of stay first and last; what they do not reach, the bar's ticks do."""
    first, last = sorted(MINUTE + data.draw(st.integers(0, MINUTE_US - 1)) for _ in range(2))
    low, high = sorted(data.draw(st.floats(bar.low, bar.high)) for _ in range(2))
    ticks = ticks_of(bar, gap, MinuteSummary(first, last, low, high, 0.0, 0, recorded=False))
    times = [tick.time_us for tick in ticks]
    assert all(one < other for one, other in pairwise(times))
    assert all(any(start <= time < stop for start, stop in gap) for time in times)
    if sum(stop - start for start, stop in gap) > 4 * SECOND:
        shown = [low, high, *(tick.price for tick in ticks)]
        assert (min(shown), max(shown)) == (bar.low, bar.high)
    if gap[0][0] < first:
        assert (ticks[0].time_us < first, ticks[0].price) == (True, bar.open) or gap[0][0] + 1 == gap[0][1]
    if gap[-1][1] - 1 > last:
        assert (ticks[-1].time_us > last, ticks[-1].price) == (True, bar.close)


def test_what_stored_ticks_reach_needs_no_bar() -> None:
    """A short gap between ticks that show the whole bar stays empty."""
    bar = Bar(MINUTE, 2.0, 4.0, 1.0, 3.0, 10.0)
    gap = [(MINUTE + 20 * SECOND, MINUTE + 30 * SECOND)]
    assert ticks_of(bar, gap, summary(0, 50 * SECOND, 1.0, 4.0)) == []
    (high,) = ticks_of(bar, gap, summary(0, 50 * SECOND, 1.0, 3.5))
    assert high.price == 4.0
