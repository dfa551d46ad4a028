"""Keeps queue entries on disk while the database is away; docs/explanation/failure-modes.md says what that ensures."""

import contextlib
import fcntl
import logging
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from uuid import UUID, uuid4

from candleworks import clock
from candleworks.errors import FeedLockedError, TerminalError
from candleworks.feed.batcher import Batch
from candleworks.feed.spool_file import QueueEntry, RecordPosition, SpoolFile, encode, read_record, scan
from candleworks.model.gaps import GapNote
from candleworks.private_files import open_private, private_directory

FILE_BYTES = 16_777_216

log = logging.getLogger(__name__)


class SpoolFullError(Exception):
    """The disk is full, or the spool has reached `ingest.max_spool_bytes`."""


@dataclass
class Spool:
    """The spool of one feed, in a directory of spools; thread-safe, and locked for one process at a time.

    `unread` is the number of records that this process has yet to read back, `unread_ticks` that of the ticks in them.
    Raises FeedLockedError when another process owns the lock, TerminalError when the directory cannot be used.
    """

    directory: Path
    feed: str
    max_bytes: int
    run_id: UUID = field(default_factory=uuid4)
    unread: int = 0
    unread_ticks: int = 0

    def __post_init__(self) -> None:
        self._mutex = threading.Lock()
        self._lock_file = self._lock_directory()
        self._next_unread: RecordPosition | None = None
        self._writing: IO[bytes] | None = None
        self._prefix = f"{clock.now_us():020d}-{self.run_id}"
        self._files = [found for path in sorted(self.directory.glob("*.spool")) if (found := scan(path))]
        self._count_unread(self._files)
        if self._files:
            self._next_unread = RecordPosition(self._files[0], 0)

    def _lock_directory(self) -> IO[str]:
        try:
            private_directory(self.directory.parent)
            private_directory(self.directory)
            lock_file = open(self.directory / "lock", "a+", opener=open_private)  # noqa: SIM115 - kept open as the lock
        except OSError as error:
            raise TerminalError(
                f"Feed {self.feed}: the spool directory {self.directory} cannot be used ({error.strerror}): set"
                " CANDLEWORKS_HOME to a directory that can be written."
            ) from None
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock_file.seek(0)
            owner = lock_file.read().strip()
            lock_file.close()
            raise FeedLockedError(
                f"Feed {self.feed} is already being streamed (process {owner} uses {self.directory}): stop that one"
                " first."
            ) from None
        with contextlib.suppress(OSError):  # on a full disk the lock works without the process number
            lock_file.truncate(0)
            lock_file.write(str(os.getpid()))
            lock_file.flush()
        return lock_file

    def _count_unread(self, files: Sequence[SpoolFile]) -> None:
        self.unread = sum(file.records for file in files)
        self.unread_ticks = sum(file.ticks for file in files)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self._files)

    def append(self, entries: Sequence[QueueEntry], *, keep_unread: bool) -> None:
        """Write entries to disk and set their positions; SpoolFullError when they do not fit, and none is written.

        `keep_unread`: they will be read back; otherwise the caller keeps them in memory as well.
        """
        with self._mutex:
            self._check_size(sum(entry.frame_bytes for entry in entries))
            spool_file, file = self._open_file(entries[0].sequence)
            positions = self._write(spool_file, file, entries)
            for entry, position in zip(entries, positions, strict=True):
                entry.position = position
            if keep_unread:
                self._next_unread = self._next_unread or positions[0]
                self.unread += len(entries)
                self.unread_ticks += sum(len(entry.batch) for entry in entries)

    def _check_size(self, more_bytes: int) -> None:
        """Raise SpoolFullError when at least so many bytes more do not fit."""
        if self.size_bytes + more_bytes > self.max_bytes:
            raise SpoolFullError(f"{self.size_bytes + more_bytes:,} of {self.max_bytes:,} bytes")

    def _open_file(self, sequence: int) -> tuple[SpoolFile, IO[bytes]]:
        if self._writing is not None and self._files[-1].size_bytes < FILE_BYTES:
            return self._files[-1], self._writing
        self._close_writing()
        spool_file = SpoolFile(self.directory / f"{self._prefix}.{sequence:016d}.spool", self.run_id)
        try:
            self._writing = open(spool_file.path, "wb", opener=open_private)  # noqa: SIM115 - see _close_writing()
        except OSError as error:
            raise SpoolFullError(str(error)) from None
        self._files.append(spool_file)
        return spool_file, self._writing

    def _write(self, spool_file: SpoolFile, file: IO[bytes], entries: Sequence[QueueEntry]) -> list[RecordPosition]:
        """Write entry after entry, so that no more than one record is in memory."""
        offset, positions = spool_file.size_bytes, []
        try:
            for entry in entries:
                record = encode(entry)
                self._check_size(offset - spool_file.size_bytes + len(record))
                file.write(record)
                positions.append(RecordPosition(spool_file, offset))
                offset += len(record)
            file.flush()
            os.fdatasync(file.fileno())
        except (OSError, SpoolFullError) as error:
            self._remove_incomplete(spool_file)
            raise SpoolFullError(str(error)) from None
        spool_file.size_bytes = offset
        for entry in entries:
            spool_file.records += 1
            spool_file.ticks += len(entry.batch)
            spool_file.last_sequence = entry.sequence
        return positions

    def _remove_incomplete(self, spool_file: SpoolFile) -> None:
        """Remove what was written in part, and the file when nothing else is in it."""
        with contextlib.suppress(OSError):
            if self._writing is not None:
                self._writing.close()
        self._writing = None
        with contextlib.suppress(OSError):
            os.truncate(spool_file.path, spool_file.size_bytes)
        if not spool_file.size_bytes:
            self._remove(spool_file)

    def read(self, max_ticks: int, max_bytes: int = sys.maxsize) -> list[QueueEntry]:
        """Read back the next entries; [] when none is unread.

        At least one, and no more once they have `max_ticks` or take `max_bytes` of memory.
        """
        with self._mutex:
            entries: list[QueueEntry] = []
            ticks = memory_bytes = 0
            while self._next_unread is not None and (not entries or (ticks < max_ticks and memory_bytes < max_bytes)):
                spool_file, offset = self._next_unread.file, self._next_unread.offset
                if offset >= spool_file.size_bytes:
                    self._next_unread = self._start_of_next(spool_file)
                    continue
                found = read_record(spool_file, offset)
                if found is None:
                    entries.append(self._skip_damaged(spool_file, offset))
                    continue
                entry, length = found
                self._next_unread = RecordPosition(spool_file, offset + length)
                self.unread -= 1
                self.unread_ticks -= len(entry.batch)
                ticks += len(entry.batch)
                memory_bytes += entry.memory_bytes
                entries.append(entry)
            if self._next_unread is None or not self.unread:
                self._next_unread, self.unread, self.unread_ticks = None, 0, 0
            return entries

    def _start_of_next(self, spool_file: SpoolFile) -> RecordPosition | None:
        index = self._files.index(spool_file) + 1
        return RecordPosition(self._files[index], 0) if index < len(self._files) else None

    def _skip_damaged(self, spool_file: SpoolFile, offset: int) -> QueueEntry:
        """Skip the rest of a damaged file; return an entry that records the gap.

        The file is renamed when what could be read of it is stored: a crash before that would lose it.
        """
        ended_us = int(spool_file.path.stat().st_mtime * 1_000_000)
        following = self._start_of_next(spool_file)
        log.error(
            "Feed %s: %s is damaged from byte %d on; the unreadable part is recorded as a gap, and the file is kept as"
            " *.damaged.",
            self.feed, spool_file.path, offset,
        )  # fmt: skip
        spool_file.damaged = True
        if spool_file is self._files[-1]:
            self._close_writing()
        self._next_unread = following
        self._count_unread(self._files[self._files.index(following.file) :] if following else [])
        gap = (GapNote("opened", None, None, "damaged"), GapNote("closed", ended_us + 1_000_000))
        position = RecordPosition(spool_file, spool_file.size_bytes)
        return QueueEntry(spool_file.run_id, spool_file.last_sequence, Batch(), gap, position)

    def leave_unread(self, entries: Sequence[QueueEntry]) -> None:
        """Count entries on disk as unread again; they must directly precede what is unread."""
        with self._mutex:
            self._next_unread = entries[0].position
            self.unread += len(entries)
            self.unread_ticks += sum(len(entry.batch) for entry in entries)

    @property
    def in_use(self) -> bool:
        """Whether anything is on disk."""
        return bool(self._files)

    def done(self, *entries: QueueEntry) -> None:
        """Remove the files in which every record is stored, now that `entries` are; entries are done in order."""
        with self._mutex:
            for entry in entries:
                while self._files and self._is_done(self._files[0], entry):
                    self._remove(self._files[0])

    def _is_done(self, spool_file: SpoolFile, entry: QueueEntry) -> bool:
        if spool_file.run_id == entry.run_id:
            return spool_file.last_sequence <= entry.sequence
        return entry.run_id == self.run_id  # the files of earlier runs precede everything of this one

    def _remove(self, spool_file: SpoolFile) -> None:
        if spool_file is self._files[-1]:
            self._close_writing()
        if self._next_unread is not None and self._next_unread.file is spool_file:
            self._next_unread = self._start_of_next(spool_file)
        self._files.remove(spool_file)
        if spool_file.damaged:
            spool_file.path.rename(spool_file.path.with_suffix(".damaged"))
        else:
            spool_file.path.unlink(missing_ok=True)

    def _close_writing(self) -> None:
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def close(self) -> None:
        """Release the lock; the files stay."""
        with self._mutex:
            self._close_writing()
            with contextlib.suppress(OSError):
                self._lock_file.close()
