"""Where live ticks are sequenced: ordinals, snapshots, volumes, refusals."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from candleworks.feed.sequencer import SequencedBatch, Sequencer
from candleworks.model.trades import MICROSECONDS
from candleworks.settings import Ingest
from candleworks.storage.trades import Position
from candleworks.vendor.protocol import PriceEvent

NEW_YORK = ZoneInfo("America/New_York")
ZONES = {"AAPL": NEW_YORK, "BTC/USD": ZoneInfo("UTC")}


def at(text: str) -> int:
    """Seconds since 1970 of a time that is given in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


NOON = at("2026-03-02 17:00:00")


def tick(
    event_time: int = NOON,
    price: float = 1.0,
    day_volume: float | None = None,
    symbol: str = "AAPL",
    bid: float | None = None,
    ask: float | None = None,
) -> PriceEvent:
    return PriceEvent("price", symbol, event_time, price, day_volume, bid, ask)


def sequencer(
    positions: dict[str, Position] | None = None, zones: dict[str, ZoneInfo] = ZONES, **limits: Any
) -> Sequencer:
    target = Sequencer(Ingest(**limits))
    target.add_symbols(zones, positions or {})
    return target


def sequenced(
    target: Sequencer, *events: PriceEvent | str, received: int | None = None, connections: tuple[int, ...] = ()
) -> SequencedBatch:
    """Place events that arrive at `received`, or each at the second of its event time."""
    arrivals = [
        (received if received is not None else event.timestamp if isinstance(event, PriceEvent) else NOON)
        * MICROSECONDS
        for event in events
    ]
    return target.sequence(events, arrivals, [b"payload"] * len(events), connections)


def volumes(target: Sequencer, *steps: tuple[str, float | None]) -> list[float | None]:
    return sequenced(target, *(tick(at(time), day_volume=total) for time, total in steps)).trades.volume


def test_ticks_of_one_second_are_counted_in_the_order_of_arrival() -> None:
    """Per symbol and second, from 0, across batches."""
    target = sequencer()
    first = sequenced(target, tick(), tick(), tick(symbol="BTC/USD"), tick(), tick(NOON + 1)).trades
    assert first.ordinal == [0, 1, 0, 2, 0]
    assert first.event_us == [event_time * MICROSECONDS for event_time in (NOON, NOON, NOON, NOON, NOON + 1)]
    assert sequenced(target, tick(NOON + 1), tick(NOON + 2)).trades.ordinal == [1, 0]


def test_a_late_tick_is_set_apart() -> None:
    """It has to meet the stored ones; those that follow are counted as if it had not come."""
    result = sequenced(sequencer(), tick(), tick(NOON - 1), tick(), tick(NOON - 86_400, symbol="BTC/USD"))
    assert result.trades.ordinal == [0, 1, 0]
    assert result.late.event_us == [(NOON - 1) * MICROSECONDS]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (tick(symbol="TSLA"), "symbol 'TSLA' is not subscribed"),
        (tick(price=-0.01), "price -0.01 is negative"),
        (tick(price=0.0), "price 0.0 is zero"),
        (tick(day_volume=-1.0), "day_volume -1.0 is negative"),
        (tick(NOON + 61), f"event time {NOON + 61} is 61 s in the future"),
        (tick(10**30), f"event time {10**30} is {10**30 - NOON} s in the future"),
        (tick(NOON * 1000), f"event time {NOON * 1000} is {NOON * 999} s in the future"),
        (tick(631_151_999), "event time 631151999 is before 1990"),
        (tick(0), "event time 0 is before 1990"),
        (tick(-(10**30)), f"event time {-(10**30)} is before 1990"),
        ("not JSON: x", "not JSON: x"),
    ],
)
def test_an_unacceptable_tick_is_refused(event: PriceEvent | str, reason: str) -> None:
    """With the reason, the value in it, and the payload; those around it are sequenced."""
    result = sequenced(sequencer(), tick(), event, tick(), received=NOON)
    assert result.trades.ordinal == [0, 1]
    assert [(refused.reason, refused.payload) for refused in result.rejections] == [(reason, "payload")]


def test_the_limits_of_event_times_are_accepted() -> None:
    """The first second of 1990, and one as far ahead as is allowed."""
    result = sequenced(sequencer(max_age_days=None), tick(631_152_000), tick(NOON + 60), received=NOON)
    assert (len(result.trades), result.rejections) == (2, [])


