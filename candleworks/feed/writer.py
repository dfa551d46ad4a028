"""Commits entries of the queue, and reconnects to the database as often as it takes."""

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID
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
from candleworks.database.connection import connect, database_errors
from candleworks.database.interruption import ConnectionsInUse
from candleworks.database.profiles import WRITER
from candleworks.errors import TransientError
from candleworks.feed.sequencer import SequencedBatch, Sequencer
from candleworks.feed.spool_file import QueueEntry
from candleworks.feed.stats import FeedCounters
from candleworks.feed.subscriptions import Subscriptions
from candleworks.feed.unrecorded import UnrecordedFile
from candleworks.settings import Ingest
from candleworks.storage.feeds import lock_feed, save_gap_note, save_mark, stored_marks
from candleworks.storage.live_quotes import LiveQuoteStore
from candleworks.storage.live_tables import LivePart, LiveTables, Recent, WrittenBatch
from candleworks.storage.trades import TradeStore

ORIGIN = "twelvedata"
MAX_WAIT_SECONDS = 5

log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True)
class _WriterSession:
    """What lasts as long as one database connection, which owns the feed's lock."""

    trades: TradeStore
    quotes: LiveQuoteStore
    live: LiveTables
    marks: dict[UUID, int]


class FeedWriter:
    """Writes one feed's entries; used by one thread at a time.

    `zones` are the symbols and the time zones of their trading days. `prepare` is called before the database is used
    for the first time. `give_up` ends the retries while the database is away: the call then raises TransientError.
    `in_use` knows the connection, and can interrupt it. Errors of the database that a retry cannot cure are raised as
    TerminalError.
    """

    def __init__(
        self,
        dsn: str,
        feed: str,
        subscriptions: Subscriptions,
        zones: Mapping[str, ZoneInfo],
        limits: Ingest,
        unrecorded: UnrecordedFile,
        *,
        give_up: threading.Event,
        in_use: ConnectionsInUse,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self.counters = FeedCounters(feed)
        self.ready = False  # whether the database has been prepared
        self._dsn = dsn
        self._feed = feed
        self._subscriptions = subscriptions
        self._zones = dict(zones)
        self._new_symbols = dict(zones)
        self._sequencer = Sequencer(limits)
        self._unrecorded = unrecorded
        self._in_use = in_use
        self._prepare = prepare
        self._recent = Recent()
        self._session: _WriterSession | None = None
        self._backend: int | None = None
        self._sequenced: tuple[QueueEntry, SequencedBatch] | None = None
        self._retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_random_exponential(multiplier=0.2, max=MAX_WAIT_SECONDS),
            stop=stop_when_event_set(give_up),
            sleep=sleep_using_event(give_up),
            before_sleep=self._lose_session,
            reraise=True,
        )

    def add_symbols(self, zones: Mapping[str, ZoneInfo]) -> None:
        """Accept ticks of these symbols as well, from the next entry on; may be called from another thread."""
        self._zones |= zones
        self._new_symbols = {**self._new_symbols, **zones}

    def connect(self) -> None:
        """Wait for the database and lock the feed; TerminalError when another process owns the lock."""
        self._persist(lambda _: None)

    def write(self, entry: QueueEntry) -> None:
        """Commit an entry: each tick is stored, counted as a duplicate, or in `rejected_ticks` when this returns.

        So is the quote of each tick that is not rejected. What the database refuses to record is in `unrecorded`.
        """
        written = self._persist(lambda session: self._write(session, entry))
        if written is None or not entry.batch:
            return
        lags_us = clock.now_us() - np.array(entry.batch.received_us, dtype=np.float64)
        self.counters.count(written, lags_us / 1_000)

    def _write(self, session: _WriterSession, entry: QueueEntry) -> WrittenBatch | None:
        """Return the counts of the entry's ticks; None when it is stored already: its commit was not acknowledged."""
        if entry.sequence <= session.marks.get(entry.run_id, 0):
            return None
        batch = self._sequence(session, entry)

        def in_same_transaction() -> None:
            for note in entry.notes:
                refused = save_gap_note(session.trades.connection, self._feed, self._subscriptions.symbols, note)
                if refused is not None:
                    self._unrecorded.keep_note(note, refused)
            save_mark(session.trades.connection, self._feed, entry.run_id, entry.sequence)

        quotes = batch.quotes
        written = session.live.write(
            LivePart(batch.trades, batch.late, batch.rejections),
            LivePart(quotes.quotes, quotes.late, quotes.rejections),
            in_same_transaction,
        )
        written.trades.duplicates += batch.snapshots
        written.quotes.duplicates += quotes.repeated
        return written

    def _sequence(self, session: _WriterSession, entry: QueueEntry) -> SequencedBatch:
        """Sequence the entry's ticks, once: a retry would count them as the next ones."""
        if added := self._new_symbols:
            symbols = list(added)
            self._sequencer.add_symbols(added, session.trades.positions(symbols), session.quotes.positions(symbols))
            self._new_symbols = {name: zone for name, zone in self._new_symbols.items() if name not in added}
        if self._sequenced is None or self._sequenced[0] is not entry:
            batch = entry.batch
            events = batch.events if batch.events is not None else self._subscriptions.decode(batch.frames)
            sequenced = self._sequencer.sequence(events, batch.received_us, batch.frames, batch.connections)
            self._sequenced = (entry, sequenced)
        return self._sequenced[1]

    def close(self) -> None:
        if self._session is not None:
            self._in_use.discard(self._session.trades.connection)
            self._session.trades.connection.close()
            self._session = None

    def _persist(self, action: Callable[[_WriterSession], Result]) -> Result:
        def attempt() -> Result:
            with database_errors(self._dsn):
                return action(self._open())

        return self._retrying(attempt)

    def _open(self) -> _WriterSession:
        if self._session is None:
            if self._prepare is not None:
                self._prepare()
                self._prepare = None
            with contextlib.ExitStack() as failure:
                connection = connect(self._dsn, f"ingest {self._feed}", profile=WRITER)
                failure.callback(connection.close)
                self._in_use.add(connection)
                failure.callback(self._in_use.discard, connection)
                self._backend = lock_feed(connection, self._feed, self._backend)
                marks = stored_marks(connection, self._feed)
                failure.pop_all()
            trades, quotes = TradeStore(connection, ORIGIN, self._zones.__getitem__), LiveQuoteStore(connection, ORIGIN)
            live = LiveTables(trades, quotes, self._feed, self._recent, self._unrecorded.keep_rejection)
            self._session = _WriterSession(trades, quotes, live, marks)
            self.ready = True
        return self._session

    def _lose_session(self, state: RetryCallState) -> None:
        if state.outcome is not None:
            log.warning("Feed %s is waiting for the database: %s", self._feed, state.outcome.exception())
        self.close()
