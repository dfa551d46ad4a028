"""Places quotes of a recording: by COPY, or by the merge where quotes meet."""

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
    may_crowd,
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
from candleworks.storage.trades import Meeting

STAGED = "arrival, known, event_time, symbol, bid, ask, bid_volume, ask_volume, received_at, origin"


@dataclass(frozen=True)
class QuoteSink:
    """Stores quotes through `store`; `received_us` and `origin` stand for what their file does not tell.

    Frames with `time_us` are of our own table and keep their times where they meet nobody. A
    `dry_run` does not even try to store what meets nobody.
    """

    store: QuoteStore
    origin: str
    received_us: int
    dry_run: bool = False

    @property
    def crowded(self) -> str:
        return f"{self.store.resolution_us:,} ticks of its symbol share its stamp already"

    def prepare(self, frame: pl.DataFrame) -> None:
        self.store.prepare(frame["stamp_us"].unique().to_list())

    def place(self, frame: pl.DataFrame) -> pl.DataFrame:
        placed = by_symbol(with_sources(frame, self.received_us, self.origin))
        if "time_us" in frame.columns:
            return placed
        return with_ordinal(placed).with_columns((pl.col("stamp_us") + pl.col("ordinal")).alias("time_us"))

    def put(self, frame: pl.DataFrame, placed: pl.DataFrame | None = None) -> Meeting:
        if frame.is_empty():
            return Meeting(0, 0)
        if may_crowd(frame, self.store.resolution_us):
            return self._merge_frame(frame)
        step = timedelta(microseconds=self.store.resolution_us)
        taken = self.store.within({symbol: (first, last + step) for symbol, (first, last) in extents(frame).items()})
        if not taken:
            return self._copy(frame, self.place(frame) if placed is None else placed)
        met, free = frame.filter(pl.col("symbol").is_in(taken)), frame.filter(~pl.col("symbol").is_in(taken))
        merged = self._merge_frame(met)
        return merged if free.is_empty() else combined(merged, self._copy(free, self.place(free)))

    def _copy(self, frame: pl.DataFrame, placed: pl.DataFrame) -> Meeting:
        """Insert quotes that nobody has; merge them when somebody else stored some of them meanwhile."""
        if self.dry_run:
            return Meeting(len(frame), 0)
        if not self.store.copy_all(_encoded(part) for part in placed.iter_slices(COPY_ROWS)):
            return self._merge_frame(frame)
        self.store.replace_bars(extents(frame))
        return Meeting(len(frame), 0)

    def _merge_frame(self, frame: pl.DataFrame) -> Meeting:
        return by_row(self.merge(lambda: [Staged(frame, known=False)]), frame)

    def merge(self, parts: Parts) -> Meeting:
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


def _encoded(placed: pl.DataFrame) -> bytes:
    return encode_table(
        [
            placed["time_us"].to_numpy(),
            texts(placed["symbol"]),
            placed["bid"].to_numpy(),
            placed["ask"].to_numpy(),
            *(placed[name].fill_null(float("nan")).to_numpy() for name in ("bid_volume", "ask_volume")),
            placed["received_us"].to_numpy(),
            texts(placed["origin"]),
        ],
        nullable=(4, 5),
    )