def test_zero_prices_are_accepted_where_the_setting_says_so() -> None:
    """Price, bid and ask of 0; negative ones are rejected all the same."""
    target = sequencer(accept_zero_prices=True)
    result = sequenced(target, tick(price=0.0), tick(bid=0.0, ask=0.0), tick(bid=-1.0), tick(price=-1.0))
    assert (result.trades.price, result.trades.bid, result.trades.ask) == (
        [0.0, 1.0, 1.0],
        [None, 0.0, None],
        [None, 0.0, None],
    )
    assert [refused.reason for refused in result.rejections] == ["price -1.0 is negative"]
    assert [refused.reason for refused in result.quotes.rejections] == ["quote: bid -1.0 is negative"]
    assert (result.quotes.quotes.bid, result.quotes.quotes.ask) == ([0.0], [0.0])


def test_a_payload_that_is_no_text_is_kept_readable() -> None:
    """Bytes that are not UTF-8 are replaced."""
    (refused,) = sequencer().sequence(["not UTF-8"], [0], [b"a\xffb"]).rejections
    assert refused.payload == "a\ufffdb"


def test_the_vendors_repetition_after_a_connect_is_dropped() -> None:
    """It is counted; an equal tick that follows is a trade, and so is one of another symbol."""
    target = sequencer()
    sequenced(target, tick(day_volume=5.0), tick(symbol="BTC/USD"))
    again = sequenced(
        target, tick(day_volume=5.0), tick(day_volume=5.0), tick(NOON, 2.0, symbol="BTC/USD"), connections=(0,)
    )
    assert (again.snapshots, again.trades.symbol, again.trades.ordinal) == (1, ["AAPL", "BTC/USD"], [1, 1])


def test_without_a_connect_an_equal_tick_is_a_trade() -> None:
    """3 % of real ticks are equal in every column."""
    result = sequenced(sequencer(), tick(day_volume=5.0), tick(day_volume=5.0))
    assert (result.snapshots, result.trades.ordinal) == (0, [0, 1])


@pytest.mark.parametrize(
    "other", [tick(NOON + 1, 1.0, 5.0), tick(NOON, 1.5, 5.0), tick(NOON, 1.0, 6.0), tick(NOON, 1.0, None)]
)
def test_only_an_equal_tick_is_a_repetition(other: PriceEvent) -> None:
    """Event time, price and running total have to agree."""
    target = sequencer()
    sequenced(target, tick(day_volume=5.0))
    result = sequenced(target, other, connections=(0,))
    assert (result.snapshots, len(result.trades)) == (0, 1)


def test_only_a_symbols_first_tick_after_a_connect_can_be_a_repetition() -> None:
    """Another one before it settles that."""
    target = sequencer()
    sequenced(target, tick())
    result = sequenced(target, tick(price=2.0), tick(price=1.0), connections=(0,))
    assert (result.snapshots, result.trades.ordinal) == (0, [1, 2])


def test_ticks_from_before_a_connect_do_not_use_up_the_check() -> None:
    """A connection may have begun while ticks of the one before were still waiting to be written."""
    target = sequencer()
    sequenced(target, tick())
    result = sequenced(target, tick(NOON + 1), tick(NOON + 2), tick(NOON + 2), tick(NOON + 3), connections=(2,))
    assert (result.snapshots, len(result.trades)) == (1, 3)


def test_the_first_known_total_has_no_volume() -> None:
    """What was traded before is unknown; from then on the increase counts, and a step back is 0."""
    steps = [("2026-03-02 15:00", 100.0), ("2026-03-02 15:01", 130.0), ("2026-03-02 15:02", 120.0)]
    assert volumes(sequencer(), *steps, ("2026-03-02 15:03", 131.0)) == [None, 30.0, 0.0, 1.0]


def test_a_tick_without_total_has_no_volume() -> None:
    """And it does not disturb the running maximum."""
    steps = [("2026-03-02 15:00", 100.0), ("2026-03-02 15:01", None), ("2026-03-02 15:02", 107.0)]
    assert volumes(sequencer(), *steps) == [None, None, 7.0]


def test_a_first_total_after_ticks_without_one_has_no_volume() -> None:
    """Within the first known day; the next day starts from zero."""
    steps = [("2026-03-02 15:00", None), ("2026-03-02 15:01", 100.0), ("2026-03-03 15:00", 40.0)]
    assert volumes(sequencer(), *steps) == [None, None, 40.0]


