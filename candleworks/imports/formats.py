"""The formats of text files, recognised by header and first rows, and the meaning of their columns."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from candleworks.errors import TerminalError
from candleworks.imports import times
from candleworks.imports.columns import Guess, bar_columns, cells_of, guess_columns, is_number
from candleworks.imports.company_csv import is_companies
from candleworks.imports.reading import (
    BAR_PRICES,
    OPTIONAL,
    QUOTE_COLUMNS,
    REQUIRED,
    TRADE_COLUMNS,
    Reading,
    RowType,
    mapped_row_type,
    our_names,
)
from candleworks.imports.times import TimeForm, read_times

_TRUEFX = re.compile(r"[A-Z0-9]{3,6}/[A-Z]{3},\d{8} \d\d:\d\d:\d\d\.\d{3},[0-9.]+,[0-9.]+")
_DUKASCOPY = {"ask": "ask", "bid": "bid", "askvolume": "ask_volume", "bidvolume": "bid_volume"}
_DUKASCOPY_NODE = {
    "timestamp": "time",
    "askprice": "ask",
    "bidprice": "bid",
    "askvolume": "ask_volume",
    "bidvolume": "bid_volume",
}


# The columns of our own tables.


@dataclass(frozen=True)
class TextLayout:
    """How to read the lines of a text: our name of each field, None for unused ones.

    `symbol` is the symbol of all lines where no column has it, else the only one that is wanted; `zone` is the zone of
    times without an offset from UTC; `interval_us` is the length of bars, None until it is known.
    """

    format: str
    row_type: RowType
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
        """Whether the lines have all columns of our own table, whose values and microseconds are kept unchanged."""
        return self.format == "exported"


def text_layout(name: str, head: bytes, reading: Reading) -> TextLayout:
    """Return the layout of the text that begins with `head`; TerminalError when its format is unknown."""
    lines = [line.rstrip("\r") for line in head.decode(errors="replace").split("\n")]
    mapped = reading.columns is not None
    layout = _mapped(name, lines, reading.columns or {}) if mapped else _recognised(name, lines, reading)
    layout = replace(layout, symbol=reading.symbol, zone=reading.timezone, digits=reading.digits)
    if layout.row_type is RowType.COMPANIES:
        return layout
    if layout.row_type is RowType.BARS and (side := side_of(name)) is not None:
        layout = _of_side(layout, side)
    if layout.row_type.is_bars:
        layout = replace(layout, time=_form_of(name, _first_times(lines, layout), dates=True))
    if layout.zone is not None and layout.time is times.ISO:
        layout = replace(layout, time=times.LOCAL_ISO)
    if "symbol" not in layout.columns and layout.symbol is None:
        layout = replace(layout, symbol=symbol_of(name))
    _check_zone(name, lines, layout)
    return layout


def _recognised(name: str, lines: Sequence[str], reading: Reading) -> TextLayout:
    for separator in ",;\t":
        header = cells_of(lines[0], separator)
        for layout in _candidates(header, lines[0]):
            if reading.format in (None, layout.format):
                return replace(layout, separator=separator)
    expected = f"the format {reading.format}" if reading.format else "a known format"
    unknown = f"{name} has the columns {_shown(cells_of(lines[0], ','))}, which is not {expected}:"
    if reading.format is None and (guess := guess_columns(lines)) is not None:
        raise TerminalError(f"{unknown} {_proposed(name, guess, reading)}")
    raise TerminalError(
        f"{unknown} expected time,symbol,price,day_volume or symbol,name or time,symbol,bid,ask or the columns of"
        " Dukascopy, dukascopy-node or TrueFX; name other columns with --columns time=...,bid=...,ask=..."
    )


def _proposed(name: str, guess: Guess, reading: Reading) -> str:
    """Return the options with which the file can be read, ready to be copied."""
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
    return (
        f"try {shlex.join(options)}{advice}; docs/reference/import-formats.md lists the formats that need no options."
    )


def _candidates(header: list[str], line: str) -> list[TextLayout]:
    compact = [name.replace(" ", "").replace("_", "") for name in header]
    found = []
    if len(set(header)) == len(header):
        if (bars := bar_columns(header)) is not None:
            row_type = RowType.BARS if "open" in bars else RowType.QUOTE_BARS
            return [TextLayout("bars", row_type, bars, times.LOCAL_ISO)]
        if is_companies(header) and "," in line:
            found.append(TextLayout("companies", RowType.COMPANIES, tuple(header), times.ISO))
        if {"time", "symbol", "price"} <= set(header) <= set(TRADE_COLUMNS):
            found.append(TextLayout("trades", RowType.TRADES, tuple(header), times.ISO))
        exported = [own for own, names in REQUIRED.items() if set(header) == {*names, *OPTIONAL[own]}]
        found += [TextLayout("exported", own, tuple(header), times.ISO) for own in exported]
        if {"time", "bid", "ask"} <= set(header) <= set(QUOTE_COLUMNS):
            found.append(TextLayout("quotes", RowType.QUOTES, tuple(header), times.LOCAL_ISO))
        if compact[:1] in (["localtime"], ["gmttime"]) and {"ask", "bid"} <= set(compact[1:]) <= set(_DUKASCOPY):
            form = times.DOTTED if compact[0] == "localtime" else times.DOTTED_UTC
            columns = ("time", *(_DUKASCOPY[each] for each in compact[1:]))
            found.append(TextLayout("dukascopy", RowType.QUOTES, columns, form))
        if {"timestamp", "askprice", "bidprice"} <= set(compact) <= set(_DUKASCOPY_NODE):
            columns = tuple(_DUKASCOPY_NODE[each] for each in compact)
            found.append(TextLayout("dukascopy-node", RowType.QUOTES, columns, times.EPOCH_MS))
    if _TRUEFX.fullmatch(line):
        columns = ("symbol", "time", "bid", "ask")
        found.append(TextLayout("truefx", RowType.QUOTES, columns, times.COMPACT_UTC, header_lines=0))
    return found


def _of_side(layout: TextLayout, side: str) -> TextLayout:
    """Make the prices and the volume of bars those of bid or ask."""
    ours = {name: f"{side}_{name}" for name in (*BAR_PRICES, "volume")}
    columns = tuple(field and ours.get(field, field) for field in layout.columns)
    return replace(layout, row_type=RowType.QUOTE_BARS, columns=columns)


def _mapped(name: str, lines: Sequence[str], columns: Mapping[str, str]) -> TextLayout:
    """Apply `--columns`: by the header's names, or by numbers for a file without a header."""
    columns = our_names(columns)
    row_type = mapped_row_type(columns)
    separator = max(",;\t", key=lines[0].count)
    header = cells_of(lines[0], separator)
    if not row_type.is_bars and bar_columns(header) is not None:
        raise TerminalError(f"{name} has open, high, low and close, so it contains bars: map bars, not ticks.")
    numbered = all(value.isdecimal() for value in columns.values())
    wanted = {value.strip().lower(): ours for ours, value in columns.items()}
    if numbered:
        fields = tuple(wanted.get(str(number)) for number in range(1, len(header) + 1))
    else:
        fields = tuple(wanted.get(each) for each in header)
    missing = [value for value, ours in wanted.items() if ours not in fields]
    if missing or len([field for field in fields if field]) != len(wanted):
        raise TerminalError(
            f"{name} has the columns {_shown(header)}:"
            f" {'there is no ' + ', '.join(missing) if missing else 'one appears twice'}, which --columns names."
        )
    bare = numbered and not _is_header(header, fields)
    layout = TextLayout("columns", row_type, fields, times.LOCAL_ISO, 0 if bare else 1, separator)
    if row_type.is_bars:
        return layout
    return replace(layout, time=_form_of(name, _first_times(lines, layout)))


