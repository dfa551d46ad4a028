"""What a feed did, in windows of ten seconds."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from candleworks import clock
from candleworks.feed.stats import FeedCounters
from candleworks.storage.live_tables import Written, WrittenBatch

START = datetime(2026, 3, 2, 15, 0, 3, tzinfo=UTC)


class FakeClock:
    """Set by the test."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake_clock = FakeClock()
    monkeypatch.setattr(clock, "now", fake_clock.now)
    return fake_clock


def test_a_window_sums_its_batches(fake_clock: FakeClock) -> None:
    """It begins at whole ten seconds; lags are taken over all of its ticks."""
    counters = FeedCounters("crypto")
    counters.count(WrittenBatch(Written(stored=2, duplicates=1, rejected=1)), np.array([1.0, 2.0, 3.0, 4.0]))
    counters.count(WrittenBatch(Written(stored=1)), np.array([5.0]))
    counters.count_candles(6)
    counters.reconnects += 1
    fake_clock.time += timedelta(seconds=6)
    (row,) = counters.rows(waiting=9)
    assert (row.feed, row.at) == ("crypto", START.replace(second=0))
    assert (row.ticks, row.duplicates, row.rejected, row.batches, row.candles) == (3, 1, 1, 2, 6)
    assert (row.lag_ms_p50, row.lag_ms_max, row.spool_depth, row.reconnects) == (3.0, 5.0, 9, 1)


def test_a_window_without_ticks_has_no_lag(fake_clock: FakeClock) -> None:
    """Null, not zero."""
    (row,) = FeedCounters("crypto").rows(0)
    assert (row.at, row.ticks, row.lag_ms_p50, row.lag_ms_p99, row.lag_ms_max) == (
        fake_clock.time.replace(second=0),
        0,
        None,
        None,
        None,
    )


def test_an_ended_window_comes_until_it_was_saved(fake_clock: FakeClock) -> None:
    """The database may have been away when it ended, even for several windows."""
    counters = FeedCounters("crypto")
    for number in (1, 2, 3):
        counters.count(WrittenBatch(Written(stored=number)), np.array([1.0]))
        fake_clock.time += timedelta(seconds=10)
        assert [row.ticks for row in counters.rows(0)] == [*range(1, number + 1), 0]
    counters.count(WrittenBatch(Written(stored=4)), np.array([1.0]))
    counters.saved(counters.rows(0))
    assert [row.ticks for row in counters.rows(0)] == [4]


def test_the_totals_go_on_through_all_windows(fake_clock: FakeClock) -> None:
    """They count since the start."""
    counters = FeedCounters("crypto")
    for _ in range(2):
        counters.count(WrittenBatch(Written(stored=2, duplicates=1)), np.array([1.0]))
        fake_clock.time += timedelta(seconds=10)
        counters.rows(0)
    assert (counters.total.trades.stored, counters.total.trades.duplicates) == (4, 2)
