"""Counts what a feed does, in windows of ten seconds."""

import threading
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from candleworks import clock
from candleworks.storage.ingest_stats import IngestStats
from candleworks.storage.live_trades import Written

WINDOW = timedelta(seconds=10)
MOST_UNSAVED = 8_640  # a day's; kept in memory while the database is away
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Counters:
    """The running window of one feed, and totals since the start."""

    def __init__(self, feed: str) -> None:
        self._feed = feed
        self._lock = threading.Lock()  # batches are counted by the writer's thread, rows are read by another
        self.total = Written()
        self.reconnects = 0
        self._ended: list[IngestStats] = []
        self._start(clock.now())

    def _start(self, moment: datetime) -> None:
        self._at = moment - (moment - _EPOCH) % WINDOW
        self._window = Written()
        self._batches = 0
        self._candles = 0
        self._reconnects_before = self.reconnects
        self._lags_ms: list[NDArray[np.float64]] = []

    def count(self, written: Written, lags_ms: NDArray[np.float64]) -> None:
        """Add one committed batch; `lags_ms` has an entry per tick, from arrival to commit."""
        with self._lock:
            for sums in (self.total, self._window):
                sums.stored += written.stored
                sums.duplicates += written.duplicates
                sums.rejected += written.rejected
            self._batches += 1
            self._lags_ms.append(lags_ms)

    def count_candles(self, changed: int) -> None:
        """Add what one refresh changed."""
        with self._lock:
            self._candles += changed

    def rows(self, waiting: int, oldest_us: int | None = None) -> list[IngestStats]:
        """Return the row of the running window, and before it those of ended windows that were not saved yet.

        `waiting` ticks are not stored, the first of them since `oldest_us`: its lag counts before it is known in full.
        """
        with self._lock:
            moment = clock.now()
            age_ms = None if oldest_us is None else max(0.0, (clock.now_us() - oldest_us) / 1_000)
            if moment >= self._at + WINDOW or moment < self._at:
                self._ended.append(self._row(waiting, age_ms))
                del self._ended[:-MOST_UNSAVED]
                self._start(moment)
            return [*self._ended, self._row(waiting, age_ms)]

    def saved(self, rows: list[IngestStats]) -> None:
        """Note that `rows` need not be returned again, except for that of the running window."""
        with self._lock:
            self._ended = [row for row in self._ended if row not in rows]

    def _row(self, waiting: int, age_ms: float | None) -> IngestStats:
        lags = np.concatenate(self._lags_ms) if self._lags_ms else np.empty(0)
        p50, p99, highest = (float(v) for v in np.percentile(lags, (50, 99, 100))) if lags.size else (None,) * 3
        return IngestStats(
            feed=self._feed,
            at=self._at,
            ticks=self._window.stored,
            batches=self._batches,
            lag_ms_p50=p50,
            lag_ms_p99=p99,
            lag_ms_max=max(filter(None, (highest, age_ms)), default=highest),
            spool_depth=waiting,
            reconnects=self.reconnects - self._reconnects_before,
            duplicates=self._window.duplicates,
            rejected=self._window.rejected,
            candles=self._candles,
        )
