"""A recording of trades as TimescaleDB's tutorial ships one: newest first, whole seconds, volumes of the session only.

Modelled on a real recording of 50,000 ticks of 51 stocks: many ticks share symbol and second, and three in ten have no
day_volume because they come after hours.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

SYMBOLS = 50
TICKS_PER_SECOND = 10
FIRST_DAY = 1_704_672_000  # Monday 2024-01-08 00:00 UTC
DAY_SECONDS = 86_400
OPENING_SECONDS = 11 * 3_600  # each day has ticks from 11:00 UTC to midnight
TICKS_PER_DAY = (DAY_SECONDS - OPENING_SECONDS) * TICKS_PER_SECOND
IN_SESSION = 0.7
HISTORY_DAYS = 36


@dataclass(frozen=True)
class TickFile:
    """A written file; event times are seconds since 1970."""

    path: Path
    rows: int
    first: int
    last: int


def write_tick_file(path: Path, rows: int) -> TickFile:
    """Write the same `rows` trades every time."""
    frame = _ticks(rows)
    _written(frame).write_csv(path)
    return TickFile(path, rows, int(frame["event_time"][0]), int(frame["event_time"][-1]))


def write_history_file(path: Path, rows: int) -> TickFile:
    """Write `rows` trades of one symbol, oldest first, evenly spread over HISTORY_DAYS."""
    seconds = FIRST_DAY + np.arange(rows) * HISTORY_DAYS * DAY_SECONDS // rows
    total = pl.int_range(1, pl.len() + 1).over((pl.col("event_time") - FIRST_DAY) // DAY_SECONDS)
    frame = pl.DataFrame({"event_time": seconds}).with_columns(
        pl.lit("AAPL").alias("symbol"),
        (100 + pl.int_range(pl.len()) % 7).cast(pl.Float64).alias("price"),
        (total * 100).alias("day_volume"),
    )
    _written(frame).reverse().write_csv(path)
    return TickFile(path, rows, int(seconds[0]), int(seconds[-1]))


def write_identified_file(path: Path, rows: int) -> None:
    """Write those trades in that order with `time` made unique per symbol, which COPY into the table needs."""
    _written(_ticks(rows).with_columns(pl.int_range(pl.len()).over("symbol", "event_time").alias("ordinal"))).write_csv(
        path
    )


def _ticks(rows: int) -> pl.DataFrame:
    """Make trades in order of time: event time, symbol, price, day_volume."""
    random = np.random.default_rng(1)
    number = np.arange(rows)
    day, within = np.divmod(number, TICKS_PER_DAY)
    weights = 1 / np.arange(4, SYMBOLS + 4)
    symbol = random.choice(SYMBOLS, rows, p=weights / weights.sum())
    frame = pl.DataFrame(
        {
            "event_time": FIRST_DAY + day * DAY_SECONDS + OPENING_SECONDS + within // TICKS_PER_SECOND,
            "day": day,
            "symbol": np.array(_symbols())[symbol],
            "step": np.round(random.normal(0, 0.02, rows), 2),
            "traded": np.where(within < IN_SESSION * TICKS_PER_DAY, random.integers(1, 500, rows), 0),
        }
    )
    return frame.with_columns(
        (100 + pl.col("step").cum_sum().over("symbol").abs()).round(2).alias("price"),
        pl.when(pl.col("traded") > 0).then(pl.col("traded").cum_sum().over("symbol", "day")).alias("day_volume"),
    )


def _symbols() -> list[str]:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return [letters[index % 26] * (1 + index % 2) + letters[index // 26] * (1 + index % 3) for index in range(SYMBOLS)]


def _written(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the four columns, newest second first, times as PostgreSQL spells them."""
    time = pl.from_epoch("event_time", time_unit="s").dt.to_string("%Y-%m-%d %H:%M:%S")
    if "ordinal" in frame.columns:
        microseconds = pl.format(".{}", pl.col("ordinal").cast(pl.String).str.zfill(6))
        time += pl.when(pl.col("ordinal") > 0).then(microseconds).otherwise(pl.lit(""))
    newest_first = frame.sort("event_time", descending=True, maintain_order=True)
    return newest_first.select((time + "+00").alias("time"), "symbol", "price", "day_volume")
