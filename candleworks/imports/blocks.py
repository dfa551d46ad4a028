"""Cuts a text into pieces of whole lines that can be stored one by one.

A piece ends where the stamp changes, so that ticks of one stamp, which are compared as a multiset, stay together. A
file that runs from late to early is read from its end: ticks are stored in order of time, which their volumes need.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from candleworks.errors import TerminalError
from candleworks.imports.files import Content
from candleworks.imports.rows import Rows

BLOCK_BYTES = 4 << 20  # some 80,000 lines: a COPY of as many rows keeps its trigger's rows in work_mem
LONGEST_LINE_BYTES = 1 << 20

Parse = Callable[[bytes, int], Rows]


@dataclass(frozen=True)
class Place:
    """How much of a file's data is done: bytes and line ends, from the beginning, or from the end when `backward`."""

    bytes_done: int = 0
    lines_done: int = 0


@dataclass(frozen=True)
class Piece:
    """Rows [start, stop) of `rows`, and the place behind them."""

    rows: Rows
    start: int
    stop: int
    place: Place


@dataclass(frozen=True)
class TextData:
    """The lines of a text behind its header, which fills `header_bytes`."""

    content: Content
    header_bytes: int
    header_lines: int

    @property
    def begin(self) -> int:
        return self.content.start + self.header_bytes

    def ends(self) -> tuple[bytes, bytes]:
        """Return some whole lines of the beginning and of the end."""
        with self.content.path.open("rb") as file:
            first = _whole_lines(self._read(file, self.begin, BLOCK_BYTES // 64))
            start = max(self.begin, self.content.size - BLOCK_BYTES // 64)
            last = self._read(file, start, BLOCK_BYTES // 64)
        return first, last if start == self.begin else last.partition(b"\n")[2]

    def forward(self, place: Place, until: Place | None, parse: Parse) -> Iterator[Piece]:
        """Yield the pieces from `place` on, up to `until` or the end."""
        at, reach = self.begin + place.bytes_done, BLOCK_BYTES
        size = self.begin + until.bytes_done if until else self.content.size
        line = 1 + self.header_lines + place.lines_done
        with self.content.path.open("rb") as file:
            while at < size:
                text = self._read(file, at, min(reach, size - at))
                final = at + len(text) >= size
                if not final:
                    self._check_line(text, line)
                    text = _whole_lines(text)
                rows = parse(text, line)
                kept = 0 if final else rows.trailing()
                if not final and kept == len(rows):
                    reach += BLOCK_BYTES
                    continue
                cut = _before_last_lines(text, kept)
                line += text.count(b"\n", 0, cut)
                at, reach = at + cut, BLOCK_BYTES
                yield Piece(rows, 0, len(rows) - kept, Place(at - self.begin, line - 1 - self.header_lines))

    def backward(self, place: Place, until: Place | None, parse: Parse) -> Iterator[Piece]:
        """Yield the same from the end to the beginning; places count from the end."""
        stop, reach = self.content.size - place.bytes_done, BLOCK_BYTES
        begin = self.content.size - until.bytes_done if until else self.begin
        line_ends = self.content.newlines - place.lines_done  # before `stop`
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
                place = Place(self.content.size - stop, self.content.newlines - line_ends)
                yield Piece(rows, kept, len(rows), place)

    @staticmethod
    def _read(file: BinaryIO, start: int, count: int) -> bytes:
        file.seek(start)
        return file.read(count)

    def _check_line(self, text: bytes, line: int) -> None:
        if b"\n" not in text[:-1] and len(text) > LONGEST_LINE_BYTES:
            raise TerminalError(
                f"{self.content.name} has a line of more than {LONGEST_LINE_BYTES:,} bytes at line {line:,}:"
                " it holds no ticks."
            )


def _whole_lines(text: bytes) -> bytes:
    return text[: text.rfind(b"\n") + 1]


def _before_last_lines(text: bytes, count: int) -> int:
    """Return where the last `count` lines that hold something begin."""
    cut = len(text)
    while count and cut:
        start = text.rfind(b"\n", 0, cut - 1) + 1
        count -= bool(text[start:cut].strip())
        cut = start
    return cut


def _behind_first_lines(text: bytes, count: int) -> int:
    """Return where the line behind the first `count` lines that hold something begins."""
    cut = 0
    while count and cut < len(text):
        stop = text.find(b"\n", cut) + 1 or len(text)
        count -= bool(text[cut:stop].strip())
        cut = stop
    return cut
