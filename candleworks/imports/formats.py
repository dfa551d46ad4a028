"""Which format a text file has, told by its header and first rows, and what its columns mean."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from zoneinfo import ZoneInfo

from candleworks.errors import TerminalError, UsageError
from candleworks.imports import times as stamps
from candleworks.imports.columns import BAR_PRICES, Guess, bar_columns, cells_of, guess_columns, is_number
from candleworks.imports.company_csv import is_companies
from candleworks.imports.file_symbols import likely_symbol, side_of, symbol_of
from candleworks.imports.times import TimeForm, read_times

FORMATS = (
    *("dukascopy", "dukascopy-node", "trades", "quotes", "truefx", "companies", "columns", "exported"),
    *("bars", "parquet", "arrow"),
)
TRADE_COLUMNS = ("time", "symbol", "price", "day_volume")
BAR_COLUMNS = ("time", "symbol", *BAR_PRICES, "volume")
QUOTE_COLUMNS = ("time", "symbol", "bid", "ask", "bid_volume", "ask_volume")
_TRUEFX = re.compile(r"[A-Z0-9]{3,6}/[A-Z]{3},\d{8} \d\d:\d\d:\d\d\.\d{3},[0-9.]+,[0-9.]+")
_SAME = {"size": "volume"}
_DUKASCOPY = {"ask": "ask", "bid": "bid", "askvolume": "ask_volume", "bidvolume": "bid_volume"}
_DUKASCOPY_NODE = {
    "timestamp": "time",
    "askprice": "ask",
    "bidprice": "bid",
    "askvolume": "ask_volume",
    "bidvolume": "bid_volume",
}


class Relation(StrEnum):
    """What a file holds, by the name of the table that takes it; bars become ticks of trades or quotes."""

    TRADES = "stocks_real_time"
    QUOTES = "quotes"
    COMPANIES = "company"
    BARS = "bars"
    QUOTE_BARS = "quote_bars"


# The columns of our own tables.
REQUIRED = {Relation.TRADES: ("time", "symbol", "price"), Relation.QUOTES: ("time", "symbol", "bid", "ask")}
OPTIONAL = {
    Relation.TRADES: ("day_volume", "volume", "bid", "ask", "received_at", "origin"),
    Relation.QUOTES: ("bid_volume", "ask_volume", "received_at", "origin"),
}


@dataclass(frozen=True)
class Reading:
    """What the caller says about files that do not say it themselves.

    `columns` maps our names to a header's, or to numbers from 1 where there is no header. `digits` are the decimal
    places of prices; without them only what binary floats add behind ten significant digits is taken away.
    """

    format: str | None = None
    symbol: str | None = None
    timezone: str | None = None
    columns: Mapping[str, str] | None = None
    digits: int | None = None


@dataclass(frozen=True)
class Layout:
    """How to read the lines of a text: our name for each field, None for those that nobody needs.

    `symbol` is that of all lines where no column tells it, else the only one that is wanted; `zone` is that of times
    without an offset from UTC; `interval_us` is the length of bars, None until it is known.
    """

    format: str
    relation: Relation
    columns: tuple[str | None, ...]
    time: TimeForm
    header_lines: int = 1
    separator: str = ","
    symbol: str | None = None
    zone: str | None = None
    digits: int | None = None
    interval_us: int | None = None

    @property
    def exact(self) -> bool:
        """Whether the lines have all columns of our own table, whose values and microseconds are kept as they are."""
        return self.format == "exported"


def check_reading(reading: Reading) -> None:
    """Refuse a format or a zone that is none; UsageError."""
    if reading.format is not None and reading.format not in FORMATS:
        raise UsageError(f"--format {reading.format} is none: choose one of {', '.join(FORMATS)}.")
    try:
        ZoneInfo(reading.timezone or "UTC")
    except (KeyError, ValueError, OSError):
        raise UsageError(f"--timezone {reading.timezone} is no zone: name one such as Europe/Berlin or UTC.") from None


def layout_of(name: str, head: bytes, reading: Reading) -> Layout:
    """Tell the layout of the text that begins with `head`; TerminalError when it is of no known format."""
    lines = [line.rstrip("\r") for line in head.decode(errors="replace").split("\n")]
    mapped = reading.columns is not None
    layout = _mapped(name, lines, reading.columns or {}) if mapped else _recognised(name, lines, reading)
    layout = replace(layout, symbol=reading.symbol, zone=reading.timezone, digits=reading.digits)
    if layout.relation is Relation.COMPANIES:
        return layout
    if layout.relation is Relation.BARS and (side := side_of(name)) is not None:
        layout = _of_side(layout, side)
    if layout.relation in (Relation.BARS, Relation.QUOTE_BARS):
        layout = replace(layout, time=_form_of(name, _first_times(lines, layout), dates=True))
    if layout.zone is not None and layout.time is stamps.ISO:
        layout = replace(layout, time=stamps.LOCAL_ISO)
    if "symbol" not in layout.columns and layout.symbol is None:
        layout = replace(layout, symbol=symbol_of(name))
    _check_zone(name, lines, layout)
    return layout


def _recognised(name: str, lines: Sequence[str], reading: Reading) -> Layout:
    for separator in ",;\t":
        header = cells_of(lines[0], separator)
        for layout in _candidates(header, lines[0]):
            if reading.format in (None, layout.format):
                return replace(layout, separator=separator)
    wanted = f"the format {reading.format}" if reading.format else "a known format"
    unknown = f"{name} has the columns {_shown(cells_of(lines[0], ','))}, which is not {wanted}:"
    if reading.format is None and (guess := guess_columns(lines)) is not None:
        raise TerminalError(f"{unknown} {_proposed(name, guess, reading)}")
    raise TerminalError(
        f"{unknown} expected are time,symbol,price,day_volume or symbol,name or time,symbol,bid,ask or"
        " those of Dukascopy, dukascopy-node or TrueFX; --columns time=...,bid=...,ask=... names others."
    )


def _proposed(name: str, guess: Guess, reading: Reading) -> str:
    """Say which options would read the file, ready to be copied."""
    options = ["--columns", ",".join(f"{ours}={theirs}" for ours, theirs in guess.columns.items())]
    advice = ""
    if "symbol" not in guess.columns and reading.symbol is None and (symbol := likely_symbol(name)) is None:
        options += ["--symbol", "SYMBOL"]
        advice = " with the ticks' symbol in place of SYMBOL"
    elif "symbol" not in guess.columns and reading.symbol is None:
        options += ["--symbol", str(symbol)]
    if guess.local and reading.timezone is None:
        options += ["--timezone", "UTC"]
        advice += f"{', and' if advice else ''} with the zone of its times in place of UTC"
    return f"try {shlex.join(options)}{advice}; docs/reference/import-formats.md lists what is known without options."


def _candidates(header: list[str], line: str) -> list[Layout]:
    compact = [name.replace(" ", "").replace("_", "") for name in header]
    found = []
    if len(set(header)) == len(header):
        if (bars := bar_columns(header)) is not None:
            relation = Relation.BARS if "open" in bars else Relation.QUOTE_BARS
            return [Layout("bars", relation, bars, stamps.LOCAL_ISO)]
        if is_companies(header) and "," in line:
            found.append(Layout("companies", Relation.COMPANIES, tuple(header), stamps.ISO))
        if {"time", "symbol", "price"} <= set(header) <= set(TRADE_COLUMNS):
            found.append(Layout("trades", Relation.TRADES, tuple(header), stamps.ISO))
        exported = [own for own, names in REQUIRED.items() if set(header) == {*names, *OPTIONAL[own]}]
        found += [Layout("exported", own, tuple(header), stamps.ISO) for own in exported]
        if {"time", "bid", "ask"} <= set(header) <= set(QUOTE_COLUMNS):
            found.append(Layout("quotes", Relation.QUOTES, tuple(header), stamps.LOCAL_ISO))
        if compact[:1] in (["localtime"], ["gmttime"]) and {"ask", "bid"} <= set(compact[1:]) <= set(_DUKASCOPY):
            form = stamps.DOTTED if compact[0] == "localtime" else stamps.DOTTED_UTC
            columns = ("time", *(_DUKASCOPY[each] for each in compact[1:]))
            found.append(Layout("dukascopy", Relation.QUOTES, columns, form))
        if {"timestamp", "askprice", "bidprice"} <= set(compact) <= set(_DUKASCOPY_NODE):
            columns = tuple(_DUKASCOPY_NODE[each] for each in compact)
            found.append(Layout("dukascopy-node", Relation.QUOTES, columns, stamps.EPOCH_MS))
    if _TRUEFX.fullmatch(line):
        columns = ("symbol", "time", "bid", "ask")
        found.append(Layout("truefx", Relation.QUOTES, columns, stamps.COMPACT_UTC, header_lines=0))
    return found


def _of_side(layout: Layout, side: str) -> Layout:
    """Take the prices and the volume of bars for those of bid or ask."""
    ours = {name: f"{side}_{name}" for name in (*BAR_PRICES, "volume")}
    columns = tuple(field and ours.get(field, field) for field in layout.columns)
    return replace(layout, relation=Relation.QUOTE_BARS, columns=columns)


def _mapped(name: str, lines: Sequence[str], columns: Mapping[str, str]) -> Layout:
    """Apply `--columns`: by the header's names, or by numbers for a file without a header."""
    columns = our_names(columns)
    relation = mapped_relation(columns)
    separator = max(",;\t", key=lines[0].count)
    header = cells_of(lines[0], separator)
    if relation not in (Relation.BARS, Relation.QUOTE_BARS) and bar_columns(header) is not None:
        raise TerminalError(f"{name} has open, high, low and close, so it holds bars: map these, not ticks.")
    numbered = all(value.isdecimal() for value in columns.values())
    wanted = {value.strip().lower(): ours for ours, value in columns.items()}
    if numbered:
        fields = tuple(wanted.get(str(number)) for number in range(1, len(header) + 1))
    else:
        fields = tuple(wanted.get(each) for each in header)
    missing = [value for value, ours in wanted.items() if ours not in fields]
    if missing or len([field for field in fields if field]) != len(wanted):
        raise TerminalError(
            f"{name} has the columns {_shown(header)}: --columns names {', '.join(missing) or 'one'}"
            f" {'that it has twice' if not missing else 'besides'}."
        )
    bare = numbered and not _is_header(header, fields)
    layout = Layout("columns", relation, fields, stamps.LOCAL_ISO, 0 if bare else 1, separator)
    if relation in (Relation.BARS, Relation.QUOTE_BARS):
        return layout
    return replace(layout, time=_form_of(name, _first_times(lines, layout)))


