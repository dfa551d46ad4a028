"""Lays Parquet and Arrow files of bars out as text, so that one reader knows what bars are."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import IO, cast

import polars as pl
import pyarrow as pa

from candleworks.imports.columns import bar_columns
from candleworks.imports.files import Content, spooled
from candleworks.imports.formats import Reading, Relation, mapped_relation, our_names
from candleworks.imports.tables import RELATION_KEY, batches, broken, schema_of

_BARS = (Relation.BARS, Relation.QUOTE_BARS)


@contextmanager
def as_text(content: Content, reading: Reading) -> Iterator[tuple[Content, Reading]]:
    """Yield a content and how to read it; a table of bars is replaced by a text of all its columns, under a header.

    Times with a zone become those of UTC, others stay as they are; a column that is neither text nor numbers is empty.
    TerminalError when the file is broken.
    """
    if content.kind == "text":
        yield content, reading
        return
    try:
        schema, rows = schema_of(content)
        if not _holds_bars(content, schema, reading):
            yield content, reading
            return
    except (pa.ArrowException, OSError) as error:
        raise broken(content, error) from None
    with ExitStack() as stack:
        path = spooled(stack, partial(_write, content, schema.names))
        text = replace(content, path=path, kind="text", size=path.stat().st_size, newlines=rows + 1)
        yield text, replace(reading, format=None if reading.format == content.kind else reading.format)


def _holds_bars(content: Content, schema: pa.Schema, reading: Reading) -> bool:
    if reading.format not in (None, content.kind, "bars") or (schema.metadata or {}).get(RELATION_KEY):
        return False
    if reading.columns is not None:
        return mapped_relation(our_names(reading.columns)) in _BARS
    return bar_columns([name.lower() for name in schema.names]) is not None


def _write(content: Content, names: list[str], out: IO[bytes]) -> None:
    try:
        out.write(pl.DataFrame([[name] for name in names], orient="col").write_csv(include_header=False).encode())
        for batch in batches(content, names, 0):
            frame = cast("pl.DataFrame", pl.from_arrow(batch))
            out.write(frame.select(map(_as_text, frame)).write_csv(include_header=False).encode())
    except (pa.ArrowException, pl.exceptions.PolarsError) as error:
        raise broken(content, error) from None


def _as_text(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Datetime):
        zoned = column.dtype.time_zone is not None
        utc = column.dt.convert_time_zone("UTC") if zoned else column
        return utc.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ" if zoned else "%Y-%m-%dT%H:%M:%S%.6f")
    if column.dtype.is_nested() or column.dtype == pl.Binary:
        return pl.Series(column.name, [None] * len(column), pl.String)
    return column.fill_nan(None) if column.dtype.is_float() else column