def test_a_symbol_of_another_exchange_was_not_asked_for() -> None:
    """Only that of the exchange that was named."""
    target = sequencer(zones={"RY:TSX": ZoneInfo("America/New_York")})
    (refused,) = sequenced(target, PriceEvent("price", "RY", NOON, 1.0, exchange="NYSE")).rejections
    assert refused.reason == "symbol 'RY' is not subscribed"


@pytest.mark.parametrize(
    ("last_moment", "next_day"),
    [
        ("2026-03-03 04:59:59", "2026-03-03 05:00:00"),  # winter: UTC-5
        ("2026-03-09 03:59:59", "2026-03-09 04:00:00"),  # the night after the clock went forward: UTC-4
        ("2026-07-02 03:59:59", "2026-07-02 04:00:00"),  # summer
        ("2026-11-02 04:59:59", "2026-11-02 05:00:00"),  # the night after the clock went back
    ],
)
def test_a_stocks_day_changes_at_midnight_in_new_york(last_moment: str, next_day: str) -> None:
    """Whatever UTC says: until then the total goes on, then it starts from zero."""
    steps = [("2026-01-02 15:00", 1.0), (last_moment, 100.0), (last_moment, 101.0), (next_day, 30.0)]
    assert volumes(sequencer(), *steps)[2:] == [1.0, 30.0]


def test_a_day_begins_in_the_hour_that_comes_twice() -> None:
    """On the day that has 25 hours the total goes on through both of them."""
    steps = [("2026-11-01 04:30", 10.0), ("2026-11-01 05:30", 15.0), ("2026-11-01 06:30", 17.0)]
    assert volumes(sequencer(), *steps) == [None, 5.0, 2.0]


def test_a_restart_continues_where_the_table_ends() -> None:
    """Ordinal, running maximum and last known tick come from the stored position."""
    position = Position(NOON * MICROSECONDS, 3, price=1.0, day_volume=90.0, highest_day_volume=100.0)
    target = sequencer({"AAPL": position})
    events = [tick(day_volume=90.0), tick(day_volume=95.0), tick(NOON + 1, day_volume=104.0)]
    result = sequenced(target, *events, connections=(0,))
    assert result.snapshots == 1
    assert result.trades.ordinal == [3, 0]
    assert result.trades.volume == [0.0, 4.0]


def test_a_restart_takes_no_tick_of_the_same_connection_for_a_repetition() -> None:
    """What waited on disk goes on with a connection that streamed before: an equal tick is another trade."""
    position = Position(NOON * MICROSECONDS, 1, price=1.0, day_volume=None, highest_day_volume=None)
    result = sequenced(sequencer({"AAPL": position}), tick())
    assert (result.snapshots, result.trades.ordinal) == (0, [1])


def test_a_restart_on_another_day_starts_from_zero() -> None:
    """The stored total belongs to the day before."""
    position = Position(NOON * MICROSECONDS, 1, price=1.0, day_volume=90.0, highest_day_volume=100.0)
    result = sequenced(sequencer({"AAPL": position}), tick(NOON + 86_400, day_volume=7.0))
    assert result.trades.volume == [7.0]


def test_a_restart_with_a_symbol_that_is_not_stored_knows_nothing_of_it() -> None:
    """Its first tick is no repetition and has no volume."""
    position = Position(NOON * MICROSECONDS, 1, price=1.0, day_volume=None, highest_day_volume=None)
    result = sequenced(sequencer({"AAPL": position}), tick(symbol="BTC/USD", day_volume=3.0))
    assert (result.snapshots, result.trades.ordinal, result.trades.volume) == (0, [0], [None])


def test_a_late_total_raises_what_the_next_one_is_compared_with() -> None:
    """Only within the same trading day."""
    target = sequencer()
    sequenced(
        target, tick(NOON, day_volume=100.0), tick(NOON - 5, day_volume=120.0), tick(NOON - 86_400, day_volume=999.0)
    )
    assert sequenced(target, tick(NOON + 1, day_volume=121.0)).trades.volume == [1.0]


@pytest.mark.parametrize(("price", "day_volume"), [(5e-324, 1.0), (1e200, None), (1.0, 1e-200), (1.0, 1e300)])
def test_numbers_that_no_candle_can_be_computed_from_are_refused(price: float, day_volume: float | None) -> None:
    """One of them would stop the refresh of all candles: its price times its volume is no double any more."""
    (refused,) = sequenced(sequencer(), tick(price=price, day_volume=day_volume)).rejections
    assert refused.reason in (f"price {price!r} is out of range", f"day_volume {day_volume!r} is out of range")
