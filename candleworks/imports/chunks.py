"""Reads a file as a sequence of chunks, each of which can be stored, and resumed behind, on its own.

A chunk of text ends where the event time changes, so that ticks of one event time, which are compared as a multiset,
stay together. A file in descending order of time is read from its end: ticks are stored in ascending order, which their
volumes need.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Protocol

import polars as pl

from candleworks.errors import TerminalError
from candleworks.imports.files import Content
from candleworks.imports.formats import TextLayout
from candleworks.imports.reading import RowType
from candleworks.imports.rows import Rows, read_rows
from candleworks.imports.times import AmbiguityState
from candleworks.imports.validation import Bounds
from candleworks.model.trades import Rejection

BLOCK_BYTES = 4 << 20  # some 80,000 lines: a COPY of as many rows keeps its trigger's rows in work_mem
LONGEST_LINE_BYTES = 1 << 20

Parse = Callable[[bytes, int], Rows]


@dataclass(frozen=True)
class FilePosition:
    """How much of a file's data is done: bytes and line ends, from its beginning, or backward from its end."""

    bytes_done: int = 0
    lines_done: int = 0


@dataclass(frozen=True)
class TextPiece:
    """Rows [start, stop) of `rows`, and the position behind them."""

    rows: Rows
    start: int
    stop: int
    position: FilePosition


