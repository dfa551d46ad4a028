"""Tells how long the bars of a file are, by the distances between their times."""

from collections import Counter
from dataclasses import replace

import polars as pl

from candleworks.errors import TerminalError
from candleworks.imports.readers import BEGINNING, TextReader
from candleworks.model.bars import MINUTE_US

HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


def with_interval(reader: TextReader) -> TextReader:
    """Read all times and return a reader that knows the bars' length: the most frequent distance of neighbours.

    TerminalError when there are no neighbours, or no candle can hold bars of that length exactly.
    """
    name, distances = reader.data.content.name, Counter[int]()
    for chunk in reader.chunks(BEGINNING):
        distances.update(_distances(chunk.frame))
    if not distances:
        raise TerminalError(f"{name} does not tell how long its bars are: at least two are needed.")
    interval_us = max(distances, key=lambda distance: (distances[distance], -distance))
    if not _fits_levels(interval_us):
        raise TerminalError(
            f"{name} has bars every {interval_us / 1_000_000:g} s: bars are taken that are a minute, an hour or a day"
            " long, or a part of an hour or of a day in whole minutes or hours."
        )
    return replace(reader, layout=replace(reader.layout, interval_us=interval_us))


def _distances(frame: pl.DataFrame) -> dict[int, int]:
    """Count the distances between neighbouring times of each symbol."""
    times = frame.select("symbol", "stamp_us").unique().sort("symbol", "stamp_us")
    distances = times.select(pl.col("stamp_us").diff().over("symbol").alias("distance")).drop_nulls()
    return dict(distances.group_by("distance").len().rows())


def _fits_levels(interval_us: int) -> bool:
    """Whether every candle that is longer than a bar begins and ends with one."""
    whole = HOUR_US if interval_us < HOUR_US else DAY_US
    unit = MINUTE_US if interval_us < HOUR_US else HOUR_US
    return interval_us >= MINUTE_US and interval_us % unit == 0 and whole % interval_us == 0
