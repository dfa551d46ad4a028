"""Stores one file's ticks chunk by chunk; each chunk is committed together with the place behind it."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import polars as pl

from candleworks.database.connection import Connection
from candleworks.imports.bar_sink import BarSink
from candleworks.imports.formats import Relation
from candleworks.imports.quote_bar_sink import QuoteBarSink
from candleworks.imports.quote_sink import QuoteSink
from candleworks.imports.readers import BEGINNING, Chunk, Reader, State
from candleworks.imports.rows import MILLISECOND
from candleworks.imports.staging import Seen, Sink, Staged, by_row, combined
from candleworks.imports.trade_sink import TradeSink
from candleworks.model.trades import MICROSECONDS, Rejection, moment_of
from candleworks.model.trading_day import calendar_of, zone_of
from candleworks.settings import Calendars
from candleworks.storage.imports import IMPORTING, ImportRecord, save_import, save_progress
from candleworks.storage.quotes import QuoteStore
from candleworks.storage.rejected import quarantine
from candleworks.storage.trades import Meeting, TradeStore

ORIGIN = "file"
SHOWN_EXAMPLES = 5
_T = TypeVar("_T")
_MILLISECOND_FORMATS = ("dukascopy", "dukascopy-node", "truefx")


@dataclass
class Tally:
    """What became of a file's rows so far."""

    path: str
    sha256: str
    imported_at: datetime
    options: Mapping[str, Any]
    stored: int = 0
    duplicates: int = 0
    rejected: int = 0
    first_us: int | None = None
    last_us: int | None = None
    ambiguous: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return self.stored + self.duplicates + self.rejected

    def add(self, stored: int, duplicates: int, rejections: Sequence[Rejection]) -> None:
        self.stored += stored
        self.duplicates += duplicates
        self.rejected += len(rejections)
        self.examples += [rejection.reason for rejection in rejections[: SHOWN_EXAMPLES - len(self.examples)]]

    def reach(self, frame: pl.DataFrame) -> None:
        """Widen the bounds by the frame's stamps."""
        for us in (frame["stamp_us"].min(), frame["stamp_us"].max()):
            if isinstance(us, int):
                self.first_us = us if self.first_us is None else min(self.first_us, us)
                self.last_us = us if self.last_us is None else max(self.last_us, us)

    def begun(self) -> "Tally":
        """Return the same before its first row."""
        return Tally(self.path, self.sha256, self.imported_at, self.options)

    def resume(self, record: ImportRecord, state: Mapping[str, Any]) -> None:
        """Go on from an interrupted import."""
        self.stored, self.duplicates, self.rejected = record.stored, record.duplicates, record.rejected
        self.first_us, self.last_us = state["first_us"], state["last_us"]
        self.ambiguous, self.examples = state["ambiguous"], state["examples"]

    def record(self, status: str) -> ImportRecord:
        first, last = (None if us is None else moment_of(us) for us in (self.first_us, self.last_us))
        return ImportRecord(
            path=self.path,
            sha256=self.sha256,
            rows=self.rows,
            stored=self.stored,
            duplicates=self.duplicates,
            rejected=self.rejected,
            first=first,
            last=last,
            status=status,
            imported_at=self.imported_at,
            options=self.options,
        )


class _Placed(NamedTuple):
    """A chunk, what stores it, and its frame as that has placed it."""

    chunk: Chunk
    sink: Sink
    frame: pl.DataFrame


