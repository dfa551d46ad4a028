"""Turns entries of the pipeline into committed rows, however often the database has to be reached again."""

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
from candleworks.database.connection import connect, transient_errors
from candleworks.errors import TransientError
from candleworks.feed.segments import Entry
from candleworks.feed.sequencer import Placed, Sequencer
from candleworks.feed.stats import Counters
from candleworks.feed.subscriptions import Roster
from candleworks.settings import Ingest
from candleworks.storage.feeds import book, lock_feed, save_mark, stored_marks
from candleworks.storage.live_trades import LiveTrades, RecentTrades, Written
from candleworks.storage.trades import TradeStore

ORIGIN = "twelvedata"
LONGEST_WAIT_SECONDS = 5

log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Session:
    """What lives as long as one database connection, which holds the feed."""

    store: TradeStore
    live: LiveTrades
    marks: dict[UUID, int]


class Writer:
    """Writes one feed's entries; used by one thread at a time.

    `zones` names the symbols and the zones of their trading days. `prepare` is called before the database is used for
    the first time. `give_up` ends the waiting for a database that is away: the call then raises TransientError.
    """

    def __init__(
        self,
        dsn: str,
        feed: str,
        roster: Roster,
        zones: Mapping[str, ZoneInfo],
        limits: Ingest,
        *,
        give_up: threading.Event,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self.counters = Counters(feed)
        self.ready = False  # whether the database has been prepared
        self._dsn = dsn
        self._feed = feed
        self._roster = roster
        self._zones = dict(zones)
        self._joining = dict(zones)
        self._sequencer = Sequencer(limits)
        self._prepare = prepare
        self._recent = RecentTrades()
        self._session: _Session | None = None
        self._backend: int | None = None
        self._placed: tuple[Entry, Placed] | None = None
        self._retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_random_exponential(multiplier=0.2, max=LONGEST_WAIT_SECONDS),
            stop=stop_when_event_set(give_up),
            sleep=sleep_using_event(give_up),
            before_sleep=self._lose_session,
            reraise=True,
        )

    def follow(self, zones: Mapping[str, ZoneInfo]) -> None:
        """Take ticks of these symbols, too, from the next entry on; may be called from another thread."""
        self._zones |= zones
        self._joining = {**self._joining, **zones}

    def connect(self) -> None:
        """Wait for the database and take the feed; TerminalError when somebody else has it."""
        self._persist(lambda _: None)

    def write(self, entry: Entry) -> None:
        """Commit an entry: its ticks are stored, known as duplicates, or in the quarantine when this returns."""
        written = self._persist(lambda session: self._write(session, entry))
        if written is None or not entry.batch:
            return
        lags_us = clock.now_us() - np.array(entry.batch.received_us, dtype=np.float64)
        self.counters.count(written, lags_us / 1_000)

    def _write(self, session: _Session, entry: Entry) -> Written | None:
        """Return what became of the entry's ticks; None when a transaction of which no word came had stored it."""
        if entry.sequence <= session.marks.get(entry.run, 0):
            return None
        placed = self._place(session, entry)

        def besides() -> None:
            for note in entry.notes:
                book(session.store.connection, self._feed, self._roster.wanted, note)
            save_mark(session.store.connection, self._feed, entry.run, entry.sequence)

        written = session.live.write(placed.trades, placed.late, placed.rejections, besides)
        written.duplicates += placed.snapshots
        return written

    def _place(self, session: _Session, entry: Entry) -> Placed:
        """Place the entry's ticks, once: repeating it would take them for the next ones."""
        if joining := self._joining:
            self._sequencer.follow(joining, session.store.positions(list(joining)))
            self._joining = {name: zone for name, zone in self._joining.items() if name not in joining}
        if self._placed is None or self._placed[0] is not entry:
            batch = entry.batch
            events = batch.events if batch.events is not None else self._roster.decode(batch.frames)
            placed = self._sequencer.place(events, batch.received_us, batch.frames, batch.connections)
            self._placed = (entry, placed)
        return self._placed[1]

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
            if self._prepare is not None:
                self._prepare()
                self._prepare = None
            with contextlib.ExitStack() as failure:
                connection = connect(self._dsn, f"candleworks ingest {self._feed}")
                failure.callback(connection.close)
                self._backend = lock_feed(connection, self._feed, self._backend)
                marks = stored_marks(connection, self._feed)
                failure.pop_all()
            store = TradeStore(connection, ORIGIN, self._zones.__getitem__)
            self._session = _Session(store, LiveTrades(store, self._feed, self._recent), marks)
            self.ready = True
        return self._session

    def _lose_session(self, state: RetryCallState) -> None:
        if state.outcome is not None:
            log.warning("Feed %s waits to write: %s", self._feed, state.outcome.exception())
        self.close()