def _is_header(cells: Sequence[str], fields: Sequence[str | None]) -> bool:
    """Whether the first line beside a mapping by numbers names columns: no mapped cell is a time or a number."""
    values = [cell for cell, field in zip(cells, fields, strict=True) if field not in (None, "symbol")]
    return all(values) and not any(is_number(value) or stamps.form_of([value]) for value in values)


def _first_times(lines: Sequence[str], layout: Layout) -> list[str]:
    """Return the times of the first lines that have all their fields."""
    place = layout.columns.index("time")
    rows = (cells_of(line, layout.separator, lower=False) for line in lines[layout.header_lines :][:20])
    return [cells[place] for cells in rows if len(cells) == len(layout.columns)]


def our_names(columns: Mapping[str, str]) -> dict[str, str]:
    """Replace what else `--columns` calls our columns."""
    return {_SAME.get(ours, ours): theirs for ours, theirs in columns.items()}


def mapped_relation(columns: Mapping[str, str]) -> Relation:
    """Tell by our names in `--columns` what a file holds; UsageError when they are not those of ticks or bars."""
    if {"time", "bid", "ask"} <= set(columns) <= set(QUOTE_COLUMNS):
        return Relation.QUOTES
    if {"time", *BAR_PRICES} <= set(columns) <= set(BAR_COLUMNS):
        return Relation.BARS
    for sides in (("bid",), ("ask",), ("bid", "ask")):
        prices = {f"{side}_{name}" for side in sides for name in BAR_PRICES}
        if {"time", *prices} <= set(columns) <= {"time", "symbol", *prices, *(f"{side}_volume" for side in sides)}:
            return Relation.QUOTE_BARS
    if {"day_volume", "volume"} <= set(columns):
        raise UsageError(
            "--columns names day_volume and volume: name day_volume, a running total,"
            " or volume, the size of each trade."
        )
    if {"time", "price"} <= set(columns) <= {*TRADE_COLUMNS, "volume"}:
        return Relation.TRADES
    raise UsageError(
        f"--columns names {', '.join(columns)}: name time, bid and ask (and symbol, bid_volume, ask_volume),"
        " or time and price (and symbol, and day_volume, or volume for the size of each trade),"
        " or time, open, high, low and close (and symbol, volume), or bid_open to bid_close, ask_open to ask_close."
    )