@dataclass
class TickImport:
    """The import of one file's ticks, or of its bars when `interval_us` is their length.

    `quarantine_once` leaves out rejections that an earlier import of it has kept.
    """

    connection: Connection
    calendars: Calendars
    reader: Reader
    tally: Tally
    received_us: int
    dry_run: bool
    quarantine_once: bool
    interval_us: int | None = None
    seen: Seen = field(default_factory=Seen)
    state: State = field(default_factory=dict)
    resolution_us: int | None = None
    zones: dict[str, ZoneInfo] = field(default_factory=dict)

    def resume(self, record: ImportRecord, state: Mapping[str, Any]) -> None:
        """Go on where an interrupted import of the same content was."""
        self.tally.resume(record, state)
        self.state, self.resolution_us = state["reader"], state["resolution_us"]
        self.seen.ranges = {symbol: (low, high) for symbol, (low, high) in state["seen"].items()}

    def run(self) -> Iterator[int]:
        """Store chunk after chunk; yield how many of the content's bytes are done."""
        for placed in _ahead(self._placed()):
            overlapping = self.seen.overlapping(placed.chunk.frame)
            if len(overlapping) and (self.dry_run or self.seen.beyond_last(overlapping)):
                self._store_rest()
                return
            self._store(placed, overlapping)
            yield placed.chunk.done

    def _placed(self) -> Iterator[_Placed]:
        for chunk in self.reader.chunks(self.state):
            sink = self._sink(chunk.frame)
            yield _Placed(chunk, sink, sink.place(chunk.frame) if len(chunk.frame) else chunk.frame)

    def _store(self, placed: _Placed, overlapping: pl.DataFrame) -> None:
        chunk, sink = placed.chunk, placed.sink
        if not self.dry_run:
            sink.prepare(chunk.frame)
        with self.connection.transaction(force_rollback=self.dry_run):
            meeting = self._put(placed, overlapping)
            self._count(chunk, meeting, chunk.reject(meeting.refused, sink.crowded))
            self.seen.add(chunk.frame)
            self.state = chunk.state
            self._remember()

    def _put(self, placed: _Placed, overlapping: pl.DataFrame) -> Meeting:
        """Store a chunk; what may share a stamp with the last one is compared with both it and what is stored."""
        frame, sink = placed.chunk.frame, placed.sink
        if self.dry_run:
            sink.prepare(frame)
        if overlapping.is_empty():
            return sink.put(frame, placed.frame)
        known = Staged(self.seen.known_to(overlapping), known=True)
        late = sink.merge(lambda: [known, Staged(overlapping, known=False)])
        rest = frame.join(overlapping.select("row"), on="row", how="anti", maintain_order="left")
        return combined(by_row(late, overlapping), sink.put(rest))

    def _count(self, chunk: Chunk, meeting: Meeting, refused: list[Rejection]) -> None:
        rejections = chunk.rejections + refused
        self.tally.add(meeting.stored, meeting.duplicates, rejections)
        self.tally.ambiguous += chunk.ambiguous
        self.tally.reach(chunk.frame)
        quarantine(self.connection, self.tally.path, rejections, once=self.quarantine_once)

    def _remember(self) -> None:
        tally = self.tally
        save_import(self.connection, tally.record(IMPORTING))
        state = {
            "reader": self.state,
            "resolution_us": self.resolution_us,
            "seen": self.seen.ranges,
            "first_us": tally.first_us,
            "last_us": tally.last_us,
            "ambiguous": tally.ambiguous,
            "examples": tally.examples,
        }
        save_progress(self.connection, tally.sha256, state)

    def _sink(self, frame: pl.DataFrame) -> Sink:
        """Place stamps of whole seconds by seconds, all others by milliseconds."""
        whole = bool((frame["stamp_us"] % MICROSECONDS == 0).all())
        if self.reader.format in _MILLISECOND_FORMATS or not whole:
            self.resolution_us = MILLISECOND
        elif self.resolution_us is None:
            self.resolution_us = MICROSECONDS
        if self.interval_us is not None and self.reader.relation is Relation.QUOTE_BARS:
            return QuoteBarSink(self.connection, self.interval_us, self.received_us)
        if self.interval_us is not None:
            return BarSink(self.connection, self._zone_of, self.interval_us, self.received_us)
        if self.reader.relation is Relation.QUOTES:
            return QuoteSink(QuoteStore(self.connection, self.resolution_us), ORIGIN, self.received_us, self.dry_run)
        store = TradeStore(self.connection, ORIGIN, self._zone_of, self.resolution_us)
        return TradeSink(store, self.received_us, self.dry_run)

    def _zone_of(self, symbol: str) -> ZoneInfo:
        if symbol not in self.zones:
            self.zones[symbol] = zone_of(calendar_of(symbol, self.calendars))
        return self.zones[symbol]

    def _store_rest(self) -> None:
        """Store all that is left of a file without order, at once: its stamps may come back anywhere in it."""
        start = BEGINNING if self.dry_run else self.state
        before = self.tally if start else self.tally.begun()
        with self.connection.transaction(force_rollback=True) if self.dry_run else nullcontext():
            for chunk in _ahead(self.reader.chunks(start)):
                sink = self._sink(chunk.frame)
                sink.prepare(chunk.frame)
            with self.connection.transaction():
                meeting = sink.merge(lambda: self._rest(start, before))
                refused = self._refused(start, meeting, sink.crowded)
                self.tally.add(meeting.stored, meeting.duplicates, refused)
                quarantine(self.connection, self.tally.path, refused, once=self.quarantine_once)
                self._remember()

    def _rest(self, start: State, before: Tally) -> Iterator[Staged]:
        """Give all chunks from `start` on, and those before it as known."""
        self.tally = replace(before, examples=list(before.examples))
        if start:
            for chunk in _ahead(self.reader.chunks(BEGINNING, until=start)):
                yield Staged(chunk.frame, known=True)
        for chunk in _ahead(self.reader.chunks(start)):
            self._count(chunk, Meeting(0, 0), [])
            self.state = chunk.state
            yield Staged(chunk.frame, known=False)

    def _refused(self, start: State, meeting: Meeting, reason: str) -> list[Rejection]:
        """Find the lines of refused ticks, which are numbered through all chunks from `start` on."""
        refused, rejections, first = pl.Series(meeting.refused, dtype=pl.Int64), list[Rejection](), 0
        if not len(refused):
            return rejections
        for chunk in self.reader.chunks(start):
            places = refused.filter((refused >= first) & (refused < first + len(chunk.frame))) - first
            rejections += chunk.reject(chunk.frame["row"].gather(places).to_list(), reason)
            first += len(chunk.frame)
        return rejections


def _ahead(items: Iterator[_T]) -> Iterator[_T]:
    """Make the next item in a thread while the caller stores one."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        pending = executor.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = executor.submit(next, items, None)
            yield item
