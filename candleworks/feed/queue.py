"""Carries entries from the feed to the writer in their order, through memory and, when that is slow, over disk.

    head (memory, the next to be written) -> spool (disk only) -> fresh (memory, the newest)

While the writer keeps up there is only a head. What has waited too long is copied to disk, so that a crash loses
nothing that arrived longer ago; what does not fit into memory is on disk alone. Belongs to one event loop.
"""

import asyncio
import contextlib
import itertools
import logging
import sys
from collections import deque

from candleworks import clock
from candleworks.feed.backpressure import Room
from candleworks.feed.batcher import Batch
from candleworks.feed.segments import Entry
from candleworks.feed.spool import Spool, SpoolFullError
from candleworks.model.gaps import GapNote

WRITING_MS = 60  # what a commit may take before its entry is copied to disk; most take 5 to 20
SAVE_INTERVAL_SECONDS = 0.02
FULL_INTERVAL_SECONDS = 0.5  # every try puts all that is in memory into records, and room is made in files of 16 MB
UNHURRIED_TICKS_PER_SECOND = 50_000  # how fast ticks are taken while the writer is behind; no vendor sends so many
KEPT_TICKS = 20_000  # in memory, besides on disk, while the database is slow; half a second of work for the writer

log = logging.getLogger(__name__)


class Pipeline(Room):
    """`max_ticks` bounds what is in memory; beyond that `room` waits until the writer or the disk took some.

    An entry whose first tick arrived `batching_ms` before it was put is on its way as it should be.
    """

    def __init__(self, spool: Spool, max_ticks: int, batching_ms: int) -> None:
        super().__init__()
        self._spool = spool
        self._max_ticks = max_ticks
        self._kept_ticks = min(KEPT_TICKS, max_ticks // 2)  # or the disk would never make room
        self._save_after_ms = batching_ms + WRITING_MS
        self._head: deque[Entry] = deque()
        self._fresh: deque[Entry] = deque()
        self._behind = spool.unread > 0
        self._sequences = itertools.count(1)
        self._ticks = 0
        self._some = asyncio.Event()
        self._disk = asyncio.Lock()
        self._closed = False
        self._hurried = False
        self._progress = asyncio.Event()
        self.full: str | None = None

    @property
    def waiting(self) -> int:
        """How many ticks are not stored yet, in memory and on disk."""
        return self._ticks + self._spool.unread_ticks

    @property
    def unsaved(self) -> bool:
        """Whether anything is in memory alone."""
        return any(entry.place is None for entry in self._in_memory())

    @property
    def oldest_us(self) -> int | None:
        """When the first tick that is waiting in memory arrived; null while none is."""
        return next((entry.batch.received_us[0] for entry in self._in_memory() if entry.batch), None)

    def put(self, batch: Batch, *notes: GapNote) -> None:
        """Take what is to be written in one transaction."""
        entry = Entry(self._spool.run, next(self._sequences), batch, notes)
        (self._fresh if self._behind else self._head).append(entry)
        self._count(len(batch))
        self._some.set()

    async def turn(self, taken: int) -> None:
        """Wait for room, and while the writer is behind for as long as `taken` ticks may last.

        Reading costs the writer the interpreter: unhurried, 100,000 ticks a second are stored of a stream without end;
        otherwise 230,000 are read, 16,000 of them are stored, and the rest goes to disk.
        """
        await self.room()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(taken / UNHURRIED_TICKS_PER_SECOND):
                while not self._hurried and (self._behind or len(self._head) > 1):
                    self._progress.clear()
                    await self._progress.wait()

    def let_all_in(self) -> None:
        """Take without a bound, and without waiting, what is left at the end."""
        self._max_ticks = sys.maxsize
        self._hurried = True
        self._progress.set()
        self._count(0)

    def _count(self, ticks: int) -> None:
        self._ticks += ticks
        self._set_room(free=self._ticks < self._max_ticks)

    def close(self) -> None:
        """Let `next_entry` end once everything that was put is done."""
        self._closed = True
        self._some.set()

    async def next_entry(self) -> Entry | None:
        """Return the entry to be written now, the same one until it is `done`; None at the end."""
        while not self._head:
            if self._behind:
                await self._load()
            elif self._closed:
                return None
            else:
                self._some.clear()
                await self._some.wait()
        return self._head[0]

    def done(self) -> None:
        """Note that the entry handed out is stored."""
        entry = self._head.popleft()
        self._count(-len(entry.batch))
        self._spool.done(entry)
        self._progress.set()

    async def _load(self) -> None:
        async with self._disk:
            entries = await asyncio.to_thread(self._spool.read, self._kept_ticks)
            self._head.extend(entries)
            self._count(sum(len(entry.batch) for entry in entries))
            if not self._spool.unread:
                self._behind = False
                self._head.extend(self._fresh)
                self._fresh.clear()

    async def keep_safe(self, end: asyncio.Event) -> None:
        """Copy to disk whatever waits too long, until the end."""
        while not end.is_set():
            await asyncio.sleep(FULL_INTERVAL_SECONDS if self.full else SAVE_INTERVAL_SECONDS)
            if self._oldest_unsaved_ms() >= self._save_after_ms:
                await self.save()

    def _oldest_unsaved_ms(self) -> float:
        entry = next((entry for entry in self._in_memory() if entry.place is None), None)
        if entry is None:
            return 0.0
        received_us = entry.batch.received_us[0] if entry.batch else 0  # notes are not held back
        return (clock.now_us() - received_us) / 1_000

    async def save(self) -> None:
        """Copy to disk whatever is in memory alone, and keep there only what does not fit into memory."""
        async with self._disk:
            head, fresh = [entry for entry in self._head if entry.place is None], list(self._fresh)
            try:
                if head:
                    await asyncio.to_thread(self._spool.append, head, keep_unread=False)
                if fresh:
                    await asyncio.to_thread(self._spool.append, fresh, keep_unread=True)
                    self._drop(self._fresh, len(fresh), left=True)
            except SpoolFullError as problem:
                self._report(str(problem))
                return
            self._report(None)
            self._shorten()

    def _report(self, problem: str | None) -> None:
        if problem and not self.full:
            log.error("Feed %s: the spool %s is full (%s): make room, or raise ingest.max_spool_bytes.",
                      self._spool.feed, self._spool.directory, problem)  # fmt: skip
        self.full = problem

    def _shorten(self) -> None:
        """Leave the end of a long head on disk alone; it is read back when its turn comes."""
        kept, ticks = 0, 0
        for entry in self._head:
            kept, ticks = kept + 1, ticks + len(entry.batch)
            if ticks >= self._kept_ticks:
                break
        excess = list(itertools.islice(self._head, kept, None))
        saved = [entry for entry in excess if entry.place is not None]
        if not saved:
            return
        self._spool.leave_unread(saved)
        self._drop(self._head, len(excess), left=False)
        for entry in excess[len(saved) :]:  # they were put while the others were saved
            self._fresh.append(entry)
            self._count(len(entry.batch))
        self._behind = True

    def _drop(self, entries: deque[Entry], count: int, *, left: bool) -> None:
        for _ in range(count):
            entry = entries.popleft() if left else entries.pop()
            self._count(-len(entry.batch))

    def _in_memory(self) -> itertools.chain[Entry]:
        return itertools.chain(self._head, self._fresh)