def _form_of(name: str, texts: Sequence[str], *, dates: bool = False) -> TimeForm:
    """Tell how a file writes its times by the first of them; `dates` allows days, which are those of UTC."""
    if dates and texts and read_times(stamps.texts_of(texts), stamps.DATES).valid.mean() > 0.5:
        return stamps.DATES
    if (form := stamps.form_of(texts)) is not None:
        return form
    example = f" such as {texts[0]!r}" if texts else ""
    raise TerminalError(
        f"{name} has no times{example} that can be read: write them as ISO 8601, as DD.MM.YYYY HH:MM:SS.mmm,"
        " as YYYYMMDD HH:MM:SS.mmm with or without its separators,"
        " or as seconds, milliseconds or microseconds since 1970."
    )


def _check_zone(name: str, lines: Sequence[str], layout: Layout) -> None:
    """Refuse times that may be of any zone."""
    if layout.zone is not None:
        return
    texts = _first_times(lines, layout)
    times = read_times(stamps.texts_of(texts), layout.time)
    if times.local.any() and layout.format != "trades":
        raise TerminalError(
            f"{name} has times such as {texts[int(times.local.argmax())]!r} without an offset from UTC:"
            " say which zone's they are with --timezone, such as --timezone Europe/Zurich or --timezone UTC."
        )


def _shown(header: list[str]) -> str:
    text = ",".join(header)[:200]
    return text if text.isprintable() else ascii(text)
