"""Reads trades from CSV as TimescaleDB's tutorial has them: `time,symbol,price,day_volume`, columns in any order.

The rows may come oldest or newest first; within one stamp they keep arrival order either way, which a stable sort by
time restores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from candleworks.model.trades import MICROSECONDS, STAMP_MIN_US, Rejection, microseconds_of

REQUIRED = frozenset({"time", "symbol", "price"})
OPTIONAL = frozenset({"day_volume"})
MILLISECOND = 1_000
_SYMBOL = r"^[A-Za-z0-9][A-Za-z0-9./:^_-]{0,31}$"


@dataclass(frozen=True)
class ParsedTrades:
    """`frame` has stamp_us, symbol, price, day_volume (null: none), in arrival order; refused lines stand apart.

    `resolution_us` is the step that all stamps keep: a second, or a millisecond.
    """

    frame: pl.DataFrame
    rejections: list[Rejection]
    resolution_us: int


def is_trades(header: Sequence[str]) -> bool:
    """Whether a file with these columns holds trades."""
    return set(header) >= REQUIRED and set(header) <= REQUIRED | OPTIONAL


def parse_trades(text: bytes, header: Sequence[str], received_us: int, latest_us: int) -> ParsedTrades:
    """Parse the lines after the header. Stamps after `latest_us` are refused; every refusal names its line."""
    lines = _lines(text)
    fields = lines.with_columns(
        pl.col("line").str.split(",").alias("field"),
        pl.col("line").str.count_matches(",", literal=True).alias("commas"),
    )
    columns = {name: pl.col("field").list.get(index, null_on_oob=True) for index, name in enumerate(header)}
    if "day_volume" not in columns:
        columns["day_volume"] = pl.lit("")
    rows = _with_stamps(fields.with_columns(pl.lit("").alias("day_volume")).with_columns(**columns)).with_columns(
        pl.col("price").cast(pl.Float64, strict=False).alias("price_value"),
        pl.col("day_volume").cast(pl.Float64, strict=False).alias("volume_value"),
    )
    rows = rows.with_columns(_reason(len(header) - 1, latest_us).alias("reason"))
    good = rows.filter(pl.col("reason").is_null()).sort("stamp_us", maintain_order=True)
    frame = good.select(
        "stamp_us", "symbol", pl.col("price_value").alias("price"), pl.col("volume_value").alias("day_volume")
    )
    return ParsedTrades(frame, _rejections(rows, received_us), _resolution(frame))


def _lines(text: bytes) -> pl.DataFrame:
    """Number the lines that hold something; line 1 is the header."""
    lines = pl.Series("line", text.decode().replace("\r\n", "\n").split("\n")[1:])
    return pl.DataFrame({"number": pl.int_range(2, len(lines) + 2, eager=True), "line": lines}).filter(
        pl.col("line").str.strip_chars() != ""
    )


def _with_stamps(rows: pl.DataFrame) -> pl.DataFrame:
    """Add stamp_us; each distinct text is parsed once, and many ticks share a second."""
    distinct = rows["time"].drop_nulls().unique()
    stamps = pl.DataFrame(
        {"time": distinct, "stamp_us": [_stamp_us(text) for text in distinct]},
        {"stamp_us": pl.Int64, "time": pl.String},
    )
    return rows.join(stamps, on="time", how="left", maintain_order="left")


def _stamp_us(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return None if moment.tzinfo is None else microseconds_of(moment)


def _reason(commas: int, latest_us: int) -> pl.Expr:
    """Say what is wrong with a row, null when nothing is."""
    quoted = "'{}'"
    price, volume, stamp = pl.col("price_value"), pl.col("volume_value"), pl.col("stamp_us")
    return (
        pl.when(pl.col("commas") != commas)
        .then(pl.format(f"{{}} fields instead of {commas + 1}", pl.col("commas") + 1))
        .when(stamp.is_null())
        .then(pl.format(f"time {quoted} is no ISO time with an offset from UTC", "time"))
        .when(stamp < STAMP_MIN_US)
        .then(pl.format(f"time {quoted} is before 1990", "time"))
        .when(stamp > latest_us)
        .then(pl.format(f"time {quoted} is in the future", "time"))
        .when(~pl.col("symbol").str.contains(_SYMBOL))
        .then(pl.format(f"symbol {quoted} is none", "symbol"))
        .when(price.is_null() | ~price.is_finite())
        .then(pl.format(f"price {quoted} is no number", "price"))
        .when(price < 0)
        .then(pl.format(f"price {quoted} is negative", "price"))
        .when((pl.col("day_volume") != "") & (volume.is_null() | ~volume.is_finite()))
        .then(pl.format(f"day_volume {quoted} is no number", "day_volume"))
        .when(volume < 0)
        .then(pl.format(f"day_volume {quoted} is negative", "day_volume"))
    )


def _rejections(rows: pl.DataFrame, received_us: int) -> list[Rejection]:
    refused = rows.filter(pl.col("reason").is_not_null()).select("number", "reason", "line")
    return [Rejection(received_us, f"line {number}: {reason}", line) for number, reason, line in refused.rows()]


def _resolution(frame: pl.DataFrame) -> int:
    whole_seconds = bool((frame["stamp_us"] % MICROSECONDS == 0).all())
    return MICROSECONDS if whole_seconds else MILLISECOND
