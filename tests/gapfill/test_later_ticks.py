"""Ticks that come after a gap was filled: they replace bars, and what a running feed knows stays right."""

from collections import Counter
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from candleworks.candles.refresh import refresh
from candleworks.database.engine import Engine
from candleworks.model.trades import Trades
from candleworks.storage.trades import TradeStore
from tests.gapfill.filling import MINUTE, NOON, Platform, without

# What does not depend on the engine is tested on the one that starts faster.
one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
SYMBOL = "BTC/USD"
START, STOP = NOON - 3 * MINUTE, NOON + 8 * MINUTE
GAP = (NOON + timedelta(seconds=17), NOON + 5 * MINUTE + timedelta(seconds=23))
UTC_ZONE = ZoneInfo("UTC")


@pytest.fixture
def filled(platform: Platform) -> Platform:
    """A stream with a gap that was filled."""
    platform.store(without(ticks(platform), GAP))
    platform.book(*GAP, symbol=SYMBOL)
    platform.fill()
    return platform


def ticks(platform: Platform, start: datetime = START, stop: datetime = STOP) -> Trades:
    return platform.vendor.ticks(SYMBOL, start, stop)


def live(platform: Platform) -> TradeStore:
    return TradeStore(platform.connection, "twelvedata", lambda _: UTC_ZONE)


def stored(platform: Platform) -> list[tuple[object, ...]]:
    return platform.rows("SELECT time, price, day_volume, volume FROM stocks_real_time ORDER BY time")


def as_a_running_feed_places_them(trades: Trades, highest: float | None) -> Trades:
    """Give ticks their ordinals, and volumes that follow from the highest total that the feed knows."""
    ordinals: Counter[int] = Counter()
    for index, (event_time, total) in enumerate(zip(trades.event_us, trades.day_volume, strict=True)):
        assert total is not None
        trades.ordinal[index] = ordinals[event_time]
        trades.volume[index] = None if highest is None else max(total - highest, 0.0)
        ordinals[event_time] += 1
        highest = total if highest is None else max(highest, total)
    return trades


def test_a_recording_of_the_gap_replaces_its_bars(filled: Platform) -> None:
    """Afterwards all is as if there had never been a gap: ticks, volumes, candles, and nothing is rebuilt."""
    assert filled.bar_ticks() > 0
    filled.store(ticks(filled), origin="file")
    assert filled.bar_ticks() == 0
    after = stored(filled)
    filled.assert_consistent()
    assert filled.rows("SELECT count(*) FROM candles_1m WHERE rebuilt") == [(0,)]
    filled.connection.execute("DELETE FROM stocks_real_time")
    filled.store(ticks(filled))
    assert stored(filled) == after


def test_late_ticks_replace_the_bars_of_their_minutes_only(filled: Platform) -> None:
    """The other minutes keep theirs; a late tick outside of the gap replaces nothing."""
    late = NOON + 2 * MINUTE, NOON + 4 * MINUTE
    filled.store(ticks(filled, *late))
    minutes = filled.rows(
        "SELECT DISTINCT date_trunc('minute', time) FROM stocks_real_time WHERE origin = 'bar' ORDER BY 1"
    )
    assert minutes == [(NOON + number * MINUTE,) for number in (0, 1, 4, 5)]
    filled.assert_consistent()
    before = filled.bar_ticks()
    outside = ticks(filled, NOON, NOON + timedelta(seconds=17)).part(0, 1)
    outside.price[0] += 0.01
    filled.store(outside)
    assert filled.bar_ticks() == before
    bars = filled.vendor.bars(SYMBOL, *late)
    assert filled.candles(SYMBOL, *late) == bars