@dataclass(frozen=True)
class TextData:
    """The lines of a text behind its header, which takes `header_bytes`."""

    content: Content
    header_bytes: int
    header_lines: int

    @property
    def begin(self) -> int:
        return self.content.start + self.header_bytes

    def ends(self) -> tuple[bytes, bytes]:
        """Return some complete lines of the beginning and of the end."""
        with self.content.path.open("rb") as file:
            first = _complete_lines(self._read(file, self.begin, BLOCK_BYTES // 64))
            start = max(self.begin, self.content.size - BLOCK_BYTES // 64)
            last = self._read(file, start, BLOCK_BYTES // 64)
        return first, last if start == self.begin else last.partition(b"\n")[2]

    def forward(self, done: FilePosition, until: FilePosition | None, parse: Parse) -> Iterator[TextPiece]:
        """Yield the pieces after `done`, up to `until` or the end."""
        at, reach = self.begin + done.bytes_done, BLOCK_BYTES
        size = self.begin + until.bytes_done if until else self.content.size
        line = 1 + self.header_lines + done.lines_done
        with self.content.path.open("rb") as file:
            while at < size:
                text = self._read(file, at, min(reach, size - at))
                final = at + len(text) >= size
                if not final:
                    self._check_line(text, line)
                    text = _complete_lines(text)
                rows = parse(text, line)
                kept = 0 if final else rows.trailing()
                if not final and kept == len(rows):
                    reach += BLOCK_BYTES
                    continue
                cut = _before_last_lines(text, kept)
                line += text.count(b"\n", 0, cut)
                at, reach = at + cut, BLOCK_BYTES
                yield TextPiece(rows, 0, len(rows) - kept, FilePosition(at - self.begin, line - 1 - self.header_lines))

    def backward(self, done: FilePosition, until: FilePosition | None, parse: Parse) -> Iterator[TextPiece]:
        """Yield the same from the end to the beginning; positions count from the end."""
        stop, reach = self.content.size - done.bytes_done, BLOCK_BYTES
        begin = self.content.size - until.bytes_done if until else self.begin
        line_ends = self.content.newlines - done.lines_done  # before `stop`
        with self.content.path.open("rb") as file:
            while stop > begin:
                start = max(begin, stop - reach)
                text = self._read(file, start, stop - start)
                final = start == begin
                if not final:
                    self._check_line(text, line_ends)
                    text = text.partition(b"\n")[2]
                rows = parse(text, 1 + line_ends - text.count(b"\n"))
                kept = 0 if final else rows.leading()
                if not final and kept == len(rows):
                    reach += BLOCK_BYTES
                    continue
                cut = _behind_first_lines(text, kept)
                line_ends -= text.count(b"\n", cut)
                stop, reach = stop - len(text) + cut, BLOCK_BYTES
                position = FilePosition(self.content.size - stop, self.content.newlines - line_ends)
                yield TextPiece(rows, kept, len(rows), position)

    @staticmethod
    def _read(file: BinaryIO, start: int, count: int) -> bytes:
        file.seek(start)
        return file.read(count)

    def _check_line(self, text: bytes, line: int) -> None:
        if b"\n" not in text[:-1] and len(text) > LONGEST_LINE_BYTES:
            raise TerminalError(
                f"{self.content.name} has a line of more than {LONGEST_LINE_BYTES:,} bytes at line {line:,}:"
                " it contains no ticks."
            )


def _complete_lines(text: bytes) -> bytes:
    return text[: text.rfind(b"\n") + 1]


def _before_last_lines(text: bytes, count: int) -> int:
    """Return where the last `count` lines that are not empty begin."""
    cut = len(text)
    while count and cut:
        start = text.rfind(b"\n", 0, cut - 1) + 1
        count -= bool(text[start:cut].strip())
        cut = start
    return cut


def _behind_first_lines(text: bytes, count: int) -> int:
    """Return where the line after the first `count` lines that are not empty begins."""
    cut = 0
    while count and cut < len(text):
        stop = text.find(b"\n", cut) + 1 or len(text)
        count -= bool(text[cut:stop].strip())
        cut = stop
    return cut


ReaderState = Mapping[str, Any]
BEGINNING: ReaderState = {}


@dataclass(frozen=True)
class Chunk:
    """A part of a file. `frame` has the accepted rows in the order of arrival, as staging.Sink takes them.

    `state` is where to resume behind it, and can be written as JSON; `done` is how much of the content's size that is.
    `reject` makes rejections of rows of the frame, identified by `row`.
    """

    frame: pl.DataFrame
    rejections: list[Rejection]
    ambiguous: int
    state: ReaderState
    done: int
    reject: Callable[[Sequence[int], str], list[Rejection]]


class Reader(Protocol):
    """Reads ticks, or bars that are `interval_us` long."""

    @property
    def format(self) -> str: ...

    @property
    def interval_us(self) -> int | None: ...

    @property
    def row_type(self) -> RowType: ...

    def chunks(self, state: ReaderState, until: ReaderState | None = None) -> Iterator[Chunk]:
        """Yield the chunks behind a state, up to another state or the end."""


@dataclass(frozen=True)
class TextReader:
    """Reads lines. Files in descending order of time are read from their end."""

    data: TextData
    layout: TextLayout
    bounds: Bounds

    @property
    def format(self) -> str:
        return self.layout.format

    @property
    def interval_us(self) -> int | None:
        return self.layout.interval_us

    @property
    def row_type(self) -> RowType:
        return self.layout.row_type

    def chunks(self, state: ReaderState, until: ReaderState | None = None) -> Iterator[Chunk]:
        backward = state["backward"] if state else self._runs_backward()
        clock = AmbiguityState(*state["clock"]) if state else AmbiguityState()
        done = FilePosition(*state["position"]) if state else FilePosition()
        stop = FilePosition(*until["position"]) if until else None

        def parse(text: bytes, line: int) -> Rows:
            return read_rows(text, line, self.layout, self.bounds, clock, backward=backward)

        pieces = self.data.backward if backward else self.data.forward
        for piece in pieces(done, stop, parse):
            clock = piece.rows.clock
            yield self._chunk(piece, backward=backward)

    def _runs_backward(self) -> bool:
        first, last = (
            read_rows(text, 1, self.layout, self.bounds, AmbiguityState()).frame["event_us"].drop_nulls()
            for text in self.data.ends()
        )
        return bool(len(first) and len(last) and first[0] > last[-1])

    def _chunk(self, piece: TextPiece, *, backward: bool) -> Chunk:
        rows, received_us = piece.rows, self.bounds.received_us
        return Chunk(
            frame=rows.accepted(piece.start, piece.stop),
            rejections=rows.rejections(piece.start, piece.stop, received_us),
            ambiguous=int(rows.frame["ambiguous"][piece.start : piece.stop].sum()),
            state={
                "position": list(asdict(piece.position).values()),
                "clock": list(asdict(rows.clock).values()),
                "backward": backward,
            },
            done=self.data.begin + piece.position.bytes_done,
            reject=lambda rejected, reason: rows.reject(rejected, reason, received_us),
        )
