"""Gaps are filled from the vendor's bars, through its own package, and every candle level heals."""

import random
from datetime import datetime, timedelta

import pytest

from candleworks.candles.refresh import refresh
from candleworks.database.engine import Engine
from candleworks.settings import Feed
from tests.gapfill.filling import DAY, LEVELS, MINUTE, NOON, SYMBOLS, Platform, without

# What does not depend on the engine is tested on the one that starts faster.
one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
START, STOP = NOON - 4 * MINUTE, NOON + 10 * MINUTE
GAP = (NOON + timedelta(seconds=17), NOON + 6 * MINUTE + timedelta(seconds=23))


def seconds(start: float, stop: float) -> tuple[datetime, datetime]:
    """A gap that begins and ends so many seconds after noon."""
    return NOON + timedelta(seconds=start), NOON + timedelta(seconds=stop)


def stream(platform: Platform, *gaps: tuple[datetime, datetime], symbols: tuple[str, ...] = SYMBOLS) -> None:
    """Store what a feed with these gaps gets."""
    for symbol in symbols:
        platform.store(without(platform.vendor.ticks(symbol, START, STOP), *gaps))
    refresh(platform.connection)


def assert_candles_equal_bars(platform: Platform, symbol: str, start: datetime = START) -> None:
    """All minutes but the first one, whose first tick has no volume."""
    bars = platform.vendor.bars(symbol, start, STOP)
    candles = platform.candles(symbol, start, STOP)
    assert list(candles) == list(bars)
    for minute in list(bars)[1:]:
        assert candles[minute] == bars[minute], minute


def test_candles_equal_the_vendors_bars_after_a_gap_was_filled(platform: Platform) -> None:
    """At every level, volume counted once; in the minutes at both ends real ticks and bars complete each other."""
    stream(platform, GAP)
    gap = platform.book(*GAP)
    report = platform.fill()
    assert platform.outcomes() == [(gap, symbol, "filled", 7) for symbol in SYMBOLS]
    assert platform.filled() == [gap]
    assert (report.complete, report.credits, [each.id for each in report.closed]) == (True, 3, [gap])
    for symbol in SYMBOLS:
        assert_candles_equal_bars(platform, symbol)
    platform.assert_consistent()
    rebuilt = platform.rows("SELECT bucket FROM candles_1m WHERE symbol = 'BTC/USD' AND rebuilt ORDER BY 1")
    assert rebuilt == [(NOON + number * MINUTE,) for number in range(7)]
    for level in LEVELS[1:]:
        assert platform.rows(f"SELECT count(*) > 0 FROM candles_{level} WHERE rebuilt") == [(True,)]
    ((name, subject, facts),) = platform.notices
    assert (name, subject, facts["gap"], facts["bars"], facts["empty"]) == ("feed.gap-filled", "crypto", gap, 21, [])


@one_engine
def test_a_filled_gap_is_left_alone(platform: Platform) -> None:
    """A second run asks for nothing and changes nothing."""
    stream(platform, GAP, symbols=("BTC/USD",))
    platform.book(*GAP, symbol="BTC/USD")
    platform.fill()
    before = platform.rows("SELECT * FROM stocks_real_time ORDER BY time")
    report = platform.fill()
    assert (report.fills, report.credits) == ([], 0)
    assert platform.rows("SELECT * FROM stocks_real_time ORDER BY time") == before


