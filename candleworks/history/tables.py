"""Reads Parquet and Arrow files, such as `candleworks export` writes them: relations with all their columns."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from candleworks.errors import TerminalError
from candleworks.history.formats import OPTIONAL, REQUIRED, Relation
from candleworks.history.readers import Chunk, State
from candleworks.history.rows import MILLISECOND, SYMBOL, Bounds
from candleworks.history.sources import Content
from candleworks.model.trades import LARGEST, SMALLEST, STAMP_MIN_US, Rejection

RELATION_KEY = b"candleworks.relation"
BATCH_ROWS = 100_000
_SOURCES = ("received_at", "origin")
_TIMES = ("time", "received_at")
_TEXTS = ("symbol", "origin")


@dataclass(frozen=True)
class TableReader:
    """Reads the rows of a relation in batches."""

    content: Content
    relation: Relation
    names: tuple[str, ...]
    rows: int
    bounds: Bounds

    @property
    def format(self) -> str:
        return self.content.kind

    @property
    def interval_us(self) -> int | None:
        return None

    def chunks(self, state: State, until: State | None = None) -> Iterator[Chunk]:
        done = cast("int", state["row"]) if state else 0
        end = cast("int", until["row"]) if until else self.rows
        held: pl.DataFrame | None = None
        try:
            for batch in _batches(self.content, list(self.names), done):
                part = self._typed(batch, done)[: end - done]
                done += len(part)
                rows = part if held is None else pl.concat([held, part])
                kept = 0 if done >= end else _trailing(rows["time"])
                if kept == len(rows) and done < end:
                    held = rows
                    continue
                held = rows[len(rows) - kept :]
                yield self._chunk(rows[: len(rows) - kept], done - kept)
                if done >= end:
                    return
        except (pa.ArrowException, OSError) as error:
            raise _broken(self.content, error) from None

    def _typed(self, batch: pa.RecordBatch, first_row: int) -> pl.DataFrame:
        """Give the columns their types; times are microseconds since 1970."""
        table = cast("pl.DataFrame", pl.from_arrow(batch))
        columns = [_typed_column(name, table[name], self.content.name) for name in self.names]
        return pl.DataFrame(columns).with_row_index("row", first_row).cast({"row": pl.Int64})

    def _chunk(self, rows: pl.DataFrame, done: int) -> Chunk:
        judged = rows.with_columns(self._reason().alias("reason"))
        good = judged.filter(pl.col("reason").is_null()).drop("reason")
        bad = judged.filter(pl.col("reason").is_not_null())
        frame = (good if good["time"].is_sorted() else good.sort("time", maintain_order=True)).with_columns(
            pl.col("time").alias("time_us"), pl.col("time") // MILLISECOND * MILLISECOND
        )
        return Chunk(
            frame=self._named(frame),
            rejections=self._rejections(bad.drop("reason"), bad["reason"].to_list()),
            ambiguous=0,
            state={"row": done},
            done=self.content.size * done // max(self.rows, 1),
            reject=lambda refused, reason: self._rejections(
                rows.filter(pl.col("row").is_in(list(refused))), [reason] * len(refused)
            ),
        )

    def _named(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rename as sinks call it; the exact times count only where the file has all columns of our own table."""
        missing = [name for name in OPTIONAL[self.relation] if name not in self.names]
        named = frame.rename(
            {"time": "stamp_us"} | {"received_at": "received_us"}
            if "received_at" in self.names
            else {"time": "stamp_us"}
        )
        if missing:
            return named.drop("time_us").with_columns(
                pl.lit(None, pl.Float64).alias(name) for name in missing if name.endswith("volume")
            )
        return named

    def _reason(self) -> pl.Expr:
        """Say what is wrong with a row, null when nothing is; every sentence is a constant."""
        time, faults = pl.col("time"), list[tuple[pl.Expr, str]]()
        faults += [
            (time.is_null(), "time is null"),
            (time < STAMP_MIN_US, "time is before 1990"),
            (time > self.bounds.latest_us, "time is in the future"),
            (~pl.col("symbol").str.contains(SYMBOL).fill_null(value=False), "symbol is none"),
        ]
        for name in ("price", "bid", "ask", "day_volume", "volume", "bid_volume", "ask_volume"):
            if name in self.names and (name in REQUIRED[self.relation] or name.endswith("volume")):
                missing = pl.lit(name.endswith("volume"))
                faults.append((~pl.col(name).is_finite().fill_null(missing), f"{name} is no number"))
                faults.append((pl.col(name) < 0, f"{name} is negative"))
                beyond = (pl.col(name) != 0) & ~pl.col(name).is_between(SMALLEST, LARGEST)
                faults.append((beyond, f"{name} is out of range"))
        if self.relation is Relation.QUOTES:
            faults.append((pl.col("ask") < pl.col("bid"), "ask is below bid"))
        faults += [(pl.col(name).is_null(), f"{name} is null") for name in _SOURCES if name in self.names]
        return pl.coalesce(pl.when(condition).then(pl.lit(said)) for condition, said in faults)

    def _rejections(self, rows: pl.DataFrame, reasons: list[str]) -> list[Rejection]:
        return [
            Rejection(self.bounds.received_us, f"row {row.pop('row') + 1}: {reason}", json.dumps(row, default=str))
            for row, reason in zip(rows.to_dicts(), reasons, strict=True)
        ]


def table_reader(content: Content, bounds: Bounds) -> TableReader:
    """Look at the schema; TerminalError when it is none of ticks or the file is broken."""
    try:
        schema, rows = _schema_of(content)
    except (pa.ArrowException, OSError) as error:
        raise _broken(content, error) from None
    named = (schema.metadata or {}).get(RELATION_KEY, b"").decode(errors="replace")
    quotes = {"bid", "ask"} <= set(schema.names) and "price" not in schema.names
    relation = named or (Relation.QUOTES if quotes else Relation.TRADES)
    if relation not in (Relation.TRADES, Relation.QUOTES):
        raise TerminalError(f"{content.name} holds {relation}, which follow from ticks: import those instead.")
    found = Relation(relation)
    missing = [name for name in REQUIRED[found] if name not in schema.names]
    if missing:
        raise TerminalError(
            f"{content.name} has the columns {','.join(schema.names)[:200]}:"
            " ticks have time, symbol and price, or time, symbol, bid and ask."
        )
    names = tuple(name for name in (*REQUIRED[found], *OPTIONAL[found]) if name in schema.names)
    if twice := [name for name in names if schema.names.count(name) > 1]:
        raise TerminalError(f"{content.name} has the column {twice[0]} more than once: give one of them another name.")
    return TableReader(content, found, names, rows, bounds)


def _schema_of(content: Content) -> tuple[pa.Schema, int]:
    if content.kind == "parquet":
        with pq.ParquetFile(content.path) as file:
            return file.schema_arrow, file.metadata.num_rows
    with pa.memory_map(str(content.path)) as source, pa.ipc.open_file(source) as file:
        return file.schema, sum(file.get_batch(index).num_rows for index in range(file.num_record_batches))


def _batches(content: Content, names: list[str], skipped: int) -> Iterator[pa.RecordBatch]:
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
        if not isinstance(column.dtype, pl.Datetime) or column.dtype.time_zone is None:
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


def _broken(content: Content, error: Exception) -> TerminalError:
    reason = " ".join(str(error).split())[:200]
    return TerminalError(f"{content.name} is a broken {content.kind} file ({reason}): fetch it again.")
