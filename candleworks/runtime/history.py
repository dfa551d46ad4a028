"""Loads the history of new symbols beside a stream: in a process of its own, so that the ticks are not delayed."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from candleworks import clock
from candleworks.backfill.wanted import has_history, wanted_history
from candleworks.database.connection import connect, transient_errors
from candleworks.database.profiles import READER
from candleworks.errors import CandleworksError
from candleworks.processes import Child, python_module, stop_all, stopped_within
from candleworks.runtime.database import check_schema
from candleworks.settings import Feed, Settings
from candleworks.storage.backfills import due_backfills
from candleworks.storage.feeds import streaming_symbols
from candleworks.threads import in_thread, unless_stopped
from candleworks.wording import counted

FIRST_POLL_SECONDS = 0.5  # until the feed streams
POLL_SECONDS = 5
STOP_SECONDS = 2
NICENESS = 10
FIRST_PAUSE_SECONDS = 60  # after a process that failed, twice as long after the next one
LONGEST_PAUSE_SECONDS = 600

log = logging.getLogger(__name__)


async def load_history(settings: Settings, feed: Feed, dsn: str, stop: asyncio.Event) -> None:
    """Run `candleworks backfill` whenever a streamed symbol of the feed lacks history, until the stop.

    Its failures are logged and never raised; what is left is tried again. Without a vendor to ask there is none.
    """
    if not has_history(settings, feed):
        return
    process = HistoryProcess(settings, feed, dsn)
    try:
        while not await stopped_within(stop, process.poll_seconds):
            await unless_stopped(stop, process.advance)
    finally:
        await in_thread(process.stop)


@dataclass
class HistoryProcess:
    """The process that loads a feed's history: started when something is due, at most one at a time."""

    settings: Settings
    feed: Feed
    dsn: str
    poll_seconds: float = FIRST_POLL_SECONDS
    _failures: int = 0
    _resume_at: float = 0.0
    _child: Child | None = None

    @property
    def log(self) -> Path:
        return self.settings.home / "logs" / f"backfill-{self.feed.name}.log"

    def advance(self) -> None:
        """Start the process when there is something to load, or note how it ended."""
        if self._child is not None:
            self._note_end(self._child)
        elif clock.monotonic() >= self._resume_at and (due := self._due()):
            log.info("Feed %s: loading the history of %s.", self.feed.name, counted(len(due), "symbol"))
            command = python_module("candleworks", "backfill", "--feed", self.feed.name)
            self._child = Child(f"backfill of {self.feed.name}", command, log=self.log, niceness=NICENESS)
            self._child.start()

    def stop(self) -> None:
        """End the process."""
        if self._child is not None:
            stop_all([self._child], STOP_SECONDS)

    def _note_end(self, child: Child) -> None:
        status = child.exit_status
        if status is None:
            return
        self._child = None
        self._failures = self._failures + 1 if status else 0
        if status:
            pause = min(FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1), LONGEST_PAUSE_SECONDS)
            self._resume_at = clock.monotonic() + pause
            log.warning(
                "Feed %s: the history is not complete, it is tried again in %d s (%s; log: %s)",
                self.feed.name, pause, child.last_line, self.log,
            )  # fmt: skip
        else:
            log.info("Feed %s: %s.", self.feed.name, child.last_line)

    def _due(self) -> list[str]:
        """Return the streamed symbols with something to load; none while the database is unavailable."""
        try:
            check_schema(self.dsn)
            with transient_errors(self.dsn), connect(self.dsn, "history", profile=READER) as connection:
                symbols = streaming_symbols(connection, self.feed.name)
                wanted = wanted_history(self.settings, self.feed, clock.now())
                due = due_backfills(connection, self.feed.name, symbols, wanted, clock.now())
        except CandleworksError:  # the feed's writer reports what is wrong with the database
            return []
        self.poll_seconds = POLL_SECONDS if symbols else FIRST_POLL_SECONDS
        return due
