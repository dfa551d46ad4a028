"""Live ticks are compared with what is known: absurd ones are rejected, and no real move is lost for long."""

from hypothesis import given
from hypothesis import strategies as st

from candleworks.feed.sequencer import SequencedBatch, Sequencer
from candleworks.model.trades import MICROSECONDS
from candleworks.settings import Ingest
from candleworks.storage.trades import Position
from tests.feed.test_sequencer import NOON, sequenced, sequencer, tick

DAY = 86_400
FIRST_OF_1990 = 631_152_000
CONFIRMING = Ingest().price_confirming_ticks
FACTOR = Ingest().max_price_factor or 0.0

prices = st.floats(1e-9, 1e12)
steps = st.floats(0.11, 9.0)  # from one tick to the next, inside of the factor
walks = st.tuples(prices, st.lists(steps, min_size=CONFIRMING + 1, max_size=20))
absurd = st.tuples(
    st.sampled_from([FIRST_OF_1990, NOON - DAY, NOON, NOON + 1]), st.sampled_from([1e29, 1e-29, 1e30, 0.0])
)


def at_known(price: float, event_time: int = NOON) -> Sequencer:
    """A sequencer that resumes behind a stored tick."""
    return sequencer({"AAPL": Position(event_time * MICROSECONDS, 1, price, None, None)})


def reasons(result: SequencedBatch) -> list[str]:
    return [rejection.reason for rejection in result.rejections]


def walked(start: float, ratios: list[float]) -> list[float]:
    """The prices of a walk; it turns back where it would leave what a price can be."""
    found = [start]
    for ratio in ratios:
        further = found[-1] * ratio
        found.append(further if 1e-20 < further < 1e20 else found[-1])
    return found


def stream(target: Sequencer, series: list[float], begin: int = NOON) -> SequencedBatch:
    """Place a price every second."""
    return sequenced(target, *(tick(begin + second, price) for second, price in enumerate(series)))


def test_an_absurd_price_is_rejected() -> None:
    """The reason names the known price; the ticks around it are stored."""
    result = sequenced(at_known(143.2), tick(price=143.0), tick(price=1e29), tick(price=14.2), tick(price=142.0))
    assert result.trades.price == [143.0, 142.0]
    assert reasons(result) == [
        "price 1e+29 is more than 10 times the last known price 143.0",
        "price 14.2 is less than 1/10 of the last known price 143.0",
    ]


def test_the_first_tick_of_a_symbol_has_nothing_to_be_compared_with() -> None:
    """Nor has that of another symbol; from then on the first price is known."""
    result = sequenced(sequencer(), tick(price=1e29), tick(price=5.0, symbol="BTC/USD"), tick(price=1e9))
    assert result.trades.price == [1e29, 5.0]
    assert reasons(result) == ["price 1000000000.0 is less than 1/10 of the last known price 1e+29"]


def test_after_a_restart_the_stored_price_is_known() -> None:
    """However long ago that was; a stored 0 is no price to compare with."""
    assert len(sequenced(at_known(20.0, NOON - 400 * DAY), tick(price=1e29)).rejections) == 1
    assert len(sequenced(at_known(0.0), tick(price=1e29)).rejections) == 0


def test_a_split_is_accepted_once_ticks_agree_on_it() -> None:
    """1:20: the third tick of the new level is stored, and from then on the old level is far."""
    target = at_known(2_000.0)
    result = sequenced(target, *(tick(NOON + second, 100.0 + second) for second in range(1, 6)))
    assert result.trades.price == [103.0, 104.0, 105.0]
    assert len(result.rejections) == CONFIRMING - 1
    assert len(sequenced(target, tick(NOON + 9, 2_000.0)).rejections) == 1


