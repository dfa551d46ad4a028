"""Reads a content as a sequence of chunks, each of which can be stored and remembered by itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import polars as pl

from candleworks.imports.blocks import Piece, Place, TextData
from candleworks.imports.formats import Layout, Relation
from candleworks.imports.local_time import Clock
from candleworks.imports.rows import Bounds, Rows, read_rows
from candleworks.model.trades import Rejection

State = Mapping[str, Any]
BEGINNING: State = {}


@dataclass(frozen=True)
class Chunk:
    """A part of a file. `frame` has the accepted rows in the order of arrival, see placing.Sink.

    `state` is where to go on behind it, and can be written as JSON; `done` is how much of the content's size that is.
    `reject` makes rejections of rows of the frame, named by `row`.
    """

    frame: pl.DataFrame
    rejections: list[Rejection]
    ambiguous: int
    state: State
    done: int
    reject: Callable[[Sequence[int], str], list[Rejection]]


class Reader(Protocol):
    """Something that holds ticks, or bars that are `interval_us` long."""

    @property
    def format(self) -> str: ...

    @property
    def interval_us(self) -> int | None: ...

    @property
    def relation(self) -> Relation: ...

    def chunks(self, state: State, until: State | None = None) -> Iterator[Chunk]:
        """Yield what comes behind a state, up to another one or the end."""


@dataclass(frozen=True)
class TextReader:
    """Reads lines. Files that run from late to early are read from their end."""

    data: TextData
    layout: Layout
    bounds: Bounds

    @property
    def format(self) -> str:
        return self.layout.format

    @property
    def interval_us(self) -> int | None:
        return self.layout.interval_us

    @property
    def relation(self) -> Relation:
        return self.layout.relation

    def chunks(self, state: State, until: State | None = None) -> Iterator[Chunk]:
        backward = state["backward"] if state else self._runs_backward()
        clock = Clock(*state["clock"]) if state else Clock()
        place = Place(*state["place"]) if state else Place()
        stop = Place(*until["place"]) if until else None

        def parse(text: bytes, line: int) -> Rows:
            return read_rows(text, line, self.layout, self.bounds, clock, backward=backward)

        pieces = self.data.backward if backward else self.data.forward
        for piece in pieces(place, stop, parse):
            clock = piece.rows.clock
            yield self._chunk(piece, backward=backward)

    def _runs_backward(self) -> bool:
        first, last = (
            read_rows(text, 1, self.layout, self.bounds, Clock()).frame["stamp_us"].drop_nulls()
            for text in self.data.ends()
        )
        return bool(len(first) and len(last) and first[0] > last[-1])

    def _chunk(self, piece: Piece, *, backward: bool) -> Chunk:
        rows, received_us = piece.rows, self.bounds.received_us
        return Chunk(
            frame=rows.accepted(piece.start, piece.stop),
            rejections=rows.rejections(piece.start, piece.stop, received_us),
            ambiguous=int(rows.frame["ambiguous"][piece.start : piece.stop].sum()),
            state={"place": list(asdict(piece.place).values()), "clock": list(asdict(rows.clock).values())}
            | {"backward": backward},
            done=self.data.begin + piece.place.bytes_done,
            reject=lambda refused, reason: rows.reject(refused, reason, received_us),
        )
