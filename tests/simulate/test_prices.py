from collections import defaultdict
from datetime import UTC, datetime

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from candleworks.simulate.bars import minute_bars
from candleworks.simulate.catalogue import built_in_catalogue
from candleworks.simulate.prices import TickSource
from candleworks.simulate.ticks import Ticks

CATALOGUE = built_in_catalogue()
NOON = int(datetime(2026, 11, 20, 17, 0, tzinfo=UTC).timestamp())
NEW_YORK_MIDNIGHT = int(datetime(2026, 11, 21, 5, 0, tzinfo=UTC).timestamp())
UTC_MIDNIGHT = int(datetime(2026, 11, 21, 0, 0, tzinfo=UTC).timestamp())
DEFAULTS = np.arange(7)  # AAPL to EUR/USD


def source(*, seed: int = 1, pace: float = 1.0) -> TickSource:
    return TickSource(CATALOGUE.instruments, seed=seed, pace=pace)


def row_of(symbol: str) -> int:
    row = CATALOGUE.find(symbol)
    assert row is not None
    return row


def ticks_between(ticks: TickSource, row: int, first: int, end: int) -> Ticks:
    return Ticks.joined([ticks.second(np.array([row]), second)[0] for second in range(first, end)])


def test_the_same_seed_makes_the_same_ticks() -> None:
    """Two sources with one seed agree in every column; another seed makes other prices."""
    ticks, offsets = source(seed=5).second(DEFAULTS, NOON)
    again, offsets_again = source(seed=5).second(DEFAULTS, NOON)
    other, _ = source(seed=6).second(DEFAULTS, NOON)
    assert np.array_equal(ticks.prices, again.prices)
    assert np.array_equal(ticks.volumes, again.volumes)
    assert np.array_equal(offsets, offsets_again)
    assert set(ticks.prices.tolist()).isdisjoint(other.prices.tolist())


def test_a_symbols_ticks_do_not_depend_on_what_else_is_asked() -> None:
    """Whoever subscribes to one symbol sees of it what a subscriber to all sees."""
    everything, _ = source().second(np.arange(len(CATALOGUE.instruments)), NOON)
    for row in DEFAULTS.tolist():
        alone, _ = source().second(np.array([row]), NOON)
        among_others = everything[np.flatnonzero(everything.rows == row)]
        assert alone.prices.tolist() == among_others.prices.tolist()
        assert alone.volumes.tolist() == among_others.volumes.tolist()


def test_all_symbols_together_tick_at_the_given_pace() -> None:
    """Over ten minutes the count is within a tenth of what the paces add up to."""
    expected = sum(CATALOGUE.instruments[row].ticks_per_second for row in DEFAULTS.tolist()) * 600
    count = sum(len(source().second(DEFAULTS, second)[0]) for second in range(NOON, NOON + 600))
    assert abs(count - expected) < expected / 10


def test_no_symbol_is_silent_for_long() -> None:
    """At the default pace even the slowest instrument of the catalogue ticks every few seconds."""
    rows = np.arange(len(CATALOGUE.instruments))
    per_second = np.diff(source().counters(rows, NOON, 3600), axis=1)
    for counts in per_second:
        assert np.diff(np.flatnonzero(counts)).max() <= 6


def test_prices_have_the_digits_of_their_instrument() -> None:
    """A stock's price prints with at most two digits behind the point, a currency pair's with at most five."""
    for symbol, digits in (("AAPL", 2), ("EUR/USD", 5), ("USD/JPY", 3)):
        for price in ticks_between(source(), row_of(symbol), NOON, NOON + 60).prices.tolist():
            assert len(repr(price).partition(".")[2]) <= digits


