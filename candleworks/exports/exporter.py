"""Exports ticks and candles to files in blocks, so that memory is bounded."""

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from candleworks.database.connection import Connection
from candleworks.errors import TerminalError
from candleworks.exports.files import ExportFile, ExportFiles
from candleworks.exports.request import Export, ExportProgress, ExportResult, suffix
from candleworks.storage.exports import ExportRelation, Extent, Snapshot, snapshot

# CSV from the database: about 90,000 ticks, which become one row group of a Parquet file.
BLOCK_BYTES = 8 * 2**20
RELATION_KEY = "candleworks.relation"
_TYPES = {
    "timestamptz": pa.timestamp("us", "UTC"),
    "text": pa.string(),
    "float8": pa.float64(),
    "int8": pa.int64(),
    "bool": pa.bool_(),
}
_DAY_US = 86_400_000_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def export(
    connection: Connection, wanted: Export, progress: Callable[[ExportProgress], None] = lambda _: None
) -> ExportResult:
    """Write the rows of one snapshot; the files appear when all of them are complete.

    Raises TerminalError for a symbol that the relation does not have, UsageError when a file exists already.
    """
    with snapshot(connection, wanted.selection) as source:
        for symbol in wanted.selection.symbols:
            if not source.has_symbol(symbol):
                raise TerminalError(f"{wanted.selection.relation} has no rows of {symbol!r}: correct the symbol.")
        extent = source.extent()
        schema = _schema(wanted.selection.relation, source.columns())
        write = _write_days if wanted.by_day else _write
        with (
            # An unfinished COPY would keep the transaction open.
            contextlib.closing(_tables(source, extent, schema, progress)) as tables,
            ExportFiles(schema, wanted.kind, zstd=wanted.zstd, overwrite=wanted.overwrite) as files,
        ):
            return write(files, wanted, tables, extent)


def _schema(relation: ExportRelation, columns: dict[str, str]) -> pa.Schema:
    fields = [pa.field(name, _TYPES[kind]) for name, kind in columns.items()]
    return pa.schema(fields, metadata={RELATION_KEY: str(relation)})


def _tables(
    source: Snapshot, extent: Extent, schema: pa.Schema, progress: Callable[[ExportProgress], None]
) -> Generator[pa.Table, None, None]:
    rows = 0
    for block in source.blocks(extent, BLOCK_BYTES):
        table = _parse(block, schema)
        yield table
        rows += table.num_rows
        progress(ExportProgress(rows, extent.rows))


def _parse(block: bytes, schema: pa.Schema) -> pa.Table:
    """Parse PostgreSQL's CSV; its numbers have all digits that are needed to read back the same value."""
    table = pyarrow.csv.read_csv(
        pa.BufferReader(block),
        read_options=pyarrow.csv.ReadOptions(column_names=schema.names, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return table.cast(schema)


def _write(files: ExportFiles, wanted: Export, tables: Iterator[pa.Table], extent: Extent) -> ExportResult:
    path = wanted.output
    if path.is_dir():
        path /= f"{wanted.selection.relation}{suffix(wanted.kind, zstd=wanted.zstd)}"
    file = files.open(path, path.parent)
    for table in tables:
        file.write(table)
    return ExportResult(extent, [path], file.finish())


def _write_days(files: ExportFiles, wanted: Export, tables: Iterator[pa.Table], extent: Extent) -> ExportResult:
    directory = wanted.output / wanted.selection.relation
    name = f"part{suffix(wanted.kind, zstd=wanted.zstd)}"
    paths: list[Path] = []
    size_bytes = 0
    file: ExportFile | None = None
    for table in tables:
        for day, part in _days(table, wanted.selection.relation.time):
            path = directory / f"date={day}" / name
            if file is None or path != file.path:
                size_bytes += file.finish() if file else 0
                file = files.open(path, directory)
                paths.append(path)
            file.write(part)
    size_bytes += file.finish() if file else 0
    return ExportResult(extent, paths, size_bytes)


def _days(table: pa.Table, time: str) -> Iterator[tuple[date, pa.Table]]:
    """Split a table in order of time by days in UTC."""
    days = table.column(time).cast(pa.int64()).to_numpy() // _DAY_US
    bounds = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
    for start, stop in itertools.pairwise(bounds):
        yield date.fromordinal(_EPOCH_DAY + int(days[start])), table.slice(start, stop - start)
