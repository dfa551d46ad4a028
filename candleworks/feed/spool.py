"""Batches on disk while the database is away, read back in order; docs/explanation/failure-modes.md."""

import contextlib
import fcntl
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from uuid import UUID, uuid4

from candleworks import clock
from candleworks.errors import FeedHeldError, TerminalError
from candleworks.feed.batcher import Batch
from candleworks.feed.segments import Entry, Place, Segment, encode, read_record, scan
from candleworks.model.gaps import GapNote

SEGMENT_BYTES = 16_777_216

log = logging.getLogger(__name__)


class SpoolFullError(Exception):
    """The disk, or the share of it that the spool may use, is full."""


@dataclass
class Spool:
    """The spool of one feed; its methods may be called from any thread, one process has it at a time.

    `unread` records wait to be read back by this process, `unread_ticks` are in them.
    """

    directory: Path
    feed: str
    max_bytes: int
    run: UUID = field(default_factory=uuid4)
    unread: int = 0
    unread_ticks: int = 0

    def __post_init__(self) -> None:
        self._guard = threading.Lock()
        self._hold = self._take_hold()
        self._cursor: Place | None = None
        self._writing: IO[bytes] | None = None
        self._prefix = f"{clock.now_us():020d}-{self.run}"
        self._segments = [segment for path in sorted(self.directory.glob("*.spool")) if (segment := scan(path))]
        self.unread = sum(segment.records for segment in self._segments)
        self.unread_ticks = sum(segment.ticks for segment in self._segments)
        if self._segments:
            self._cursor = Place(self._segments[0], 0)

    def _take_hold(self) -> IO[str]:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            hold = (self.directory / "lock").open("a+")
        except OSError as error:
            raise TerminalError(
                f"Feed {self.feed}: the spool {self.directory} cannot be used ({error.strerror}): correct"
                " CANDLEWORKS_HOME, or what stands in its way."
            ) from None
        try:
            fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hold.seek(0)
            holder = hold.read().strip()
            hold.close()
            raise FeedHeldError(
                f"Feed {self.feed} is already being streamed (process {holder} uses {self.directory}): stop that one"
                " first."
            ) from None
        with contextlib.suppress(OSError):  # on a full disk the lock holds without the number
            hold.truncate(0)
            hold.write(str(os.getpid()))
            hold.flush()
        return hold

    @property
    def size_bytes(self) -> int:
        return sum(segment.size for segment in self._segments)

    def append(self, entries: Sequence[Entry], *, keep_unread: bool) -> None:
        """Write entries to disk and tell them their places; SpoolFullError when there is no room, and none is written.

        `keep_unread` leaves them to be read back later; otherwise the caller keeps them in memory too.
        """
        with self._guard:
            records = [(entry, encode(entry)) for entry in entries]
            wanted = sum(len(record) for _, record in records)
            if self.size_bytes + wanted > self.max_bytes:
                raise SpoolFullError(f"{self.size_bytes + wanted:,} of {self.max_bytes:,} bytes")
            segment, file = self._open_segment(entries[0].sequence)
            places = self._write(segment, file, records)
            for (entry, _), place in zip(records, places, strict=True):
                entry.place = place
            if keep_unread:
                self._cursor = self._cursor or places[0]
                self.unread += len(entries)
                self.unread_ticks += sum(len(entry.batch) for entry in entries)

    def _open_segment(self, sequence: int) -> tuple[Segment, IO[bytes]]:
        if self._writing is not None and self._segments[-1].size < SEGMENT_BYTES:
            return self._segments[-1], self._writing
        self._close_writing()
        segment = Segment(self.directory / f"{self._prefix}.{sequence:016d}.spool", self.run)
        try:
            self._writing = segment.path.open("wb")
        except OSError as error:
            raise SpoolFullError(str(error)) from None
        self._segments.append(segment)
        return segment, self._writing

    def _write(self, segment: Segment, file: IO[bytes], records: Sequence[tuple[Entry, bytes]]) -> list[Place]:
        offset, places = segment.size, []
        try:
            for _, record in records:
                file.write(record)
                places.append(Place(segment, offset))
                offset += len(record)
            file.flush()
            os.fdatasync(file.fileno())
        except OSError as error:
            self._take_back(segment)
            raise SpoolFullError(str(error)) from None
        segment.size = offset
        for entry, _ in records:
            segment.records += 1
            segment.ticks += len(entry.batch)
            segment.last = entry.sequence
        return places

    def _take_back(self, segment: Segment) -> None:
        """Cut off what was half written; a file that is left empty goes."""
        with contextlib.suppress(OSError):
            if self._writing is not None:
                self._writing.close()
        self._writing = None
        with contextlib.suppress(OSError):
            os.truncate(segment.path, segment.size)
        if not segment.size:
            self._remove(segment)

    def read(self, max_ticks: int) -> list[Entry]:
        """Read back the next entries, at least one, until they have so many ticks; fewer where a file is damaged."""
        with self._guard:
            entries: list[Entry] = []
            ticks = 0
            while self._cursor is not None and (not entries or ticks < max_ticks):
                segment, offset = self._cursor.segment, self._cursor.offset
                if offset >= segment.size:
                    self._cursor = self._next(segment)
                    continue
                found = read_record(segment, offset)
                if found is None:
                    entries.append(self._give_up(segment, offset))
                    continue
                entry, length = found
                self._cursor = Place(segment, offset + length)
                self.unread -= 1
                self.unread_ticks -= len(entry.batch)
                ticks += len(entry.batch)
                entries.append(entry)
            if self._cursor is None or not self.unread:
                self._cursor, self.unread, self.unread_ticks = None, 0, 0
            return entries

    def _next(self, segment: Segment) -> Place | None:
        index = self._segments.index(segment) + 1
        return Place(self._segments[index], 0) if index < len(self._segments) else None

    def _give_up(self, segment: Segment, offset: int) -> Entry:
        """Skip the rest of a damaged file, and have the hole that it leaves booked.

        The file gets its new name when what could be read of it is stored: until then a crash would lose that.
        """
        ended_us = int(segment.path.stat().st_mtime * 1_000_000)
        following = self._next(segment)
        log.error(
            "Feed %s: %s is damaged from byte %d on; what cannot be read is booked as a gap, and the file is kept as"
            " *.damaged.",
            self.feed, segment.path, offset,
        )  # fmt: skip
        segment.damaged = True
        if segment is self._segments[-1]:
            self._close_writing()
        self._cursor = following
        rest = self._segments[self._segments.index(following.segment) :] if following else []
        self.unread, self.unread_ticks = sum(s.records for s in rest), sum(s.ticks for s in rest)
        hole = (GapNote("opened", None, None, "damaged"), GapNote("closed", ended_us + 1_000_000))
        return Entry(segment.run, segment.last, Batch(), hole, Place(segment, segment.size))

    def leave_unread(self, entries: Sequence[Entry]) -> None:
        """Drop entries from memory that directly precede what is unread: they will be read back first."""
        with self._guard:
            self._cursor = entries[0].place
            self.unread += len(entries)
            self.unread_ticks += sum(len(entry.batch) for entry in entries)

    def done(self, entry: Entry) -> None:
        """Remove the files of which every record is stored by now; entries end in their order."""
        with self._guard:
            while self._segments and self._is_done(self._segments[0], entry):
                self._remove(self._segments[0])

    def _is_done(self, segment: Segment, entry: Entry) -> bool:
        if segment.run == entry.run:
            return segment.last <= entry.sequence
        return entry.run == self.run  # the files of earlier runs come before everything of this one

    def _remove(self, segment: Segment) -> None:
        if segment is self._segments[-1]:
            self._close_writing()
        if self._cursor is not None and self._cursor.segment is segment:
            self._cursor = self._next(segment)
        self._segments.remove(segment)
        if segment.damaged:
            segment.path.rename(segment.path.with_suffix(".damaged"))
        else:
            segment.path.unlink(missing_ok=True)

    def _close_writing(self) -> None:
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def close(self) -> None:
        """Let another process have the spool; what is in it stays."""
        with self._guard:
            self._close_writing()
            with contextlib.suppress(OSError):
                self._hold.close()
