"""Reads Parquet and Arrow files, such as `candleworks export` writes them: relations with all their columns."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from candleworks.errors import TerminalError
from candleworks.imports.files import Content
from candleworks.imports.formats import OPTIONAL, REQUIRED, Reading, Relation
from candleworks.imports.local_time import Clock, resolve
from candleworks.imports.readers import Chunk, State
from candleworks.imports.rows import MILLISECOND, SYMBOL, Bounds
from candleworks.imports.table_columns import TableLayout, table_layout
from candleworks.model.tick_validation import VOLUME_FAULTS
from candleworks.model.trades import MICROSECONDS, STAMP_MIN_US, Rejection

RELATION_KEY = b"candleworks.relation"
BATCH_ROWS = 100_000
DAY_US = 86_400 * MICROSECONDS
_SOURCES = ("received_at", "origin")
_TIMES = ("time", "received_at")
_TEXTS = ("symbol", "origin")


@dataclass(frozen=True)
class TableReader:
    """Reads the rows of a relation in batches; `local` times are those of the layout's zone."""

    content: Content
    layout: TableLayout
    rows: int
    bounds: Bounds
    local: bool

    @property
    def relation(self) -> Relation:
        return self.layout.relation

    @property
    def format(self) -> str:
        return self.content.kind

    @property
    def interval_us(self) -> int | None:
        return None

    def chunks(self, state: State, until: State | None = None) -> Iterator[Chunk]:
        done = cast("int", state["row"]) if state else 0
        end = cast("int", until["row"]) if until else self.rows
        clock = Clock(*state["clock"]) if state else Clock()
        held: pl.DataFrame | None = None
        try:
            for batch in batches(self.content, list(dict.fromkeys(self.layout.columns.values())), done):
                part = self._typed(batch, done)[: end - done]
                done += len(part)
                rows = part if held is None else pl.concat([held, part])
                kept = 0 if done >= end else _trailing(rows["time"])
                if kept == len(rows) and done < end:
                    held = rows
                    continue
                held = rows[len(rows) - kept :]
                whole, clock = self._in_utc(rows[: len(rows) - kept], clock)
                yield self._chunk(whole, done - kept, clock)
                if done >= end:
                    return
        except (pa.ArrowException, OSError) as error:
            raise broken(self.content, error) from None

    def _typed(self, batch: pa.RecordBatch, first_row: int) -> pl.DataFrame:
        """Give the columns their types; times are microseconds since 1970."""
        table = cast("pl.DataFrame", pl.from_arrow(batch))
        columns = [
            _typed_column(ours, table[theirs], self.content.name) for ours, theirs in self.layout.columns.items()
        ]
        frame = pl.DataFrame(columns).with_row_index("row", first_row).cast({"row": pl.Int64})
        if "symbol" not in self.layout.columns:
            frame = frame.with_columns(pl.lit(self.layout.symbol).alias("symbol"))
        if self.layout.digits is not None:
            prices = [name for name in REQUIRED[self.relation] if name not in ("time", "symbol")]
            frame = frame.with_columns(pl.col(prices).round(self.layout.digits))
        return frame

    def _in_utc(self, rows: pl.DataFrame, clock: Clock) -> tuple[pl.DataFrame, Clock]:
        """Add `skipped` and `ambiguous`; times of a zone become those of UTC."""
        never = pl.lit(value=False)
        if not self.local or self.layout.zone is None:
            return rows.with_columns(never.alias("skipped"), never.alias("ambiguous")), clock
        local = rows["time"]
        valid = local.is_between(STAMP_MIN_US - DAY_US, self.bounds.latest_us + DAY_US).fill_null(value=False)
        known = local.set(~valid, 0).to_numpy()
        resolved = resolve(known, valid.to_numpy(), self.layout.zone, clock)
        return rows.with_columns(
            pl.when(valid).then(pl.Series(resolved.us)).otherwise(pl.col("time")).alias("time"),
            pl.Series("skipped", resolved.skipped),
            pl.Series("ambiguous", resolved.ambiguous),
        ), resolved.clock

    def _chunk(self, whole: pl.DataFrame, done: int, clock: Clock) -> Chunk:
        rows = whole.drop("skipped", "ambiguous")
        judged = rows.with_columns(self._reason(whole["skipped"]).alias("reason"))
        good = judged.filter(pl.col("reason").is_null()).drop("reason")
        bad = judged.filter(pl.col("reason").is_not_null())
        frame = (good if good["time"].is_sorted() else good.sort("time", maintain_order=True)).with_columns(
            pl.col("time").alias("time_us"), pl.col("time") // MILLISECOND * MILLISECOND
        )
        return Chunk(
            frame=self._named(frame),
            rejections=self._rejections(bad.drop("reason"), bad["reason"].to_list()),
            ambiguous=int(whole["ambiguous"].sum()),
            state={"row": done, "clock": list(asdict(clock).values())},
            done=self.content.size * done // max(self.rows, 1),
            reject=lambda refused, reason: self._rejections(
                rows.filter(pl.col("row").is_in(list(refused))), [reason] * len(refused)
            ),
        )

    def _named(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rename as sinks call it; the exact times count only where the file has all columns of our own table."""
        missing = [name for name in OPTIONAL[self.relation] if name not in self.layout.columns]
        named = frame.rename(
            {"time": "stamp_us"} | {"received_at": "received_us"}
            if "received_at" in self.layout.columns
            else {"time": "stamp_us"}
        )
        if not self.layout.exact:
            return named.drop("time_us").with_columns(
                pl.lit(None, pl.Float64).alias(name) for name in missing if name.endswith("volume")
            )
        return named

    def _reason(self, skipped: pl.Series) -> pl.Expr:
        """Say what is wrong with a row, null when nothing is; every sentence is a constant."""
        time, faults = pl.col("time"), list[tuple[pl.Expr, str]]()
        faults += [
            (time.is_null(), "time is null"),
            (pl.lit(skipped), f"time was skipped by the clocks of {self.layout.zone}"),
            (time < STAMP_MIN_US, "time is before 1990"),
            (time > self.bounds.latest_us, "time is in the future"),
            (~pl.col("symbol").str.contains(SYMBOL).fill_null(value=False), "symbol is none"),
        ]
        if self.layout.symbol is not None:
            faults.append((pl.col("symbol") != self.layout.symbol, f"symbol is not {self.layout.symbol}"))
        for name in ("price", "bid", "ask", "day_volume", "volume", "bid_volume", "ask_volume"):
            if name in self.layout.columns:
                value, optional = pl.col(name), name not in REQUIRED[self.relation]
                faults.append((~value.is_finite().fill_null(pl.lit(optional)), f"{name} is no number"))
                rules = VOLUME_FAULTS if name.endswith("volume") else self.bounds.price_faults
                faults += [(rule.applies(value), f"{name} {rule.said}") for rule in rules]
        if self.relation is Relation.QUOTES:
            faults.append((pl.col("ask") < pl.col("bid"), "ask is below bid"))
        faults += [(pl.col(name).is_null(), f"{name} is null") for name in _SOURCES if name in self.layout.columns]
        return pl.coalesce(pl.when(condition).then(pl.lit(said)) for condition, said in faults)

    def _rejections(self, rows: pl.DataFrame, reasons: list[str]) -> list[Rejection]:
        return [
            Rejection(self.bounds.received_us, f"row {row.pop('row') + 1}: {reason}", json.dumps(row, default=str))
            for row, reason in zip(rows.to_dicts(), reasons, strict=True)
        ]


def table_reader(content: Content, bounds: Bounds, reading: Reading) -> TableReader:
    """Look at the schema; TerminalError when it holds no ticks, is broken or cannot be read as the caller says."""
    try:
        schema, rows = schema_of(content)
    except (pa.ArrowException, OSError) as error:
        raise broken(content, error) from None
    relation = (schema.metadata or {}).get(RELATION_KEY, b"").decode(errors="replace")
    layout = table_layout(content, schema.names, relation, reading)
    time = schema.field(layout.columns["time"]).type
    local = pa.types.is_timestamp(time) and time.tz is None
    if local and layout.zone is None:
        raise TerminalError(
            f"{content.name} has {layout.columns['time']} as {time} without a zone:"
            " say which zone's times they are with --timezone, such as --timezone Europe/Zurich or --timezone UTC."
        )
    return TableReader(content, layout, rows, bounds, local)


def schema_of(content: Content) -> tuple[pa.Schema, int]:
    if content.kind == "parquet":
        with pq.ParquetFile(content.path) as file:
            return file.schema_arrow, file.metadata.num_rows
    with pa.memory_map(str(content.path)) as source, pa.ipc.open_file(source) as file:
        return file.schema, sum(file.get_batch(index).num_rows for index in range(file.num_record_batches))


def batches(content: Content, names: list[str], skipped: int) -> Iterator[pa.RecordBatch]:
    """Yield batches of at most BATCH_ROWS from a row on."""
    if content.kind == "parquet":
        with pq.ParquetFile(content.path) as file:
            groups: list[int] = []
            for index in range(file.num_row_groups):
                count = file.metadata.row_group(index).num_rows
                if skipped >= count and not groups:
                    skipped -= count
                else:
                    groups.append(index)
            for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=names):
                if skipped < batch.num_rows:
                    yield batch.slice(skipped)
                skipped = max(skipped - batch.num_rows, 0)
        return
    with pa.memory_map(str(content.path)) as source, pa.ipc.open_file(source) as file:
        for index in range(file.num_record_batches):
            whole = file.get_batch(index).select(names)
            for start in range(skipped, whole.num_rows, BATCH_ROWS):
                yield whole.slice(start, BATCH_ROWS)
            skipped = max(skipped - whole.num_rows, 0)


def _typed_column(name: str, column: pl.Series, file: str) -> pl.Series:
    if name in _TIMES:
        if not isinstance(column.dtype, pl.Datetime) or (name != "time" and column.dtype.time_zone is None):
            raise TerminalError(f"{file} has {name} as {column.dtype}: write it as a timestamp with the zone UTC.")
        return column.dt.epoch("us").alias(name)
    try:
        return column.cast(pl.String if name in _TEXTS else pl.Float64).alias(name)
    except pl.exceptions.PolarsError:
        raise TerminalError(f"{file} has {name} as {column.dtype}: write it as numbers.") from None


def _trailing(times: pl.Series) -> int:
    """Count the rows at the end whose millisecond is that of the last one."""
    stamps = times // MILLISECOND
    others = (stamps.reverse() != stamps[-1]).fill_null(value=True).arg_true() if len(stamps) else []
    return int(others[0]) if len(others) else len(stamps)


def broken(content: Content, error: Exception) -> TerminalError:
    reason = " ".join(str(error).split())[:200]
    return TerminalError(f"{content.name} is a broken {content.kind} file ({reason}): fetch it again.")
