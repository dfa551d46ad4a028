"""Stores trades of a file: ordinals and volumes by columns, then COPY, or a merge with stored trades."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
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
from candleworks.model.trading_day import trading_day, trading_day_us
from candleworks.storage.imports import CopySpan, StoredAround, stage, stored_around
from candleworks.storage.trades import MergeResult, TradeStore

STAGED = (
    "arrival, known, event_time, symbol, price, day_volume, volume, bid, ask, received_at, origin, day_start, day_end"
)


@dataclass(frozen=True)
class TradeSink:
    """Stores trades through `store`; `received_us` is the arrival of trades whose file does not have it.

    Frames with `time_us` are of our own table, and keep their times and volumes where nothing is stored. A `dry_run`
    does not try to store them there.
    """

    store: TradeStore
    received_us: int
    dry_run: bool = False

    @property
    def rejection_reason(self) -> str:
        return self.store.no_ordinal_left

    def prepare(self, frame: pl.DataFrame) -> None:
        self.store.prepare(frame["event_us"].unique().to_list())

    def arrange(self, frame: pl.DataFrame) -> pl.DataFrame:
        ordered = by_symbol(with_sources(frame, self.received_us, self.store.origin))
        return ordered if "time_us" in frame.columns else self._with_day(with_ordinal(ordered))

    def put(self, frame: pl.DataFrame, arranged: pl.DataFrame | None = None) -> MergeResult:
        if frame.is_empty():
            return MergeResult(0, 0)
        if may_exceed_ordinals(frame, self.store.resolution_us):
            return self._merge_frame(frame)
        spans = self._spans(frame)
        stored = stored_around(self.store.connection, self.store.origin, list(spans.values()))
        taken = [symbol for symbol, its in stored.items() if its.taken]
        if not taken:
            return self._copy(frame, self.arrange(frame) if arranged is None else arranged, spans, stored)
        overlapping, free = frame.filter(pl.col("symbol").is_in(taken)), frame.filter(~pl.col("symbol").is_in(taken))
        merged = self._merge_frame(overlapping)
        if free.is_empty():
            return merged
        free_spans = {symbol: spans[symbol] for symbol in free["symbol"].unique()}
        return combined(merged, self._copy(free, self.arrange(free), free_spans, stored))

    def _spans(self, frame: pl.DataFrame) -> dict[str, CopySpan]:
        spans = {}
        for symbol, (first, last) in extents(frame).items():
            zone = self.store.zone_of(symbol)
            spans[symbol] = CopySpan(symbol, trading_day(first, zone)[0], first, trading_day(last, zone)[1])
        return spans

    def _copy(
        self, frame: pl.DataFrame, arranged: pl.DataFrame, spans: dict[str, CopySpan], stored: dict[str, StoredAround]
    ) -> MergeResult:
        """Insert trades that are not stored; merge them when another process stored some of them meanwhile."""
        if self.dry_run:
            return MergeResult(len(frame), 0)
        oldest = self.store.oldest(set(spans))
        if "time_us" not in frame.columns:
            continued = [
                s for s, span in spans.items() if s in oldest and oldest[s] < span.day_start and not stored[s].begun
            ]
            highest = {symbol: its.highest_day_volume for symbol, its in stored.items() if symbol in spans}
            arranged = with_volume(arranged, continued, highest).with_columns(
                (pl.col("event_us") + pl.col("ordinal")).alias("time_us")
            )
        if not self.store.copy_all((_encoded(part) for part in arranged.iter_slices(COPY_ROWS)), extents(frame)):
            return self._merge_frame(frame)
        self.store.recompute_first_days({symbol: span.day_start for symbol, span in spans.items()}, oldest)
        # A bar at the start of the first minute is before the range that was looked at.
        self.store.recompute_volumes(self.store.replace_bars([(s.symbol, s.start, s.start) for s in spans.values()]))
        return MergeResult(len(frame), 0)

    def _merge_frame(self, frame: pl.DataFrame) -> MergeResult:
        return by_row(self.merge(lambda: [Staged(frame, known=False)]), frame)

    def merge(self, parts: Parts) -> MergeResult:
        return self.store.merge_staged(lambda: stage_all(parts, self._stage))

    def _stage(self, part: Staged, arrival: int) -> None:
        frame = self._with_day(with_sources(part.frame, self.received_us, self.store.origin))
        rows = frame.select(
            *merge_keys(part, arrival, self.store.resolution_us),
            "price",
            "day_volume",
            _own_volume(frame).alias("volume"),
            *(pl.col(name) if name in frame.columns else pl.lit(None).alias(name) for name in ("bid", "ask")),
            *times("received_us"),
            "origin",
            *times("day_start", "day_end"),
        )
        stage(self.store.connection, "staged_trades", STAGED, staging_csv(rows))

    def _with_day(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add day_start and day_end, the trading day of each trade in the zone of its exchange."""
        zones = {symbol: self.store.zone_of(symbol) for symbol in frame["symbol"].unique().cast(pl.String)}
        starts, ends = pl.lit(None, pl.Int64), pl.lit(None, pl.Int64)
        for zone in sorted(set(zones.values()), key=str):
            members = pl.col("symbol").cast(pl.String).is_in([symbol for symbol, its in zones.items() if its == zone])
            start, end = _day(frame["event_us"], zone)
            starts, ends = pl.when(members).then(start).otherwise(starts), pl.when(members).then(end).otherwise(ends)
            if len(set(zones.values())) == 1:
                starts, ends = start, end
        return frame.with_columns(starts.alias("day_start"), ends.alias("day_end"))


