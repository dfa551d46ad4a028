"""Bars in files: how long they are, and tables of bars written out as text."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import IO, cast

import polars as pl
import pyarrow as pa

from candleworks.errors import TerminalError
from candleworks.imports.chunks import BEGINNING, TextReader
from candleworks.imports.columns import bar_columns
from candleworks.imports.files import Content, spooled
from candleworks.imports.reading import Reading, mapped_row_type, our_names
from candleworks.imports.tables import RELATION_KEY, batches, broken, schema_of
from candleworks.model.bars import MINUTE_US

HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


def with_interval(reader: TextReader) -> TextReader:
    """Read all times and return a reader that knows the bars' length: the most frequent distance of neighbours.

    TerminalError when there are no neighbours, or candles cannot be made of bars of that length exactly.
    """
    name, distances = reader.data.content.name, Counter[int]()
    for chunk in reader.chunks(BEGINNING):
        distances.update(_distances(chunk.frame))
    if not distances:
        raise TerminalError(
            f"{name} has only one bar of each symbol: at least two are needed to know how long they are."
        )
    interval_us = max(distances, key=lambda distance: (distances[distance], -distance))
    if not _fits_levels(interval_us):
        raise TerminalError(
            f"{name} has bars every {interval_us / 1_000_000:g} s: their length has to be a number of minutes that"
            " divides an hour, or a number of hours that divides a day."
        )
    return replace(reader, layout=replace(reader.layout, interval_us=interval_us))


def _distances(frame: pl.DataFrame) -> dict[int, int]:
    """Count the distances between neighbouring times of each symbol."""
    times = frame.select("symbol", "event_us").unique().sort("symbol", "event_us")
    distances = times.select(pl.col("event_us").diff().over("symbol").alias("distance")).drop_nulls()
    return dict(distances.group_by("distance").len().rows())


def _fits_levels(interval_us: int) -> bool:
    """Whether every candle that is longer than a bar starts and ends with one."""
    level_us = HOUR_US if interval_us < HOUR_US else DAY_US
    unit = MINUTE_US if interval_us < HOUR_US else HOUR_US
    return interval_us >= MINUTE_US and interval_us % unit == 0 and level_us % interval_us == 0


@contextmanager
def as_text(content: Content, reading: Reading) -> Iterator[tuple[Content, Reading]]:
    """Yield a content and how to read it; a table of bars is replaced by a text of all its columns with a header.

    So one reader knows what bars are. Times with a zone are converted to UTC, others are unchanged; a column that is
    neither text nor numbers is empty. TerminalError when the file is broken.
    """
    if content.kind == "text":
        yield content, reading
        return
    try:
        schema, rows = schema_of(content)
        if not _contains_bars(content, schema, reading):
            yield content, reading
            return
    except (pa.ArrowException, OSError) as error:
        raise broken(content, error) from None
    with ExitStack() as stack:
        path = spooled(stack, partial(_write, content, schema.names))
        text = replace(content, path=path, kind="text", size=path.stat().st_size, newlines=rows + 1)
        yield text, replace(reading, format=None if reading.format == content.kind else reading.format)


def _contains_bars(content: Content, schema: pa.Schema, reading: Reading) -> bool:
    if reading.format not in (None, content.kind, "bars") or (schema.metadata or {}).get(RELATION_KEY):
        return False
    if reading.columns is not None:
        return mapped_row_type(our_names(reading.columns)).is_bars
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
