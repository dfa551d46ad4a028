"""Statistics of a feed, in windows of ten seconds."""

import threading
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from candleworks import clock
from candleworks.storage.feeds import IngestStats
from candleworks.storage.live_tables import WrittenBatch

WINDOW = timedelta(seconds=10)
MAX_UNSAVED_WINDOWS = 8_640  # of a day; kept in memory while the database is away
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FeedCounters:
    """The current window of one feed, and totals since the start."""

    def __init__(self, feed: str) -> None:
        self._feed = feed
        self._lock = threading.Lock()  # batches are counted by the writer's thread, rows are read by another
        self.total = WrittenBatch()
        self.reconnects = 0
        self._ended: list[IngestStats] = []
        self._start(clock.now())

    def _start(self, now: datetime) -> None:
        self._at = now - (now - _EPOCH) % WINDOW
        self._window = WrittenBatch()
        self._batches = 0
        self._candles = 0
        self._reconnects_before = self.reconnects
        self._lags_ms: list[NDArray[np.float64]] = []

    def count(self, written: WrittenBatch, lags_ms: NDArray[np.float64]) -> None:
        """Add one committed batch; `lags_ms` has an entry per tick, from arrival to commit."""
        with self._lock:
            for sums in (self.total, self._window):
                sums.add(written)
            self._batches += 1
            self._lags_ms.append(lags_ms)

    def count_candles(self, changed: int) -> None:
        """Add the number of candles that one refresh changed."""
        with self._lock:
            self._candles += changed

    def rows(self, waiting: int, oldest_us: int | None = None) -> list[IngestStats]:
        """Return the rows of ended windows that are not saved yet, then that of the current window.

        `waiting` ticks are not stored; the oldest arrived at `oldest_us`, and its lag so far counts for the maximum.
        """
        with self._lock:
            age_ms = self._end_window(waiting, oldest_us)
            return [*self._ended, self._row(waiting, age_ms)]

    def end_window(self, waiting: int, oldest_us: int | None = None) -> None:
        """Keep the row of the current window once it has ended, and begin the next one; call it once a second."""
        with self._lock:
            self._end_window(waiting, oldest_us)

    def _end_window(self, waiting: int, oldest_us: int | None) -> float | None:
        """Return the lag of the oldest waiting tick so far, in milliseconds."""
        now = clock.now()
        age_ms = None if oldest_us is None else max(0.0, (clock.now_us() - oldest_us) / 1_000)
        if now >= self._at + WINDOW or now < self._at:
            self._ended.append(self._row(waiting, age_ms))
            del self._ended[:-MAX_UNSAVED_WINDOWS]
            self._start(now)
        return age_ms

    def saved(self, rows: list[IngestStats]) -> None:
        """Drop the rows of ended windows among `rows`: they are stored."""
        stored = {row.at: row for row in rows}
        with self._lock:
            self._ended = [row for row in self._ended if stored.get(row.at) != row]

    def _row(self, waiting: int, age_ms: float | None) -> IngestStats:
        lags = np.concatenate(self._lags_ms) if self._lags_ms else np.empty(0)
        p50, p99, highest = (float(v) for v in np.percentile(lags, (50, 99, 100))) if lags.size else (None,) * 3
        return IngestStats(
            feed=self._feed,
            at=self._at,
            ticks=self._window.trades.stored,
            batches=self._batches,
            lag_ms_p50=p50,
            lag_ms_p99=p99,
            lag_ms_max=max(filter(None, (highest, age_ms)), default=highest),
            spool_depth=waiting,
            reconnects=self.reconnects - self._reconnects_before,
            duplicates=self._window.trades.duplicates,
            rejected=self._window.trades.rejected,
            candles=self._candles,
            quotes=self._window.quotes.stored,
            duplicate_quotes=self._window.quotes.duplicates,
            rejected_quotes=self._window.quotes.rejected,
        )