@pytest.mark.parametrize(
    "gaps",
    [
        pytest.param([seconds(20, 31)], id="inside a minute"),
        pytest.param([seconds(0, 60)], id="a minute"),
        pytest.param([seconds(-30, 0)], id="to the end of a minute"),
        pytest.param([seconds(5, 20), seconds(35, 50)], id="twice in a minute"),
        pytest.param([seconds(50, 70), seconds(110, 240.5)], id="neighbours"),
        pytest.param([seconds(20, 20.000_3)], id="shorter than a bar's ticks"),
    ],
)
def test_minutes_that_are_partly_known_become_the_bar(
    platform: Platform, gaps: list[tuple[datetime, datetime]]
) -> None:
    """Wherever gaps begin and end; the bars' ticks stand inside of them, and the real ones stay as they were."""
    stream(platform, *gaps, symbols=("BTC/USD",))
    real = "SELECT time, price, day_volume FROM stocks_real_time WHERE origin <> 'bar' ORDER BY time"
    before = platform.rows(real)
    for gap in gaps:
        platform.book(*gap, symbol="BTC/USD")
    assert platform.fill().credits == 1
    assert_candles_equal_bars(platform, "BTC/USD")
    platform.assert_consistent()
    assert platform.rows(real) == before
    outside = platform.rows(
        "SELECT time FROM stocks_real_time t WHERE origin = 'bar' AND NOT EXISTS ("
        "SELECT FROM feed_gaps g WHERE t.time > g.started_at AND t.time < g.ended_at)"
    )
    assert outside == []


@one_engine
def test_overlapping_gaps_are_filled_once(platform: Platform) -> None:
    """One of all symbols and one of its own, one of them filled in an earlier run."""
    gaps = [seconds(10, 100), seconds(70, 200), seconds(205, 215)]
    stream(platform, *gaps, symbols=("BTC/USD",))
    platform.book(*gaps[0], symbol="BTC/USD")
    platform.fill()
    for gap in gaps[1:]:
        platform.book(*gap, symbol="BTC/USD")
    platform.fill()
    assert_candles_equal_bars(platform, "BTC/USD")
    platform.assert_consistent()


@one_engine
def test_gaps_are_filled_in_any_order(platform: Platform) -> None:
    """The later one first, with no tick between them: totals of its bars are laid anew."""
    gaps = [seconds(10, 100), seconds(100, 300)]
    stream(platform, seconds(10, 300), symbols=("BTC/USD",))
    for gap in reversed(gaps):
        platform.book(*gap, symbol="BTC/USD")
        platform.fill()
    assert_candles_equal_bars(platform, "BTC/USD")
    platform.assert_consistent()


@one_engine
@pytest.mark.parametrize("seed", range(4))
def test_random_gaps_leave_no_trace_in_candles(platform: Platform, seed: int) -> None:
    """Some gaps, filled in some runs: every candle is the vendor's bar."""
    chance = random.Random(seed)
    marks = sorted(chance.sample(range(-170, 500), 8))
    gaps = [seconds(start, stop) for start, stop in zip(marks[::2], marks[1::2], strict=True)]
    stream(platform, *gaps, symbols=("BTC/USD",))
    chance.shuffle(gaps)
    for number, gap in enumerate(gaps):
        platform.book(*gap, symbol="BTC/USD")
        if number % 2:
            platform.fill()
    assert_candles_equal_bars(platform, "BTC/USD")
    platform.assert_consistent()


def test_a_gap_over_midnight_belongs_to_two_trading_days(platform: Platform) -> None:
    """Totals begin anew, with bars on both sides and ticks of neither."""
    start, stop = DAY - 3 * MINUTE, DAY + 4 * MINUTE
    gap = (DAY - timedelta(seconds=80), DAY + timedelta(seconds=100))
    platform.store(without(platform.vendor.ticks("BTC/USD", start, stop), gap))
    platform.book(*gap, symbol="BTC/USD")
    platform.fill()
    bars = platform.vendor.bars("BTC/USD", start, stop)
    candles = platform.candles("BTC/USD", start, stop)
    assert {minute: candles[minute] for minute in list(bars)[1:]} == {minute: bars[minute] for minute in list(bars)[1:]}
    platform.assert_consistent()


