"""The rules for rows of tables with ticks: which are accepted, and how sinks take them."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from candleworks.imports.reading import OPTIONAL, REQUIRED, RowType
from candleworks.imports.rows import MILLISECOND
from candleworks.imports.validation import Bounds, NumericColumn, crossed_fault, tick_faults
from candleworks.model.tick_validation import SYMBOL_PATTERN, VOLUME_FAULTS

TIMES = ("time", "received_at")
TEXTS = ("symbol", "origin")
_SOURCES = ("received_at", "origin")
_NUMBERS = ("price", "bid", "ask", "day_volume", "volume", "bid_volume", "ask_volume")


@dataclass(frozen=True)
class TableLayout:
    """How to read the rows of a table: `columns` maps our names to those of the schema.

    `symbol` is the symbol of all rows where no column has it, else the only one that is wanted; `zone` is the zone of
    times without one; prices are rounded to `digits` decimal places.
    """

    row_type: RowType
    columns: Mapping[str, str]
    symbol: str | None = None
    zone: str | None = None
    digits: int | None = None

    @property
    def exact(self) -> bool:
        """Whether the table has all columns of our own, whose microseconds and volumes are kept unchanged."""
        return {*REQUIRED[self.row_type], *OPTIONAL[self.row_type]} <= set(self.columns)


@dataclass(frozen=True)
class TableRules:
    """Validates rows, whose times are microseconds since 1970 in UTC, and prepares the accepted ones for sinks."""

    layout: TableLayout
    bounds: Bounds

    def accepted(self, good: pl.DataFrame) -> pl.DataFrame:
        """Return accepted rows in the order of time, as sinks take them."""
        frame = (good if good["time"].is_sorted() else good.sort("time", maintain_order=True)).with_columns(
            pl.col("time").alias("time_us"), pl.col("time") // MILLISECOND * MILLISECOND
        )
        return self._named(frame)

    def _named(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rename the columns for sinks; exact times are kept only where the file has all columns of our own table."""
        missing = [name for name in OPTIONAL[self.layout.row_type] if name not in self.layout.columns]
        named = frame.rename(
            {"time": "event_us"} | {"received_at": "received_us"}
            if "received_at" in self.layout.columns
            else {"time": "event_us"}
        )
        if not self.layout.exact:
            return named.drop("time_us").with_columns(
                pl.lit(None, pl.Float64).alias(name) for name in missing if name.endswith("volume")
            )
        return named

    def reason(self, nonexistent: pl.Series) -> pl.Expr:
        """Return what is wrong with a row, null when nothing is; every sentence is a constant."""
        faults = tick_faults(
            pl.col("time"),
            pl.lit(nonexistent),
            self.layout.zone,
            self.bounds,
            invalid_symbol=~pl.col("symbol").str.contains(SYMBOL_PATTERN).fill_null(value=False),
            only_symbol=self.layout.symbol,
            numbers=map(self._number, (name for name in _NUMBERS if name in self.layout.columns)),
        )
        if self.layout.row_type is RowType.QUOTES:
            faults.append(crossed_fault(pl.col("bid"), pl.col("ask")))
        sentences = [(pl.col("time").is_null(), "time is null"), *((fault.applies, fault.constant) for fault in faults)]
        sentences += [(pl.col(name).is_null(), f"{name} is null") for name in _SOURCES if name in self.layout.columns]
        return pl.coalesce(pl.when(applies).then(pl.lit(sentence)) for applies, sentence in sentences)

    def _number(self, name: str) -> NumericColumn:
        value = pl.col(name)
        missing = value.is_null() if name in REQUIRED[self.layout.row_type] else pl.lit(value=False)
        return NumericColumn(
            name, value, missing, VOLUME_FAULTS if name.endswith("volume") else self.bounds.price_faults
        )
