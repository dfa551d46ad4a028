"""Running totals of bars: what a minute adds is the bar's volume, and nothing is counted twice."""

from hypothesis import given
from hypothesis import strategies as st

from candleworks.candles.bar_totals import BarTotals, carrier_totals

NOTHING = BarTotals(0.0, None, None, None, None, 0.0)


def bar(volume: float | None, **known: float) -> BarTotals:
    return NOTHING._replace(volume=volume, **known)


def test_bars_continue_the_total_before_them() -> None:
    """Each adds its own volume."""
    assert carrier_totals([bar(5.0, before=100.0), bar(7.0)], from_zero=True).totals == [105.0, 112.0]


def test_a_day_that_begins_in_a_gap_begins_with_zero() -> None:
    """When totals of the symbol are known from earlier days."""
    assert carrier_totals([bar(5.0), bar(7.0)], from_zero=True).totals == [5.0, 12.0]


def test_ticks_of_the_first_minute_count_as_part_of_its_bar() -> None:
    """The bar's 20 contain what was traded before the gap began: the total was 100 when the minute began."""
    assert carrier_totals([bar(20.0, before=100.0, inside=115.0)], from_zero=True).totals == [120.0]
    assert carrier_totals([bar(10.0, before=100.0, inside=115.0)], from_zero=True).totals == [115.0]


def test_bars_never_exceed_the_next_tick() -> None:
    """The last minute's bar contains what was traded after the gap ended."""
    assert carrier_totals([bar(5.0, before=100.0), bar(50.0, next=110.0, after=130.0)], from_zero=True).totals == [
        105.0,
        110.0,
    ]
    assert carrier_totals([bar(50.0, before=100.0), bar(5.0, next=110.0)], from_zero=True).totals == [110.0, 110.0]


def test_a_later_tick_below_the_total_says_nothing() -> None:
    """Real totals step back now and then; the one that stands above counts."""
    assert carrier_totals([bar(5.0, before=100.0), bar(7.0, before=99.0)], from_zero=True).totals == [105.0, 112.0]


def test_ticks_between_bars_raise_the_total() -> None:
    """A gap, two ticks, another gap."""
    assert carrier_totals([bar(5.0, before=100.0, next=108.0), bar(7.0, before=110.0)], from_zero=True).totals == [
        105.0,
        117.0,
    ]


def test_a_first_day_is_counted_back_from_its_first_total() -> None:
    """The base stands before the first bar, so that the first bar's volume is the difference to it."""
    laid = carrier_totals([bar(5.0), bar(7.0, next=112.0)], from_zero=False)
    assert (laid.base, laid.totals) == (100.0, [105.0, 112.0])
    laid = carrier_totals([bar(5.0), bar(17.0, next=112.0, after=122.0)], from_zero=False)
    assert (laid.base, laid.totals) == (100.0, [105.0, 112.0])
    laid = carrier_totals([bar(5.0, inside=90.0)], from_zero=False)
    assert (laid.base, laid.totals) == (None, [95.0])


def test_without_any_total_bars_carry_their_volume() -> None:
    """Less what ticks of the minute carry already."""
    laid = carrier_totals([bar(5.0), bar(None), bar(7.0)._replace(plain=3.0)], from_zero=False)
    assert (laid.totals, laid.volumes, laid.base) == ([None, None, None], [5.0, None, 4.0], None)


def test_bars_without_volume_leave_the_total_alone() -> None:
    """Currencies have none."""
    assert carrier_totals([bar(5.0, before=100.0), bar(None), bar(7.0)], from_zero=True).totals == [105.0, None, 112.0]


totals = st.none() | st.integers(0, 50).map(float)


@given(
    st.lists(st.builds(BarTotals, totals, totals, totals, totals, totals, st.just(0.0)), min_size=1, max_size=6),
    st.booleans(),
)
def test_totals_never_fall(bars: list[BarTotals], from_zero: bool) -> None:
    """Whatever ticks say: the rule for volumes never sees a bar step back, or below zero."""
    laid = carrier_totals(bars, from_zero=from_zero)
    known = [total for total in laid.totals if total is not None]
    assert known == sorted(known)
    assert all(total >= 0 for total in known)
    assert len(laid.totals) == len(laid.volumes) == len(bars)
