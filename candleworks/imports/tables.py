"""Reads Parquet and Arrow files, such as `candleworks export` writes them: tables of ticks with all their columns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from candleworks.errors import TerminalError
from candleworks.imports.chunks import Chunk, ReaderState
from candleworks.imports.columns import bar_columns
from candleworks.imports.files import Content
from candleworks.imports.formats import symbol_of
from candleworks.imports.reading import OPTIONAL, REQUIRED, Reading, RowType, mapped_row_type, our_names
from candleworks.imports.rows import MILLISECOND
from candleworks.imports.table_rows import TEXTS, TIMES, TableLayout, TableRules
from candleworks.imports.times import AmbiguityState, resolve
from candleworks.imports.validation import Bounds
from candleworks.model.tick_validation import EARLIEST_US
from candleworks.model.trades import MICROSECONDS, Rejection


def table_layout(content: Content, names: Sequence[str], relation: str, reading: Reading) -> TableLayout:
    """Return the layout of a table whose schema has the `names`; `relation` comes from the metadata, or is empty.

    TerminalError when the table contains no ticks or does not match the options.
    """
    if reading.format not in (None, content.kind):
        raise TerminalError(
            f"{content.name} is a {content.kind} file, not of the format {reading.format}: leave out --format."
        )
    if reading.columns is None:
        layout = _recognised(content.name, names, relation)
    else:
        layout = _mapped(content.name, names, our_names(reading.columns))
    if twice := [theirs for theirs in layout.columns.values() if names.count(theirs) > 1]:
        raise TerminalError(f"{content.name} has the column {twice[0]} more than once: rename one of them.")
    symbol = reading.symbol
    if "symbol" not in layout.columns and symbol is None:
        symbol = symbol_of(content.name)
    return TableLayout(layout.row_type, layout.columns, symbol, reading.timezone, reading.digits)


def _recognised(file: str, names: Sequence[str], relation: str) -> TableLayout:
    quotes = {"bid", "ask"} <= set(names) and "price" not in names
    found = relation or (RowType.QUOTES if quotes else RowType.TRADES)
    if found not in REQUIRED:
        raise TerminalError(f"{file} contains {found}, which are computed from ticks: import ticks instead.")
    row_type = RowType(found)
    if not {*REQUIRED[row_type]} - {"symbol"} <= set(names):
        raise TerminalError(
            f"{file} has the columns {','.join(names)[:200]}: ticks have time, symbol and price, or time, symbol, bid"
            " and ask; name other columns with --columns time=...,price=..."
        )
    return TableLayout(row_type, {name: name for name in (*REQUIRED[row_type], *OPTIONAL[row_type]) if name in names})


def _mapped(file: str, names: Sequence[str], columns: Mapping[str, str]) -> TableLayout:
    """Apply `--columns`: by the schema's names, in upper or lower case, or by numbers from 1."""
    row_type = mapped_row_type(columns)
    if row_type not in REQUIRED:  # candles that candleworks exported
        raise TerminalError(f"{file} contains candles, which are computed from ticks: import ticks instead.")
    if bar_columns([name.lower() for name in names]) is not None:
        raise TerminalError(f"{file} has open, high, low and close, so it contains bars: map bars, not ticks.")
    numbered = all(value.isdecimal() for value in columns.values())
    known = {str(n + 1) if numbered else name.lower(): name for n, name in enumerate(names)}
    missing = [value for value in columns.values() if value.lower() not in known]
    if missing:
        raise TerminalError(
            f"{file} has the columns {','.join(names)[:200]}: there is no {', '.join(missing)}, which --columns names."
        )
    return TableLayout(row_type, {ours: known[theirs.lower()] for ours, theirs in columns.items()})


RELATION_KEY = b"candleworks.relation"
BATCH_ROWS = 100_000
DAY_US = 86_400 * MICROSECONDS