@pytest.mark.parametrize("engine", [Engine.TIMESCALE], indirect=True)
def test_compressed_ticks_are_healed_as_well(platform: Platform) -> None:
    """A gap of weeks ago, in a chunk with more ticks than TimescaleDB decompresses for a statement by default."""
    stream(platform, GAP, symbols=("BTC/USD",))
    platform.connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price, day_volume, origin)"
        " SELECT %s + n * interval '100 ms', 'S' || n %% 3, 1, n, 'twelvedata' FROM generate_series(0, 150000) n",
        [DAY + timedelta(hours=1)],
    )
    refresh(platform.connection)
    platform.connection.execute("SELECT compress_chunk(c) FROM show_chunks('stocks_real_time') c")
    platform.book(*GAP, symbol="BTC/USD")
    platform.fill()
    assert_candles_equal_bars(platform, "BTC/USD")
    platform.store(platform.vendor.ticks("BTC/USD", *GAP), origin="file")
    assert platform.bar_ticks() == 0
    assert_candles_equal_bars(platform, "BTC/USD")


def test_a_gap_at_the_very_beginning_has_volumes_too(platform: Platform) -> None:
    """Nothing is known before it: totals are counted back from the first tick after it."""
    gap = (START, START + 3 * MINUTE + timedelta(seconds=10))
    stream(platform, (START - MINUTE, gap[1]), symbols=("BTC/USD",))
    platform.book(*gap, symbol="BTC/USD")
    platform.fill()
    bars = platform.vendor.bars("BTC/USD", START, STOP)
    candles = platform.candles("BTC/USD", START, STOP)
    # The gap's bound is no part of it, and the first minute's first tick is a bar's: all else is exact.
    assert {minute: candles[minute] for minute in list(bars)[:3]} == {minute: bars[minute] for minute in list(bars)[:3]}
    platform.assert_consistent()


@one_engine
def test_a_closed_market_costs_nothing(platform: Platform) -> None:
    """Hours without a session are not asked for; that there is nothing to fetch is known afterwards."""
    gap = platform.book(DAY + timedelta(hours=2), DAY + timedelta(hours=5), "EUR/USD")
    partly = platform.book(DAY + timedelta(hours=9), DAY + timedelta(hours=10, minutes=3), "EUR/USD")
    report = platform.fill()
    assert platform.outcomes() == [(gap, "EUR/USD", "market_closed", 0), (partly, "EUR/USD", "filled", 3)]
    assert report.fills[0].error == "its market was closed, so nothing is missing"
    assert report.credits == platform.vendor.running.stats()["bar_requests"] - platform.asked_before == 1
    assert platform.filled() == [gap, partly]


@one_engine
def test_nothing_at_the_vendor_is_told_from_a_failure(platform: Platform) -> None:
    """A time of which the vendor has no bars is settled, and the gap with it."""
    long_ago = DAY - timedelta(days=290)
    gap = platform.book(long_ago, long_ago + timedelta(hours=1), "BTC/USD")
    report = platform.fill()
    assert platform.rows("SELECT outcome, reason FROM gap_fills") == [("empty", "the vendor has no bars for it")]
    assert (platform.filled(), report.complete, platform.bar_ticks()) == ([gap], True, 0)


@one_engine
def test_a_gap_is_left_until_its_last_minute_has_settled(platform: Platform) -> None:
    """The vendor needs a while for the last minute; open gaps are nobody's business yet."""
    just_now = datetime.now(NOON.tzinfo)
    platform.book(just_now - 5 * MINUTE, just_now - timedelta(seconds=30), "BTC/USD")
    platform.book(just_now - 5 * MINUTE, None, "ETH/USD")
    report = platform.fill(platform.with_rest(settle_seconds=60))
    assert (report.fills, report.waiting, report.credits) == ([], 1, 0)


@one_engine
def test_a_feed_s_gap_concerns_the_symbols_that_it_had(platform: Platform) -> None:
    """Those of feed_symbols, also when removed after the gap; not those refused, or removed before."""
    platform.connection.execute(
        "INSERT INTO feed_symbols VALUES ('crypto', 'BTC/USD', 'streaming', null, now()),"
        " ('crypto', 'ETH/USD', 'removed', null, now()), ('crypto', 'LTC/USD', 'removed', null, %s),"
        " ('crypto', 'XRP/USD', 'refused', 'no', now())",
        [DAY],
    )
    gap = platform.book(*GAP)
    nobody = platform.book(*GAP, feed="unheard-of")
    report = platform.fill()
    assert platform.outcomes() == [(gap, symbol, "filled", 7) for symbol in ("BTC/USD", "ETH/USD")]
    assert (platform.filled(), [each.id for each in report.unknown]) == ([gap], [nobody])