def _is_header(cells: Sequence[str], fields: Sequence[str | None]) -> bool:
    """Whether the first line is a header although columns are mapped by numbers: no mapped cell is a time or number."""
    values = [cell for cell, field in zip(cells, fields, strict=True) if field not in (None, "symbol")]
    return all(values) and not any(is_number(value) or times.form_of([value]) for value in values)


def _first_times(lines: Sequence[str], layout: TextLayout) -> list[str]:
    """Return the times of the first lines that have all their fields."""
    place = layout.columns.index("time")
    rows = (cells_of(line, layout.separator, lower=False) for line in lines[layout.header_lines :][:20])
    return [cells[place] for cells in rows if len(cells) == len(layout.columns)]


def _form_of(name: str, texts: Sequence[str], *, dates: bool = False) -> TimeForm:
    """Return the format of a file's times by the first of them; `dates` allows dates, which are days in UTC."""
    if dates and texts and read_times(times.texts_of(texts), times.DATES).valid.mean() > 0.5:
        return times.DATES
    if (form := times.form_of(texts)) is not None:
        return form
    example = f" such as {texts[0]!r}" if texts else ""
    raise TerminalError(
        f"{name} has times{example} in an unknown format: write them as ISO 8601, as DD.MM.YYYY HH:MM:SS.mmm,"
        " as YYYYMMDD HH:MM:SS.mmm with or without its separators,"
        " or as seconds, milliseconds or microseconds since 1970."
    )