@dataclass(frozen=True)
class TableReader:
    """Reads the rows of a table in batches; with `local` its times are local times of the layout's zone."""

    content: Content
    layout: TableLayout
    rows: int
    bounds: Bounds
    local: bool

    @property
    def row_type(self) -> RowType:
        return self.layout.row_type

    @property
    def _rules(self) -> TableRules:
        return TableRules(self.layout, self.bounds)

    @property
    def format(self) -> str:
        return self.content.kind

    @property
    def interval_us(self) -> int | None:
        return None

    def chunks(self, state: ReaderState, until: ReaderState | None = None) -> Iterator[Chunk]:
        done = cast("int", state["row"]) if state else 0
        end = cast("int", until["row"]) if until else self.rows
        clock = AmbiguityState(*state["clock"]) if state else AmbiguityState()
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
                complete, clock = self._in_utc(rows[: len(rows) - kept], clock)
                yield self._chunk(complete, done - kept, clock)
                if done >= end:
                    return
        except (pa.ArrowException, OSError) as error:
            raise broken(self.content, error) from None

    def _typed(self, batch: pa.RecordBatch, first_row: int) -> pl.DataFrame:
        """Convert the columns to their types; times to microseconds since 1970."""
        table = cast("pl.DataFrame", pl.from_arrow(batch))
        columns = [
            _typed_column(ours, table[theirs], self.content.name) for ours, theirs in self.layout.columns.items()
        ]
        frame = pl.DataFrame(columns).with_row_index("row", first_row).cast({"row": pl.Int64})
        if "symbol" not in self.layout.columns:
            frame = frame.with_columns(pl.lit(self.layout.symbol).alias("symbol"))
        if self.layout.digits is not None:
            prices = [name for name in REQUIRED[self.row_type] if name not in ("time", "symbol")]
            frame = frame.with_columns(pl.col(prices).round(self.layout.digits))
        return frame

    def _in_utc(self, rows: pl.DataFrame, clock: AmbiguityState) -> tuple[pl.DataFrame, AmbiguityState]:
        """Add `nonexistent` and `ambiguous`; convert local times to UTC."""
        none = pl.lit(value=False)
        if not self.local or self.layout.zone is None:
            return rows.with_columns(none.alias("nonexistent"), none.alias("ambiguous")), clock
        local = rows["time"]
        valid = local.is_between(EARLIEST_US - DAY_US, self.bounds.latest_us + DAY_US).fill_null(value=False)
        known = local.set(~valid, 0).to_numpy()
        resolved = resolve(known, valid.to_numpy(), self.layout.zone, clock)
        return rows.with_columns(
            pl.when(valid).then(pl.Series(resolved.us)).otherwise(pl.col("time")).alias("time"),
            pl.Series("nonexistent", resolved.nonexistent),
            pl.Series("ambiguous", resolved.ambiguous),
        ), resolved.clock

    def _chunk(self, complete: pl.DataFrame, done: int, clock: AmbiguityState) -> Chunk:
        rows = complete.drop("nonexistent", "ambiguous")
        checked = rows.with_columns(self._rules.reason(complete["nonexistent"]).alias("reason"))
        good = checked.filter(pl.col("reason").is_null()).drop("reason")
        bad = checked.filter(pl.col("reason").is_not_null())
        return Chunk(
            frame=self._rules.accepted(good),
            rejections=self._rejections(bad.drop("reason"), bad["reason"].to_list()),
            ambiguous=int(complete["ambiguous"].sum()),
            state={"row": done, "clock": list(asdict(clock).values())},
            done=self.content.size * done // max(self.rows, 1),
            reject=lambda rejected, reason: self._rejections(
                rows.filter(pl.col("row").is_in(list(rejected))), [reason] * len(rejected)
            ),
        )

    def _rejections(self, rows: pl.DataFrame, reasons: list[str]) -> list[Rejection]:
        return [
            Rejection(self.bounds.received_us, f"row {number}: {reason}", json.dumps(row, default=str), "row", number)
            for number, row, reason in zip(rows["row"] + 1, rows.drop("row").to_dicts(), reasons, strict=True)
        ]


def table_reader(content: Content, bounds: Bounds, reading: Reading) -> TableReader:
    """Read the schema; TerminalError when the file is broken, contains no ticks or does not match the options."""
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
            f"{content.name} has {layout.columns['time']} as {time} without a time zone:"
            " name the zone with --timezone, such as --timezone Europe/Zurich or --timezone UTC."
        )
    return TableReader(content, layout, rows, bounds, local)


def schema_of(content: Content) -> tuple[pa.Schema, int]:
    if content.kind == "parquet":
        with pq.ParquetFile(content.path) as file:
            return file.schema_arrow, file.metadata.num_rows
    with pa.memory_map(str(content.path)) as source, pa.ipc.open_file(source) as file:
        return file.schema, sum(file.get_batch(index).num_rows for index in range(file.num_record_batches))


def batches(content: Content, names: list[str], skipped: int) -> Iterator[pa.RecordBatch]:
    """Yield batches of at most BATCH_ROWS, without the first `skipped` rows."""
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
            batch = file.get_batch(index).select(names)
            for start in range(skipped, batch.num_rows, BATCH_ROWS):
                yield batch.slice(start, BATCH_ROWS)
            skipped = max(skipped - batch.num_rows, 0)


def _typed_column(name: str, column: pl.Series, file: str) -> pl.Series:
    if name in TIMES:
        if not isinstance(column.dtype, pl.Datetime) or (name != "time" and column.dtype.time_zone is None):
            raise TerminalError(f"{file} has {name} as {column.dtype}: write it as a timestamp with time zone UTC.")
        return column.dt.epoch("us").alias(name)
    try:
        return column.cast(pl.String if name in TEXTS else pl.Float64).alias(name)
    except pl.exceptions.PolarsError:
        raise TerminalError(f"{file} has {name} as {column.dtype}: write it as numbers.") from None


def _trailing(times: pl.Series) -> int:
    """Count the rows at the end whose millisecond is that of the last one."""
    event_times = times // MILLISECOND
    others = (event_times.reverse() != event_times[-1]).fill_null(value=True).arg_true() if len(event_times) else []
    return int(others[0]) if len(others) else len(event_times)


def broken(content: Content, error: Exception) -> TerminalError:
    reason = " ".join(str(error).split())[:200]
    return TerminalError(f"{content.name} is a broken {content.kind} file ({reason}): download it again.")
