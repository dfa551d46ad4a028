"""Turns batches of frames into committed rows, however often the database has to be reached again."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from zoneinfo import ZoneInfo

import numpy as np
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from candleworks import clock
from candleworks.errors import TransientError
from candleworks.ingest.batcher import Batch
from candleworks.ingest.protocol import decode_prices
from candleworks.ingest.sequencer import Sequencer
from candleworks.ingest.statistics import Counters
from candleworks.storage.connection import connect, transient_errors
from candleworks.storage.live import LiveTrades, RecentTrades
from candleworks.storage.trades import TradeStore

ORIGIN = "twelvedata"
LONGEST_WAIT_SECONDS = 5

log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Session:
    """What lives as long as one database connection."""

    store: TradeStore
    live: LiveTrades


class Writer:
    """Writes one feed's batches; used by one thread at a time.

    `zones` names the symbols and the zones of their trading days. `give_up` ends the waiting for a database that is
    away: the call then raises TransientError.
    """

    def __init__(
        self, dsn: str, feed: str, zones: Mapping[str, ZoneInfo], max_future_seconds: int, give_up: threading.Event
    ) -> None:
        self.counters = Counters(feed)
        self._dsn = dsn
        self._feed = feed
        self._zones = zones
        self._recent = RecentTrades()
        self._session: _Session | None = None
        self._retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_random_exponential(multiplier=0.2, max=LONGEST_WAIT_SECONDS),
            stop=stop_when_event_set(give_up),
            sleep=sleep_using_event(give_up),
            before_sleep=self._lose_session,
            reraise=True,
        )
        positions = self._persist(lambda session: session.store.positions(list(zones)))
        self.sequencer = Sequencer(zones, positions, max_future_seconds)

    def write(self, batch: Batch) -> None:
        """Commit a batch: its ticks are stored, known as duplicates, or in the quarantine when this returns."""
        events = decode_prices(batch.frames)
        placed = self.sequencer.place(events, batch.received_us, batch.frames, batch.connections)
        written = self._persist(lambda session: session.live.write(placed.trades, placed.late, placed.rejections))
        written.duplicates += placed.snapshots
        lags_us = clock.now_us() - np.array(batch.received_us, dtype=np.float64)
        self.counters.count(written, lags_us / 1_000)

    def close(self) -> None:
        if self._session is not None:
            self._session.store.connection.close()
            self._session = None

    def _persist(self, action: Callable[[_Session], Result]) -> Result:
        def attempt() -> Result:
            with transient_errors(self._dsn):
                return action(self._open())

        return self._retrying(attempt)

    def _open(self) -> _Session:
        if self._session is None:
            connection = connect(self._dsn, f"candleworks ingest {self._feed}")
            store = TradeStore(connection, ORIGIN, self._zones.__getitem__)
            self._session = _Session(store, LiveTrades(store, self._feed, self._recent))
        return self._session

    def _lose_session(self, state: RetryCallState) -> None:
        if state.outcome is not None:
            log.warning("Feed %s waits to write: %s", self._feed, state.outcome.exception())
        self.close()