def test_ticks_that_disagree_confirm_nothing() -> None:
    """Nor do repetitions of one tick, and a tick near the known price begins the count anew."""
    scattered = sequenced(at_known(100.0), *(tick(NOON + n, 10.0 ** (5 + 2 * n)) for n in range(9)))
    repeated = sequenced(at_known(100.0), *(tick(NOON, 1e29) for _ in range(9)))
    interrupted = sequenced(at_known(100.0), *(tick(NOON + n, 100.0 if n % 3 == 2 else 1e29) for n in range(9)))
    assert (len(scattered.trades), len(repeated.trades), len(interrupted.trades)) == (0, 0, 3)


def test_late_ticks_neither_confirm_nor_move_the_known_price() -> None:
    """Ticks from before a split that come after it do not bring its old level back."""
    target = at_known(100.0)
    result = sequenced(target, *(tick(NOON - second, 2_000.0) for second in range(1, 9)), tick(NOON - 9, 90.0))
    assert (len(result.rejections), result.late.price) == (8, [90.0])
    assert sequenced(target, tick(price=101.0)).trades.price == [101.0]


def test_a_tick_of_long_ago_is_rejected() -> None:
    """By its arrival, whatever is known of the symbol; 30 days are accepted."""
    target = sequencer()
    result = sequenced(target, tick(FIRST_OF_1990), tick(NOON - 30 * DAY), tick(NOON - 30 * DAY - 1), received=NOON)
    assert len(result.trades) == 1
    assert reasons(result) == [
        f"event time {FIRST_OF_1990} is {(NOON - FIRST_OF_1990) // DAY} days older than its arrival",
        f"event time {NOON - 30 * DAY - 1} is 30 days older than its arrival",
    ]


def test_the_last_known_tick_of_a_symbol_may_be_older() -> None:
    """The vendor repeats it after every connect, also that of a stock that has not traded for a year."""
    target = at_known(7.0, NOON - 365 * DAY)
    again = sequenced(target, tick(NOON - 365 * DAY, 7.0), received=NOON, connections=(0,))
    assert (again.snapshots, again.rejections) == (1, [])


def test_bounds_can_be_switched_off() -> None:
    """Null: nothing but the limits that hold for files remains."""
    target = sequencer(max_age_days=None, max_price_factor=None)
    result = sequenced(target, tick(FIRST_OF_1990, 1.0), tick(NOON, 1e29), tick(NOON, 1e-29), received=NOON)
    assert (len(result.trades), result.rejections) == (3, [])


@given(walk=walks)
def test_no_tick_of_a_normal_stream_is_rejected(walk: tuple[float, list[float]]) -> None:
    """Whatever the price, as long as it moves by less than the factor from tick to tick."""
    series = walked(*walk)
    result = stream(at_known(series[0]), series)
    assert (result.trades.price, result.rejections) == (series, [])


@given(levels=st.lists(walks, min_size=2, max_size=5))
def test_splits_and_crashes_cost_at_most_the_ticks_that_confirm_them(
    levels: list[tuple[float, list[float]]],
) -> None:
    """Of any number of moves of any size; each tick is stored or rejected, and the last one of a level is stored."""
    target, begin = sequencer(), NOON
    for walk in levels:
        series = walked(*walk)
        result = stream(target, series, begin)
        begin += len(series)
        assert len(result.rejections) <= CONFIRMING - 1
        assert result.trades.price == series[len(result.rejections) :]


@given(before=st.lists(absurd, max_size=15), walk=walks)
def test_whatever_came_before_a_steady_stream_is_stored_in_the_end(
    before: list[tuple[int, float]], walk: tuple[float, list[float]]
) -> None:
    """Absurd ticks may become the known price; the stream takes it back, and every tick is stored or rejected."""
    target = at_known(FACTOR)
    odd = sequenced(target, *(tick(event_time, price) for event_time, price in before), received=NOON)
    assert len(odd.trades) + len(odd.late) + len(odd.rejections) == len(before)
    series = walked(*walk)
    result = stream(target, series, NOON + 2)
    assert len(result.rejections) <= CONFIRMING - 1
    assert result.trades.price == series[len(result.rejections) :]
