"""The file format of the spool: a sequence of records with checksums.

A file belongs to one run of one feed. Each record is a header (length, ticks, sequence, CRC-32 of the payload; CRC-32
of these) and a payload. An incomplete last record, left by a crash, was never acknowledged and is removed. A damaged
record was acknowledged, so its loss is recorded as a gap.
"""

import logging
import os
import re
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple
from uuid import UUID

import msgspec

from candleworks.feed.batcher import Batch
from candleworks.model.gaps import GapNote

_FIELDS = struct.Struct("<IIQI")
_CHECK = struct.Struct("<I")
_HEADER_BYTES = _FIELDS.size + _CHECK.size
_NAME = re.compile(r"[0-9]{20}-(?P<run>[0-9a-f-]{36})\.(?P<first>[0-9]{16})\.spool")
_BLOCK_BYTES = 1_048_576
TICK_OVERHEAD_BYTES = 350  # the objects of a frame, its time of arrival and its decoded event, measured

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class QueueEntry:
    """What is written in one transaction: frames as received, and notes about gaps.

    `sequence` counts the entries of a run from 1. `position` is where the entry is on disk, null while it is in memory
    only. `frame_bytes` is the size of its frames.
    """

    run_id: UUID
    sequence: int
    batch: Batch
    notes: tuple[GapNote, ...] = ()
    position: "RecordPosition | None" = None
    frame_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.frame_bytes = sum(map(len, self.batch.frames))

    @property
    def memory_bytes(self) -> int:
        """What the entry takes in memory, about: its frames, and objects for each of them."""
        return self.frame_bytes + len(self.batch) * TICK_OVERHEAD_BYTES


@dataclass(slots=True, eq=False)
class SpoolFile:
    """One file and its records. `last_sequence` is that of the last record.

    In a damaged file everything behind the first unreadable header counts as one record.
    """

    path: Path
    run_id: UUID
    size_bytes: int = 0
    records: int = 0
    ticks: int = 0
    last_sequence: int = 0
    damaged: bool = False


@dataclass(slots=True, frozen=True)
class RecordPosition:
    """Where a record starts."""

    file: SpoolFile
    offset: int


class _RecordHeader(NamedTuple):
    length: int
    ticks: int
    sequence: int
    checksum: int


class _RecordPayload(msgspec.Struct, array_like=True):
    frames: list[bytes]
    received_us: list[int]
    connections: list[int]
    notes: tuple[GapNote, ...]


def encode(entry: QueueEntry) -> bytes:
    """Return the record of an entry."""
    batch = entry.batch
    payload = msgspec.msgpack.encode(_RecordPayload(batch.frames, batch.received_us, batch.connections, entry.notes))
    fields = _FIELDS.pack(len(payload), len(batch), entry.sequence, zlib.crc32(payload))
    return fields + _CHECK.pack(zlib.crc32(fields)) + payload


def scan(path: Path) -> SpoolFile | None:
    """Count a file's records and remove an incomplete last one.

    Returns None when no record is left, which removes the file, or when its name is not that of a spool file.
    """
    named = _NAME.fullmatch(path.name)
    if named is None:
        log.warning("%s is not a spool file of candleworks and is ignored.", path)
        return None
    spool_file = SpoolFile(path, UUID(named["run"]), last_sequence=int(named["first"]) - 1)
    size = path.stat().st_size
    with path.open("rb") as file:
        while not _is_end(file, spool_file.size_bytes, size):
            header = _read_header(file, spool_file.size_bytes)
            header = header or _RecordHeader(size, 0, spool_file.last_sequence + 1, 0)
            spool_file.size_bytes = min(spool_file.size_bytes + _HEADER_BYTES + header.length, size)
            spool_file.last_sequence = header.sequence
            spool_file.records += 1
            spool_file.ticks += header.ticks
    if spool_file.size_bytes < size:
        log.warning("%s: removed %d bytes of an incomplete record.", path, size - spool_file.size_bytes)
        os.truncate(path, spool_file.size_bytes)
    if not spool_file.records:
        path.unlink()
        return None
    return spool_file


def _is_end(file: IO[bytes], offset: int, size: int) -> bool:
    """Whether no complete record follows: nothing, a part of a record, or blocks that were never written."""
    if offset + _HEADER_BYTES > size:
        return True
    header = _read_header(file, offset)
    if header is not None:
        return offset + _HEADER_BYTES + header.length > size
    file.seek(offset)
    return not any(any(block) for block in iter(lambda: file.read(_BLOCK_BYTES), b""))


def _read_header(file: IO[bytes], offset: int) -> _RecordHeader | None:
    """Return the header at `offset`; None when it is incomplete or damaged."""
    file.seek(offset)
    found = file.read(_HEADER_BYTES)
    fields = found[: _FIELDS.size]
    if len(found) < _HEADER_BYTES or _CHECK.pack(zlib.crc32(fields)) != found[_FIELDS.size :]:
        return None
    return _RecordHeader(*_FIELDS.unpack(fields))


def read_record(spool_file: SpoolFile, offset: int) -> tuple[QueueEntry, int] | None:
    """Return the entry at `offset` and the length of its record in bytes; None when it is damaged."""
    with spool_file.path.open("rb") as file:
        header = _read_header(file, offset)
        payload = file.read(header.length) if header else b""
    if header is None or zlib.crc32(payload) != header.checksum:
        return None
    try:
        content = msgspec.msgpack.decode(payload, type=_RecordPayload)
    except msgspec.DecodeError:  # written by another version
        return None
    batch = Batch(content.frames, content.received_us, content.connections)
    position = RecordPosition(spool_file, offset)
    entry = QueueEntry(spool_file.run_id, header.sequence, batch, content.notes, position)
    return entry, _HEADER_BYTES + header.length