def _day(event_times: pl.Series, zone: ZoneInfo) -> tuple[pl.Expr, pl.Expr]:
    """Return start and end of the local day of each event time; usually all are of one day."""
    low, high = (trading_day_us(int(us), zone) for us in (event_times.min(), event_times.max()))  # type: ignore[arg-type]
    if low == high:
        return pl.lit(low[0], pl.Int64), pl.lit(low[1], pl.Int64)
    local = pl.from_epoch("event_us", time_unit="us").dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone))
    start = local.dt.truncate("1d")
    return start.dt.epoch("us"), start.dt.offset_by("1d").dt.epoch("us")


def _encoded(arranged: pl.DataFrame) -> bytes:
    none = np.full(len(arranged), np.nan)
    nullable = [
        arranged[name].fill_null(float("nan")).to_numpy() if name in arranged.columns else none
        for name in ("day_volume", "volume", "bid", "ask")
    ]
    return encode_table(
        [
            arranged["time_us"].to_numpy(),
            texts(arranged["symbol"]),
            arranged["price"].to_numpy(),
            *nullable,
            arranged["received_us"].to_numpy(),
            texts(arranged["origin"]),
        ],
        nullable=range(3, 7),
    )


def _own_volume(frame: pl.DataFrame) -> pl.Expr:
    """Return the size of each trade, which is its volume where there is no running total."""
    own = pl.col("volume") if "volume" in frame.columns else pl.lit(None, pl.Float64)
    return pl.when(pl.col("day_volume").is_null()).then(own)


def with_volume(frame: pl.DataFrame, continued: list[str], highest: dict[str, float | None]) -> pl.DataFrame:
    """Add `volume` by the rule of model.trades.volume_increase, or the size of a trade without a running total.

    A day starts from zero, except the first day of a symbol that is not `continued`: the volume before its first
    running total is unknown, or counted by another source. The frame's first day of a symbol continues from `highest`.
    """
    symbol = pl.col("symbol").to_physical()
    run = (symbol != symbol.shift()) | (pl.col("day_start") != pl.col("day_start").shift())
    first = (symbol != symbol.shift()).fill_null(value=True)
    framed = frame.with_columns(
        run.fill_null(value=True).cum_sum().alias("run"),
        pl.col("symbol").cast(pl.String).replace_strict(highest, return_dtype=pl.Float64).alias("seed"),
        pl.col("symbol").cast(pl.String).is_in(continued).alias("continues"),
    ).with_columns((pl.col("run") == pl.when(first).then("run").forward_fill()).alias("on_first_day"))
    within = pl.col("day_volume").cum_max().forward_fill().shift(1).over("run")
    seed = pl.when("on_first_day").then("seed")
    before = pl.max_horizontal(within, seed)
    from_zero = pl.col("continues") | ~pl.col("on_first_day")
    volume = (
        pl.when(pl.col("day_volume").is_null())
        .then(_own_volume(frame))
        .when(before.is_not_null())
        .then(pl.max_horizontal(pl.col("day_volume") - before, 0.0))
        .when(from_zero)
        .then(pl.col("day_volume"))
    )
    return framed.with_columns(volume.alias("volume"))
