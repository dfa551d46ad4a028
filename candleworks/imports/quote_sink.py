"""Stores quotes of a file: by COPY, or by a merge with stored quotes."""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from candleworks.database.copy import encode_table
from candleworks.imports.staging import (
    COPY_ROWS,
    Parts,
    Staged,
    by_row,
    by_symbol,
    combined,
    extents,
    may_exceed_ordinals,
    merge_keys,
    stage_all,
    staging_csv,
    texts,
    times,
    with_ordinal,
    with_sources,
)
from candleworks.storage.imports import stage
from candleworks.storage.quotes import QuoteStore
from candleworks.storage.trades import MergeResult, no_ordinal_left

STAGED = "arrival, known, event_time, symbol, bid, ask, bid_volume, ask_volume, received_at, origin"


@dataclass(frozen=True)
class QuoteSink:
    """Stores quotes through `store`; `received_us` and `origin` are for files that do not have them.

    Frames with `time_us` are of our own table, and keep their times where nothing is stored. A `dry_run` does not try
    to store them there.
    """

    store: QuoteStore
    origin: str
    received_us: int
    dry_run: bool = False

    @property
    def rejection_reason(self) -> str:
        return no_ordinal_left(self.store.resolution_us)

    def prepare(self, frame: pl.DataFrame) -> None:
        self.store.prepare(frame["event_us"].unique().to_list())

    def arrange(self, frame: pl.DataFrame) -> pl.DataFrame:
        arranged = by_symbol(with_sources(frame, self.received_us, self.origin))
        if "time_us" in frame.columns:
            return arranged
        return with_ordinal(arranged).with_columns((pl.col("event_us") + pl.col("ordinal")).alias("time_us"))

    def put(self, frame: pl.DataFrame, arranged: pl.DataFrame | None = None) -> MergeResult:
        if frame.is_empty():
            return MergeResult(0, 0)
        if may_exceed_ordinals(frame, self.store.resolution_us):
            return self._merge_frame(frame)
        step = timedelta(microseconds=self.store.resolution_us)
        taken = self.store.within({symbol: (first, last + step) for symbol, (first, last) in extents(frame).items()})
        if not taken:
            return self._copy(frame, self.arrange(frame) if arranged is None else arranged)
        overlapping, free = frame.filter(pl.col("symbol").is_in(taken)), frame.filter(~pl.col("symbol").is_in(taken))
        merged = self._merge_frame(overlapping)
        return merged if free.is_empty() else combined(merged, self._copy(free, self.arrange(free)))

    def _copy(self, frame: pl.DataFrame, arranged: pl.DataFrame) -> MergeResult:
        """Insert quotes that are not stored; merge them when another process stored some of them meanwhile."""
        if self.dry_run:
            return MergeResult(len(frame), 0)
        spans = extents(frame)
        if not self.store.copy_all((_encoded(part) for part in arranged.iter_slices(COPY_ROWS)), spans):
            return self._merge_frame(frame)
        self.store.replace_bars(spans)
        return MergeResult(len(frame), 0)

    def _merge_frame(self, frame: pl.DataFrame) -> MergeResult:
        return by_row(self.merge(lambda: [Staged(frame, known=False)]), frame)

    def merge(self, parts: Parts) -> MergeResult:
        return self.store.merge_staged(lambda: stage_all(parts, self._stage))

    def _stage(self, part: Staged, arrival: int) -> None:
        rows = with_sources(part.frame, self.received_us, self.origin).select(
            *merge_keys(part, arrival, self.store.resolution_us),
            "bid",
            "ask",
            "bid_volume",
            "ask_volume",
            *times("received_us"),
            "origin",
        )
        stage(self.store.connection, "staged_quotes", STAGED, staging_csv(rows))


def _encoded(arranged: pl.DataFrame) -> bytes:
    return encode_table(
        [
            arranged["time_us"].to_numpy(),
            texts(arranged["symbol"]),
            arranged["bid"].to_numpy(),
            arranged["ask"].to_numpy(),
            *(arranged[name].fill_null(float("nan")).to_numpy() for name in ("bid_volume", "ask_volume")),
            arranged["received_us"].to_numpy(),
            texts(arranged["origin"]),
        ],
        nullable=(4, 5),
    )
