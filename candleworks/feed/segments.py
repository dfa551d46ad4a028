"""The files of the spool: records with checksums, one behind the other.

A file belongs to one run of one feed. Each record is a header (length, ticks, sequence, CRC-32 of the payload; CRC-32
of these) and a payload. A record that a crash tore was never promised to anybody and is cut off; one whose bytes were
changed was, so what it costs is booked.
"""

import logging
import os
import re
import struct
import zlib
from dataclasses import dataclass
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

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Entry:
    """What is written in one transaction: frames as they came, and notes for the gap book.

    `sequence` counts the entries of a run. `place` is where the entry is on disk, null while it is only in memory.
    """

    run: UUID
    sequence: int
    batch: Batch
    notes: tuple[GapNote, ...] = ()
    place: "Place | None" = None


@dataclass(slots=True, eq=False)
class Segment:
    """One file: its records, `last` being the sequence of the last of them.

    Where its bytes were changed, all that can no longer be told apart counts as one record.
    """

    path: Path
    run: UUID
    size: int = 0
    records: int = 0
    ticks: int = 0
    last: int = 0
    damaged: bool = False


@dataclass(slots=True, frozen=True)
class Place:
    """Where a record begins."""

    segment: Segment
    offset: int


class _Header(NamedTuple):
    length: int
    ticks: int
    sequence: int
    checksum: int


class _Payload(msgspec.Struct, array_like=True):
    frames: list[bytes]
    received_us: list[int]
    connections: list[int]
    notes: tuple[GapNote, ...]


def encode(entry: Entry) -> bytes:
    batch = entry.batch
    payload = msgspec.msgpack.encode(_Payload(batch.frames, batch.received_us, batch.connections, entry.notes))
    fields = _FIELDS.pack(len(payload), len(batch), entry.sequence, zlib.crc32(payload))
    return fields + _CHECK.pack(zlib.crc32(fields)) + payload


def scan(path: Path) -> Segment | None:
    """Count the records of a file and cut off a torn last one; None when nothing is left of it, or it is not ours."""
    named = _NAME.fullmatch(path.name)
    if named is None:
        log.warning("%s is no spool file of ours and is left alone.", path)
        return None
    segment = Segment(path, UUID(named["run"]), last=int(named["first"]) - 1)
    size = path.stat().st_size
    with path.open("rb") as file:
        while not _is_torn(file, segment.size, size):
            header = _read_header(file, segment.size) or _Header(size, 0, segment.last + 1, 0)
            segment.size = min(segment.size + _HEADER_BYTES + header.length, size)
            segment.last = header.sequence
            segment.records += 1
            segment.ticks += header.ticks
    if segment.size < size:
        log.warning("%s: %d bytes of a torn record were cut off.", path, size - segment.size)
        os.truncate(path, segment.size)
    if not segment.records:
        path.unlink()
        return None
    return segment


def _is_torn(file: IO[bytes], offset: int, size: int) -> bool:
    """Whether what follows is nothing, or ends before the record does, or is blocks that were never written."""
    if offset + _HEADER_BYTES > size:
        return True
    header = _read_header(file, offset)
    if header is not None:
        return offset + _HEADER_BYTES + header.length > size
    file.seek(offset)
    return not any(any(part) for part in iter(lambda: file.read(_BLOCK_BYTES), b""))


def _read_header(file: IO[bytes], offset: int) -> _Header | None:
    """Return what the header at `offset` says; None when its bytes are missing or were changed."""
    file.seek(offset)
    found = file.read(_HEADER_BYTES)
    fields = found[: _FIELDS.size]
    if len(found) < _HEADER_BYTES or _CHECK.pack(zlib.crc32(fields)) != found[_FIELDS.size :]:
        return None
    return _Header(*_FIELDS.unpack(fields))


def read_record(segment: Segment, offset: int) -> tuple[Entry, int] | None:
    """Return the entry that begins at `offset` and its record's length; None when its bytes were changed."""
    with segment.path.open("rb") as file:
        header = _read_header(file, offset)
        payload = file.read(header.length) if header else b""
    if header is None or zlib.crc32(payload) != header.checksum:
        return None
    try:
        content = msgspec.msgpack.decode(payload, type=_Payload)
    except msgspec.DecodeError:  # another version's
        return None
    batch = Batch(content.frames, content.received_us, content.connections)
    entry = Entry(segment.run, header.sequence, batch, content.notes, Place(segment, offset))
    return entry, _HEADER_BYTES + header.length