def _check_zone(name: str, lines: Sequence[str], layout: TextLayout) -> None:
    """Raise TerminalError for local times without a zone."""
    if layout.zone is not None:
        return
    texts = _first_times(lines, layout)
    first = read_times(times.texts_of(texts), layout.time)
    if first.local.any() and layout.format != "trades":
        raise TerminalError(
            f"{name} has times such as {texts[int(first.local.argmax())]!r} without an offset from UTC:"
            " name their zone with --timezone, such as --timezone Europe/Zurich or --timezone UTC."
        )


def _shown(header: list[str]) -> str:
    text = ",".join(header)[:200]
    return text if text.isprintable() else ascii(text)


# Names such as eurusd-m1-bid-2020-01-01-2020-01-02.csv and EURUSD_Candlestick_1_M_BID_01.01.2020-31.01.2020.csv.
_NAMED_BARS = re.compile(
    r"([a-z0-9.]{2,28})([a-z]{3})[_-](?:candlestick[_-]\d+[_-][a-z]+|[mhd]\d+)[_-](bid|ask)(?:[_.-]|$)", re.IGNORECASE
)
# Names such as EURUSD_Ticks_08.11.2016-08.11.2016.csv, USA500.IDXUSD_Ticks_..., eurusd-tick-2016-11-08.csv.
_NAMED_TICKS = re.compile(r"([a-z0-9.]{2,28})([a-z]{3})[_-]ticks?(?:[_.-]|$)", re.IGNORECASE)
_NAMED_PAIR = re.compile(r"([A-Z]{3})(USD|EUR|GBP|JPY|CHF|AUD|NZD|CAD|HKD|SGD|NOK|SEK|CNH|MXN|ZAR|TRY)(?:[_. -]|$)")
_NAMED_SYMBOL = re.compile(r"([A-Z][A-Z0-9.]{1,19})-")
_PAIR_INSIDE = re.compile(rf"(?:^|[_. -])(?={_NAMED_PAIR.pattern})")


def symbol_of(name: str) -> str:
    """Return the symbol in a file's name; TerminalError when there is none."""
    if (symbol := _pair_of(name)) is None:
        raise TerminalError(f"{name} has no symbol in its name: name it with an option such as --symbol EUR/USD.")
    return symbol


def _pair_of(name: str) -> str | None:
    stem = Path(name).name
    found = _NAMED_BARS.match(stem) or _NAMED_TICKS.match(stem) or _NAMED_PAIR.match(stem)
    return f"{found[1]}/{found[2]}".upper() if found else None


def likely_symbol(name: str) -> str | None:
    """Return the likely symbol in BTCUSDT-trades-2024.csv or DAT_ASCII_EURUSD_T_202001.csv, None: there is none."""
    stem = Path(name).name
    if found := _PAIR_INSIDE.search(stem):
        return _pair_of(stem[found.end() :])
    found = _NAMED_SYMBOL.match(stem)
    return _pair_of(name) or (found[1] if found else None)


def side_of(name: str) -> str | None:
    """Return bid or ask for a file of bars named as by Dukascopy or dukascopy-node, None for other names."""
    found = _NAMED_BARS.match(Path(name).name)
    return found[3].lower() if found else None