@one_engine
def test_symbols_with_an_exchange_are_asked_for_by_it(platform: Platform) -> None:
    """The bars are stored under the symbol's own name."""
    listed = {"symbol": "RY", "mic_code": "XTSE"}
    settings = platform.settings.model_copy(
        update={"feeds": (Feed.model_validate({"name": "crypto", "symbols": [listed]}),)}
    )
    platform.book(*GAP)
    report = platform.fill(settings)
    assert [(fill.symbol, fill.outcome) for fill in report.fills] == [("RY:XTSE", "filled")]
    assert list(platform.candles("RY:XTSE", START, STOP)) == [NOON + number * MINUTE for number in range(7)]


@one_engine
def test_what_is_chosen_is_filled_and_no_more(platform: Platform) -> None:
    """By feed, symbol and time; a gap of several symbols stays open until all of them are done."""
    platform.book(DAY - timedelta(days=3), DAY - timedelta(days=3) + 5 * MINUTE, "BTC/USD")
    gap = platform.book(*GAP)
    other = platform.book(*GAP, symbol="BTC/USD", feed="other")
    platform.fill(feed="crypto", symbol="BTC/USD", since=DAY)
    assert platform.outcomes() == [(gap, "BTC/USD", "filled", 7)]
    assert platform.filled() == []
    platform.fill(feed="crypto", since=DAY)
    assert platform.filled() == [gap]
    platform.fill(feed="other")
    assert platform.filled() == [gap, other]


@one_engine
def test_many_short_gaps_cost_one_credit(platform: Platform) -> None:
    """An answer holds 5,000 minutes, whichever gaps they are of."""
    gaps = [seconds(start, start + 10) for start in range(-200, 400, 47)]
    stream(platform, *gaps, symbols=("BTC/USD",))
    for gap in gaps:
        platform.book(*gap, symbol="BTC/USD")
    assert platform.fill().credits == 1
    assert len(platform.filled()) == len(gaps)
    assert_candles_equal_bars(platform, "BTC/USD")


@one_engine
def test_a_dry_run_only_looks(platform: Platform) -> None:
    """What would be fetched and what it would cost, without a request and without a key."""
    platform.book(*GAP)
    platform.book(DAY - timedelta(days=5), DAY - timedelta(days=1), "BTC/USD")
    report = platform.fill(
        platform.settings.model_copy(update={"rest_url": "https://api.twelvedata.com"}), dry_run=True
    )
    planned = sorted((fill.symbol, fill.outcome, fill.bars) for fill in report.fills)
    assert planned == [
        ("BTC/USD", "planned", 7),
        ("BTC/USD", "planned", 5760),
        ("ETH/USD", "planned", 7),
        ("EUR/USD", "planned", 7),
    ]
    assert (report.credits, platform.outcomes(), platform.filled()) == (4, [], [])


@one_engine
def test_time_whose_ticks_retention_dropped_is_left_alone(platform: Platform) -> None:
    """Its candles were made of ticks that are gone; a bar would replace them by itself alone."""
    platform.connection.execute("INSERT INTO candleworks.retention_horizons VALUES ('stocks_real_time', %s)", [NOON])
    gap = platform.book(NOON - 5 * MINUTE, NOON, "BTC/USD")
    partly = platform.book(NOON - MINUTE, NOON + MINUTE, "BTC/USD")
    platform.fill()
    assert platform.outcomes() == [(gap, "BTC/USD", "empty", 0), (partly, "BTC/USD", "filled", 1)]
    reasons = platform.rows("SELECT reason FROM gap_fills WHERE outcome = 'empty'")
    assert reasons == [("retention has dropped the ticks of that time",)]
    assert list(platform.candles("BTC/USD", START, STOP)) == [NOON]
