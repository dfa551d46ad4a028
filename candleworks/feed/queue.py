"""Carries ticks and gap notes from the connection to the writer, in order, in memory and on disk when that is slow.

    head (memory, written next) -> spool (disk only) -> tail (memory, newest entries) -> batch that is being filled

While the writer keeps up there are only a head and the batch. Whatever waits too long is copied to disk, so that a
crash loses nothing that arrived earlier; what does not fit into memory is on disk only.
"""

import asyncio
import contextlib
import itertools
import logging
import sys
from collections import deque
from collections.abc import Callable

from candleworks import clock
from candleworks.feed.batcher import Backpressure, Batch, Batcher, FlushInterval
from candleworks.feed.spool import Spool, SpoolFullError
from candleworks.feed.spool_file import QueueEntry
from candleworks.model.gaps import GapNote
from candleworks.settings import Ingest

COMMIT_MS = 60  # how long a commit may take before its entry is copied to disk; most take 5 to 20
SAVE_INTERVAL_SECONDS = 0.02
FULL_INTERVAL_SECONDS = 0.5  # every attempt encodes all that is in memory, and space is freed in files of 16 MB
UNHURRIED_TICKS_PER_SECOND = 50_000  # how fast ticks are read while the writer is behind; no vendor sends that many
MAX_PAUSE_SECONDS = 0.5
BATCHES_IN_MEMORY = 8  # so many batches of the largest size fit into memory
LARGE_BATCH_BYTES = 4_194_304  # decoded once more by the writer: its events may be as large as its frames
KEPT_TICKS = 20_000  # in memory as well as on disk while the database is slow; half a second of work for the writer

log = logging.getLogger(__name__)