@one_engine
def test_ticks_that_met_no_bar_replace_it_at_the_next_run(filled: Platform) -> None:
    """A live batch goes straight into the table; filling looks at young bars again."""
    late = ticks(filled, NOON + 2 * MINUTE, NOON + 3 * MINUTE)
    live(filled).copy(as_a_running_feed_places_them(late, 0.0))
    filled.fill()
    minute = filled.rows(
        "SELECT DISTINCT origin FROM stocks_real_time WHERE time >= %s AND time < %s",
        NOON + 2 * MINUTE,
        NOON + 3 * MINUTE,
    )
    assert minute == [("twelvedata",)]
    filled.assert_consistent()


@one_engine
def test_a_recording_before_the_filling_makes_bars_needless(platform: Platform) -> None:
    """Minutes in which a recording has ticks get no bar; the gap is filled all the same."""
    platform.store(without(ticks(platform), GAP))
    platform.store(ticks(platform, NOON, NOON + 3 * MINUTE), origin="file")
    gap = platform.book(*GAP, symbol=SYMBOL)
    platform.fill()
    assert platform.outcomes() == [(gap, SYMBOL, "filled", 6)]
    minutes = platform.rows(
        "SELECT DISTINCT date_trunc('minute', time) FROM stocks_real_time WHERE origin = 'bar' ORDER BY 1"
    )
    assert minutes == [(NOON + number * MINUTE,) for number in (3, 4, 5)]
    platform.assert_consistent()


@one_engine
def test_the_vendors_snapshot_inside_a_gap_is_no_recording(platform: Platform) -> None:
    """After a reconnect the vendor repeats the last trade, which the gap had: its minute still becomes the bar."""
    platform.store(without(ticks(platform), GAP))
    missed = ticks(platform, GAP[0] + timedelta(seconds=3), GAP[1])
    platform.store(missed.part(len(missed) - 1, len(missed)))
    platform.book(*GAP, symbol=SYMBOL)
    platform.fill()
    bars = platform.vendor.bars(SYMBOL, NOON - 2 * MINUTE, STOP)
    assert platform.candles(SYMBOL, NOON - 2 * MINUTE, STOP) == bars
    platform.assert_consistent()


@one_engine
def test_a_running_feed_keeps_its_place(filled: Platform) -> None:
    """Where a symbol stands is told by real ticks; only its running total continues from the bars."""
    filled.connection.execute("DELETE FROM stocks_real_time WHERE time >= %s AND origin <> 'bar'", [GAP[1]])
    before_gap = ticks(filled, START, GAP[0] + timedelta(seconds=1))
    position = live(filled).positions([SYMBOL])[SYMBOL]
    last = len(before_gap) - 1
    assert (position.event_us, position.price) == (before_gap.event_us[last], before_gap.price[last])
    assert position.day_volume == before_gap.day_volume[last]
    top = filled.rows("SELECT max(day_volume) FROM stocks_real_time WHERE origin = 'bar'")[0][0]
    assert position.highest_day_volume == top


def test_the_next_tick_of_a_running_feed_does_not_count_the_gap_again(platform: Platform) -> None:
    """It counts from the total that it knew before the gap; the next run of filling takes the bars' share off."""
    store = live(platform)
    before = ticks(platform, START, GAP[0])
    after = ticks(platform, GAP[1], STOP)
    store.prepare(before.event_us)
    store.copy(as_a_running_feed_places_them(before, None))
    platform.book(*GAP, symbol=SYMBOL)
    platform.fill()
    store.copy(as_a_running_feed_places_them(after, before.day_volume[-1]))
    refresh(platform.connection)
    minute = NOON + 5 * MINUTE
    counted_twice = platform.candles(SYMBOL, minute, minute + MINUTE)[minute][4]
    bar = platform.vendor.bars(SYMBOL, minute, minute + MINUTE)[minute]
    assert counted_twice is not None
    assert bar[4] is not None
    assert counted_twice > bar[4]
    platform.fill()
    assert platform.candles(SYMBOL, minute, minute + MINUTE)[minute] == bar
    platform.assert_consistent()
    assert platform.rows("SELECT count(*) FROM candleworks.fill_followups") == [(0,)]