def test_prices_move_as_a_market_does() -> None:
    """In ten minutes a price changes, yet by less than a twentieth; over half a year it stays well above nothing."""
    for row in DEFAULTS.tolist():
        prices = ticks_between(source(), row, NOON, NOON + 600).prices
        assert prices.min() < prices.max() < prices.min() * 1.05
    noons = [source().paths(DEFAULTS, NOON - day * 86_400, 1) for day in range(180)]
    assert -0.7 < np.min(noons) < np.max(noons) < 0.7


def test_quotes_enclose_the_price() -> None:
    """The bid is never above the price, the ask never below, and they differ."""
    ticks, _ = source(pace=50).second(DEFAULTS, NOON)
    assert (ticks.bids <= ticks.prices).all()
    assert (ticks.prices <= ticks.asks).all()
    assert (ticks.bids < ticks.asks).all()


def test_a_stocks_day_volume_starts_over_at_midnight_in_new_york() -> None:
    """It never falls within a trading day, is positive, and begins anew with the day."""
    before = ticks_between(source(), row_of("AAPL"), NEW_YORK_MIDNIGHT - 60, NEW_YORK_MIDNIGHT).volumes
    after = ticks_between(source(), row_of("AAPL"), NEW_YORK_MIDNIGHT, NEW_YORK_MIDNIGHT + 60).volumes
    assert (np.diff(before) >= 0).all()
    assert (np.diff(after) >= 0).all()
    assert 0 < after[-1] < before[0] / 100


def test_a_coins_day_volume_starts_over_at_midnight_utc() -> None:
    """Its day is UTC's, so it is not reset when New York's ends."""
    row = row_of("BTC/USD")
    before = ticks_between(source(), row, UTC_MIDNIGHT - 60, UTC_MIDNIGHT).volumes
    after = ticks_between(source(), row, UTC_MIDNIGHT, UTC_MIDNIGHT + 60).volumes
    elsewhere = ticks_between(source(), row, NEW_YORK_MIDNIGHT - 60, NEW_YORK_MIDNIGHT + 60).volumes
    assert 0 < after[-1] < before[0] / 100
    assert (np.diff(elsewhere) >= 0).all()


@given(
    row=st.sampled_from([row_of("AAPL"), row_of("BTC/USD"), row_of("EUR/USD"), row_of("RY:TSX")]),
    pace=st.sampled_from([0.01, 0.3, 1.0, 40.0, 3000.0]),
    first_minute=st.integers(-3, 3),
    minutes=st.integers(1, 3),
    cut_seconds=st.integers(0, 70),
)
@settings(max_examples=40, deadline=None)
def test_minute_bars_are_the_bars_of_the_ticks(
    row: int, pace: float, first_minute: int, minutes: int, cut_seconds: int
) -> None:
    """All fields agree exactly, across midnight, at any pace, and where the last minute is cut off."""
    ticks = source(pace=pace)
    first = NEW_YORK_MIDNIGHT + first_minute * 60
    end = first + minutes * 60
    known_until = end - cut_seconds
    bars = minute_bars(ticks, row, first, end, known_until=known_until)
    expected = bars_of(ticks, row, first, known_until)
    columns = (bars.starts, bars.opens, bars.highs, bars.lows, bars.closes, bars.volumes)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected


def bars_of(ticks: TickSource, row: int, first: int, end: int) -> list[tuple[float, ...]]:
    """The plain way: one tick after the other."""
    previous = ticks.last_before(row, first * 1_000_000)
    total = int(previous.volumes[0]) if len(previous) else 0
    prices: dict[int, list[float]] = defaultdict(list)
    volumes: dict[int, int] = defaultdict(int)
    sent = ticks_between(ticks, row, first, end)
    for event_time, price, volume in zip(
        sent.event_times.tolist(), sent.prices.tolist(), sent.volumes.tolist(), strict=True
    ):
        minute = event_time - event_time % 60
        prices[minute].append(price)
        volumes[minute] += volume - total if volume >= total else volume
        total = volume
    return [(minute, p[0], max(p), min(p), p[-1], volumes[minute]) for minute, p in prices.items()]