class FeedQueue(Backpressure):
    """One feed's queue; belongs to one event loop.

    It is full while `ingest.max_buffered_ticks` or `ingest.max_buffered_bytes` are in memory, and for a short while
    after a full batch when the writer is behind. `inspect` gets each batch before it is queued; notes that it puts
    precede the batch.
    """

    def __init__(
        self, spool: Spool, ingest: Ingest, interval: FlushInterval, inspect: Callable[[Batch], object]
    ) -> None:
        super().__init__()
        self._spool = spool
        self._inspect = inspect
        self._batcher = Batcher(interval)
        self._max_ticks = ingest.max_buffered_ticks
        self._max_rows = min(ingest.max_batch_rows, self._max_ticks // 2)
        self._kept_ticks = min(KEPT_TICKS, self._max_ticks // 2)  # or saving would never make room in memory
        self._max_batch_bytes = ingest.max_buffered_bytes // BATCHES_IN_MEMORY
        self._full_bytes = ingest.max_buffered_bytes - self._max_batch_bytes  # the rest is for the batch being filled
        self._kept_bytes = self._full_bytes // 2
        self._save_after_ms = ingest.flush_interval_ms + COMMIT_MS
        self._head: deque[QueueEntry] = deque()
        self._tail: deque[QueueEntry] = deque()
        self._behind = spool.unread > 0
        self._sequences = itertools.count(1)
        self._ticks = 0
        self._bytes = 0
        self._stored: list[QueueEntry] = []
        self._changed = asyncio.Event()
        self._disk = asyncio.Lock()
        self._closed = False
        self._pause: asyncio.TimerHandle | None = None
        self.spool_problem: str | None = None

    @property
    def waiting(self) -> int:
        """How many ticks are not stored yet, in memory and on disk."""
        return self.in_memory + self._spool.unread_ticks

    @property
    def in_memory(self) -> int:
        """How many ticks are in memory, whether they are on disk as well or not."""
        return self._ticks + len(self._batcher)

    @property
    def unsaved(self) -> bool:
        """Whether anything is in memory only."""
        return bool(self._batcher) or any(entry.position is None for entry in self._in_memory())

    @property
    def oldest_us(self) -> int | None:
        """When the oldest tick in memory arrived; null while there is none."""
        queued = (entry.batch.received_us[0] for entry in self._in_memory() if entry.batch)
        return next(queued, self._batcher.oldest_us)

    def connected(self) -> None:
        """Mark that the frames added from now on come from a new connection."""
        self._batcher.connected()

    def add(self, frame: bytes, received_us: int) -> None:
        """Add a frame to the current batch; before the next one the caller checks whether the queue is full."""
        rows = self._batcher.add(frame, received_us)
        if rows >= self._max_rows or self._batcher.frame_bytes >= self._max_batch_bytes:
            self.flush()
        elif rows == 1:
            self._changed.set()

    def put(self, note: GapNote) -> None:
        """Queue a note ahead of the current batch; call `flush` first for a note about what came after its frames."""
        self._append(Batch(), (note,))

    def flush(self) -> None:
        """Queue the current batch, however small; while the writer is behind, have the reader pause.

        Reading costs the writer the interpreter lock: with pauses, 100,000 ticks/s are stored of an endless stream;
        without, 230,000 are read, 16,000 of them stored, and the rest goes to disk.
        """
        if not self._batcher:
            return
        frame_bytes, batch = self._batcher.frame_bytes, self._batcher.take()
        self._inspect(batch)
        if frame_bytes > LARGE_BATCH_BYTES:
            batch.events = None
        self._append(batch)
        if self._writer_is_behind():
            self._pause_reading(len(batch) / UNHURRIED_TICKS_PER_SECOND)

    def _append(self, batch: Batch, notes: tuple[GapNote, ...] = ()) -> None:
        entry = QueueEntry(self._spool.run_id, next(self._sequences), batch, notes)
        (self._tail if self._behind else self._head).append(entry)
        self._add(entry)
        self._changed.set()

    def _writer_is_behind(self) -> bool:
        return self._behind or len(self._head) > 1

    def _pause_reading(self, seconds: float) -> None:
        if seconds <= 0 or self._pause is not None or self._max_ticks == sys.maxsize:
            return
        self._pause = asyncio.get_running_loop().call_later(min(seconds, MAX_PAUSE_SECONDS), self._resume_reading)
        self._update_full()

    def _resume_reading(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._update_full()

    def _add(self, entry: QueueEntry) -> None:
        self._ticks += len(entry.batch)
        self._bytes += entry.memory_bytes
        self._update_full()

    def _remove(self, entry: QueueEntry) -> None:
        self._ticks -= len(entry.batch)
        self._bytes -= entry.memory_bytes
        self._update_full()

    def _update_full(self) -> None:
        memory_is_full = self._ticks >= self._max_ticks or self._bytes >= self._full_bytes
        self._set_full(full=self._pause is not None or memory_is_full)

    def drain(self) -> None:
        """Accept what is left at the end without pauses, as far as it fits into memory."""
        self._max_ticks = sys.maxsize
        self._resume_reading()

    def close(self) -> None:
        """Let `next_entry` end when everything in the queue is done."""
        self.flush()
        self._closed = True
        self._changed.set()

    async def next_entry(self) -> QueueEntry | None:
        """Return the entry to be written now, the same one until it is `done`; None at the end.

        While nothing else is queued it waits until the current batch is full or due.
        """
        while not self._head:
            if self._behind:
                await self._load()
            elif self._batcher:
                await self._finish_batch()
            elif self._closed:
                return None
            else:
                self._changed.clear()
                await self._changed.wait()
        return self._head[0]

    async def _finish_batch(self) -> None:
        if (seconds := self._batcher.due_seconds()) > 0:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)
                return
        if not self._head and not self._behind:
            self.flush()

    def done(self) -> None:
        """Remove the entry that `next_entry` returned, which is stored; tidy() removes it from disk."""
        entry = self._head.popleft()
        self._remove(entry)
        if self._spool.in_use or self._disk.locked():
            self._stored.append(QueueEntry(entry.run_id, entry.sequence, Batch()))
        if self._pause is not None and not self._writer_is_behind():
            self._resume_reading()

    async def _load(self) -> None:
        async with self._disk:
            entries = await asyncio.to_thread(self._spool.read, self._kept_ticks, self._kept_bytes)
            self._head.extend(entries)
            for entry in entries:
                self._add(entry)
            if not self._spool.unread:
                self._behind = False
                self._head.extend(self._tail)
                self._tail.clear()

    async def tidy(self) -> None:
        """Remove from disk what is stored; the writer does not wait for a slow disk meanwhile."""
        async with self._disk:
            await self._remove_stored()

    async def _remove_stored(self) -> None:
        stored, self._stored = self._stored, []
        if stored:
            await asyncio.to_thread(self._spool.done, *stored)

    async def keep_safe(self, end: asyncio.Event) -> None:
        """Copy whatever waits too long to disk, until the end."""
        while not end.is_set():
            await asyncio.sleep(FULL_INTERVAL_SECONDS if self.spool_problem else SAVE_INTERVAL_SECONDS)
            if _age_ms(self._batcher.oldest_us) >= self._save_after_ms:
                self.flush()
            if self._oldest_unsaved_ms() >= self._save_after_ms:
                await self.save()
            elif self._stored:
                await self.tidy()

    def _oldest_unsaved_ms(self) -> float:
        entry = next((entry for entry in self._in_memory() if entry.position is None), None)
        if entry is None:
            return 0.0
        return _age_ms(entry.batch.received_us[0] if entry.batch else 0)  # notes do not wait

    async def save(self) -> None:
        """Copy the entries that are in memory only to disk, and keep in memory only what fits."""
        async with self._disk:
            await self._remove_stored()
            head, tail = [entry for entry in self._head if entry.position is None], list(self._tail)
            try:
                if head:
                    await asyncio.to_thread(self._spool.append, head, keep_unread=False)
                if tail:
                    await asyncio.to_thread(self._spool.append, tail, keep_unread=True)
                    self._drop(self._tail, len(tail), left=True)
            except SpoolFullError as error:
                self._report(str(error))
                return
            self._report(None)
            self._shorten()
            await self._remove_stored()

    def _report(self, problem: str | None) -> None:
        if problem and not self.spool_problem:
            log.error(
                "Feed %s: the spool %s is full (%s): free disk space, or raise ingest.max_spool_bytes.",
                self._spool.feed, self._spool.directory, problem,
            )  # fmt: skip
        self.spool_problem = problem

    def _shorten(self) -> None:
        """Leave the end of a long head on disk only; it is read back when its turn comes."""
        kept = ticks = memory_bytes = 0
        for entry in self._head:
            kept, ticks, memory_bytes = kept + 1, ticks + len(entry.batch), memory_bytes + entry.memory_bytes
            if ticks >= self._kept_ticks or memory_bytes >= self._kept_bytes:
                break
        excess = list(itertools.islice(self._head, kept, None))
        saved = [entry for entry in excess if entry.position is not None]
        if not saved:
            return
        self._spool.leave_unread(saved)
        self._drop(self._head, len(excess), left=False)
        for entry in excess[len(saved) :]:  # queued while the others were saved
            self._tail.append(entry)
            self._add(entry)
        self._behind = True

    def _drop(self, entries: deque[QueueEntry], count: int, *, left: bool) -> None:
        for _ in range(count):
            self._remove(entries.popleft() if left else entries.pop())

    def _in_memory(self) -> itertools.chain[QueueEntry]:
        return itertools.chain(self._head, self._tail)


def _age_ms(received_us: int | None) -> float:
    return 0.0 if received_us is None else (clock.now_us() - received_us) / 1_000
