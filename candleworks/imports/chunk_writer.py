"""Stores the ticks of a file chunk by chunk; each chunk is committed together with the position behind it."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import polars as pl

from candleworks.database.connection import Connection
from candleworks.imports.bar_sink import BarSink, QuoteBarSink
from candleworks.imports.chunks import BEGINNING, Chunk, Reader, ReaderState
from candleworks.imports.quote_sink import QuoteSink
from candleworks.imports.reading import RowType
from candleworks.imports.report import Tally
from candleworks.imports.rows import MILLISECOND
from candleworks.imports.staging import Seen, Sink, Staged, by_row, combined
from candleworks.imports.trade_sink import TradeSink
from candleworks.model.trades import MICROSECONDS, Rejection
from candleworks.model.trading_day import ZoneOf
from candleworks.storage.imports import IMPORTING, ImportRecord, save_import, save_progress
from candleworks.storage.quotes import QuoteStore
from candleworks.storage.rejected import quarantine
from candleworks.storage.trades import MergeResult, TradeStore

ORIGIN = "file"
_T = TypeVar("_T")
_MILLISECOND_FORMATS = ("dukascopy", "dukascopy-node", "truefx")


class _PreparedChunk(NamedTuple):
    """A chunk, the sink that stores it, and its frame as the sink has arranged it."""

    chunk: Chunk
    sink: Sink
    frame: pl.DataFrame


@dataclass
class TickImport:
    """The import of one file's ticks, or of its bars when `interval_us` is their length.

    `quarantine_once` skips rejections that an earlier import of the file has recorded.
    """

    connection: Connection
    zone_of: ZoneOf
    reader: Reader
    tally: Tally
    received_us: int
    dry_run: bool
    quarantine_once: bool
    interval_us: int | None = None
    seen: Seen = field(default_factory=Seen)
    state: ReaderState = field(default_factory=dict)
    resolution_us: int | None = None

    def resume(self, record: ImportRecord, state: Mapping[str, Any]) -> None:
        """Resume an interrupted import of the same content."""
        self.tally.resume(record, state)
        self.state, self.resolution_us = state["reader"], state["resolution_us"]
        self.seen.ranges = {symbol: (low, high) for symbol, (low, high) in state["seen"].items()}

    def run(self) -> Iterator[int]:
        """Store chunk after chunk; yield how many of the content's bytes are done."""
        for prepared in _ahead(self._prepared()):
            overlapping = self.seen.overlapping(prepared.chunk.frame)
            if len(overlapping) and (self.dry_run or self.seen.beyond_last(overlapping)):
                self._store_rest()
                return
            self._store(prepared, overlapping)
            yield prepared.chunk.done

    def _prepared(self) -> Iterator[_PreparedChunk]:
        for chunk in self.reader.chunks(self.state):
            sink = self._sink(chunk.frame)
            yield _PreparedChunk(chunk, sink, sink.arrange(chunk.frame) if len(chunk.frame) else chunk.frame)

    def _store(self, prepared: _PreparedChunk, overlapping: pl.DataFrame) -> None:
        chunk, sink = prepared.chunk, prepared.sink
        if not self.dry_run:
            sink.prepare(chunk.frame)
        with self.connection.transaction(force_rollback=self.dry_run):
            merge = self._put(prepared, overlapping)
            self._count(chunk, merge, chunk.reject(merge.rejected, sink.rejection_reason))
            self.seen.add(chunk.frame)
            self.state = chunk.state
            self._save()

    def _put(self, prepared: _PreparedChunk, overlapping: pl.DataFrame) -> MergeResult:
        """Store a chunk; ticks that may share an event time with the last chunk are compared with it and the table."""
        frame, sink = prepared.chunk.frame, prepared.sink
        if self.dry_run:
            sink.prepare(frame)
        if overlapping.is_empty():
            return sink.put(frame, prepared.frame)
        known = Staged(self.seen.known_to(overlapping), known=True)
        late = sink.merge(lambda: [known, Staged(overlapping, known=False)])
        rest = frame.join(overlapping.select("row"), on="row", how="anti", maintain_order="left")
        return combined(by_row(late, overlapping), sink.put(rest))

    def _count(self, chunk: Chunk, merge: MergeResult, rejected: list[Rejection]) -> None:
        rejections = chunk.rejections + rejected
        self.tally.add(merge.stored, merge.duplicates, rejections)
        self.tally.ambiguous += chunk.ambiguous
        self.tally.reach(chunk.frame["event_us"].min(), chunk.frame["event_us"].max())
        quarantine(self.connection, self.tally.path, rejections, once=self.quarantine_once)

    def _save(self) -> None:
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
        """Count ordinals within seconds where all event times are full seconds, else within milliseconds."""
        full_seconds = bool((frame["event_us"] % MICROSECONDS == 0).all())
        if self.reader.format in _MILLISECOND_FORMATS or not full_seconds:
            self.resolution_us = MILLISECOND
        elif self.resolution_us is None:
            self.resolution_us = MICROSECONDS
        if self.interval_us is not None and self.reader.row_type is RowType.QUOTE_BARS:
            return QuoteBarSink(self.connection, self.interval_us, self.received_us)
        if self.interval_us is not None:
            return BarSink(self.connection, self.zone_of, self.interval_us, self.received_us)
        if self.reader.row_type is RowType.QUOTES:
            return QuoteSink(QuoteStore(self.connection, self.resolution_us), ORIGIN, self.received_us, self.dry_run)
        store = TradeStore(self.connection, ORIGIN, self.zone_of, self.resolution_us)
        return TradeSink(store, self.received_us, self.dry_run)

    def _store_rest(self) -> None:
        """Store the rest of a file without order at once: its event times may recur anywhere in it."""
        start = BEGINNING if self.dry_run else self.state
        before = self.tally if start else self.tally.at_start()
        with self.connection.transaction(force_rollback=True) if self.dry_run else nullcontext():
            for chunk in _ahead(self.reader.chunks(start)):
                sink = self._sink(chunk.frame)
                sink.prepare(chunk.frame)
            with self.connection.transaction():
                merge = sink.merge(lambda: self._rest(start, before))
                rejected = self._rejected(start, merge, sink.rejection_reason)
                self.tally.add(merge.stored, merge.duplicates, rejected)
                quarantine(self.connection, self.tally.path, rejected, once=self.quarantine_once)
                self._save()

    def _rest(self, start: ReaderState, before: Tally) -> Iterator[Staged]:
        """Yield all chunks from `start` on, and those before it as known."""
        self.tally = replace(before, examples=list(before.examples))
        if start:
            for chunk in _ahead(self.reader.chunks(BEGINNING, until=start)):
                yield Staged(chunk.frame, known=True)
        for chunk in _ahead(self.reader.chunks(start)):
            self._count(chunk, MergeResult(0, 0), [])
            self.state = chunk.state
            yield Staged(chunk.frame, known=False)

    def _rejected(self, start: ReaderState, merge: MergeResult, reason: str) -> list[Rejection]:
        """Find the lines of rejected ticks, which are numbered through all chunks from `start` on."""
        rejected, rejections, first = pl.Series(merge.rejected, dtype=pl.Int64), list[Rejection](), 0
        if not len(rejected):
            return rejections
        for chunk in self.reader.chunks(start):
            places = rejected.filter((rejected >= first) & (rejected < first + len(chunk.frame))) - first
            rejections += chunk.reject(chunk.frame["row"].gather(places).to_list(), reason)
            first += len(chunk.frame)
        return rejections


def _ahead(items: Iterator[_T]) -> Iterator[_T]:
    """Compute the next item in a thread while the caller stores one."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        pending = executor.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = executor.submit(next, items, None)
            yield item
