"""What the user specifies about files: format, symbol, time zone, columns; and what rows a file can contain."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import ZoneInfo

from candleworks.errors import UsageError

FORMATS = (
    *("dukascopy", "dukascopy-node", "trades", "quotes", "truefx", "companies", "columns", "exported"),
    *("bars", "parquet", "arrow"),
)
BAR_PRICES = ("open", "high", "low", "close")
QUOTE_BAR_PRICES = tuple(f"{side}_{name}" for side in ("bid", "ask") for name in BAR_PRICES)
TRADE_COLUMNS = ("time", "symbol", "price", "day_volume")
BAR_COLUMNS = ("time", "symbol", *BAR_PRICES, "volume")
QUOTE_COLUMNS = ("time", "symbol", "bid", "ask", "bid_volume", "ask_volume")
_SYNONYMS = {"size": "volume"}


class RowType(StrEnum):
    """What the rows of a file are; the value is the table that takes them. Bars become ticks of trades or quotes."""

    TRADES = "stocks_real_time"
    QUOTES = "quotes"
    COMPANIES = "company"
    BARS = "bars"
    QUOTE_BARS = "quote_bars"

    @property
    def is_bars(self) -> bool:
        return self in (RowType.BARS, RowType.QUOTE_BARS)


# The columns of the tables of ticks.
REQUIRED = {RowType.TRADES: ("time", "symbol", "price"), RowType.QUOTES: ("time", "symbol", "bid", "ask")}
OPTIONAL = {
    RowType.TRADES: ("day_volume", "volume", "bid", "ask", "received_at", "origin"),
    RowType.QUOTES: ("bid_volume", "ask_volume", "received_at", "origin"),
}


@dataclass(frozen=True)
class Reading:
    """Options for files that do not describe themselves.

    `columns` maps our column names to a header's names, or to numbers from 1 where there is no header. `digits` are the
    decimal places of prices; without them only binary floating point noise beyond ten significant digits is removed.
    """

    format: str | None = None
    symbol: str | None = None
    timezone: str | None = None
    columns: Mapping[str, str] | None = None
    digits: int | None = None


def check_reading(reading: Reading) -> None:
    """Raise UsageError for an unknown format or time zone."""
    if reading.format is not None and reading.format not in FORMATS:
        raise UsageError(f"Unknown --format {reading.format}: choose one of {', '.join(FORMATS)}.")
    try:
        ZoneInfo(reading.timezone or "UTC")
    except (KeyError, ValueError, OSError):
        raise UsageError(f"Unknown --timezone {reading.timezone}: name one such as Europe/Berlin or UTC.") from None


def column_mapping(columns: str | None) -> dict[str, str] | None:
    """Parse an option such as time=Date,bid=Bid; UsageError when it is not a mapping."""
    if columns is None:
        return None
    pairs = [pair.partition("=") for pair in columns.split(",")]
    if not all(ours.strip() and sign and theirs.strip() for ours, sign, theirs in pairs):
        raise UsageError(f"--columns {columns} is not a mapping: write it like time=Date,bid=Bid,ask=Ask.")
    return {ours.strip().lower(): theirs.strip() for ours, _, theirs in pairs}


def our_names(columns: Mapping[str, str]) -> dict[str, str]:
    """Replace synonyms in `--columns` by our column names."""
    return {_SYNONYMS.get(ours, ours): theirs for ours, theirs in columns.items()}


def mapped_row_type(columns: Mapping[str, str]) -> RowType:
    """Return what rows a file has by our column names in `--columns`; UsageError when they are not ticks or bars."""
    if {"time", "bid", "ask"} <= set(columns) <= set(QUOTE_COLUMNS):
        return RowType.QUOTES
    if {"time", *BAR_PRICES} <= set(columns) <= set(BAR_COLUMNS):
        return RowType.BARS
    for sides in (("bid",), ("ask",), ("bid", "ask")):
        prices = {f"{side}_{name}" for side in sides for name in BAR_PRICES}
        if {"time", *prices} <= set(columns) <= {"time", "symbol", *prices, *(f"{side}_volume" for side in sides)}:
            return RowType.QUOTE_BARS
    if {"day_volume", "volume"} <= set(columns):
        raise UsageError(
            "--columns names day_volume and volume: name day_volume, a running total,"
            " or volume, the size of each trade."
        )
    if {"time", "price"} <= set(columns) <= {*TRADE_COLUMNS, "volume"}:
        return RowType.TRADES
    raise UsageError(
        f"--columns names {', '.join(columns)}: name time, bid and ask (and symbol, bid_volume, ask_volume),"
        " or time and price (and symbol, and day_volume, or volume for the size of each trade),"
        " or time, open, high, low and close (and symbol, volume), or bid_open to bid_close, ask_open to ask_close."
    )
