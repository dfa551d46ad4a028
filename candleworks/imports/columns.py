"""Guesses the columns of an unknown table by the names in its header and by its first rows."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from candleworks.imports.reading import BAR_PRICES, QUOTE_BAR_PRICES
from candleworks.imports.times import form_of, read_times, texts_of
from candleworks.model.bars import follows_ohlc_order
from candleworks.model.tick_validation import EARLIEST_US

SAMPLE_ROWS = 50
_LATEST_US = 4_102_444_800_000_000  # 2100: a number that would be a later time is an identifier
# Names of times in headers of bars, without the characters between words.
BAR_TIMES = ("timestamp", "time", "datetime", "date", "opentime", "gmttime", "localtime", "bucket", "ts", "dt", "t")
# Names of our columns in headers, without the characters between words; the first that a header has is taken.
_NAMES = {
    "time": (
        *("timestamp", "time", "datetime", "date", "ts", "dt", "gmttime", "localtime", "timeutc", "utctime"),
        *("timestamputc", "datetimeutc", "tradetime", "transacttime", "eventtime", "opentime", "unix", "epoch", "t"),
    ),
    "symbol": ("symbol", "ticker", "instrument", "pair", "sym", "ric"),
    "price": ("price", "last", "lastprice", "tradeprice", "px", "rate", "p"),
    "day_volume": ("dayvolume", "cumulativevolume", "totalvolume"),
    "volume": ("size", "qty", "quantity", "amount", "volume", "vol", "tradesize", "lastsize", "lastqty", "q", "v"),
    "bid": ("bid", "bidprice", "bestbid", "bestbidprice", "sell", "b"),
    "ask": ("ask", "askprice", "offer", "offerprice", "bestask", "bestaskprice", "bestoffer", "buy", "a"),
    "bid_volume": ("bidvolume", "bidsize", "bidqty", "bidamount", "bidvol"),
    "ask_volume": ("askvolume", "asksize", "askqty", "askamount", "askvol", "offersize"),
}
_SETS = (  # required and optional columns
    (("time", "price", "day_volume"), ("symbol",)),
    (("time", "price"), ("symbol", "volume")),
    (("time", "bid", "ask"), ("symbol", "bid_volume", "ask_volume")),
)
_SYMBOL = re.compile(r"[A-Z][A-Z0-9./:_-]{2,31}")
_NOT_SYMBOLS = {"BUY", "SELL", "TRUE", "FALSE", "BID", "ASK", "NULL", "NONE"}


@dataclass(frozen=True)
class Guess:
    """`columns` maps our names to those of the header, as it spells them, or to numbers from 1 without a header.

    `local`: the times have no offset from UTC.
    """

    columns: Mapping[str, str]
    local: bool


def guess_columns(lines: Sequence[str]) -> Guess | None:
    """Return the most likely columns of a table of ticks; None when it does not look like one."""
    separator = max(",;\t", key=lines[0].count)
    table = [cells_of(line, separator, lower=False) for line in lines[: SAMPLE_ROWS + 1] if line.strip()]
    first = table[0] if table else []
    named = bool(first) and not any(is_number(cell) or form_of([cell]) for cell in first)
    rows = [cells for cells in table[named:] if len(cells) == len(first)]
    if len(first) < 2 or not rows:
        return None
    columns = list(zip(*rows, strict=True))
    places = (_by_names(first, columns) if named else None) or _by_content(columns)
    if places is None:
        return None
    times = columns[places["time"]]
    form = form_of(times)
    if form is None:
        return None
    local = bool(read_times(texts_of(times), form).local.any())
    usable = named and all(_can_be_named(first, place) for place in places.values())
    return Guess({ours: first[place] if usable else str(place + 1) for ours, place in places.items()}, local)


def cells_of(line: str, separator: str, *, lower: bool = True) -> list[str]:
    """Split a line, whose cells may be quoted."""
    cells = next(csv.reader([line.strip().replace("\r", " ")], delimiter=separator), [])
    return [cell.strip().lower() if lower else cell.strip() for cell in cells]


def is_number(text: str) -> bool:
    """Whether a cell is a number; nan and inf are not."""
    try:
        float(text)
    except ValueError:
        return False
    return any(letter.isdigit() for letter in text)


def bar_columns(header: Sequence[str]) -> tuple[str | None, ...] | None:
    """Return our names of the columns of a file of bars, None for unused ones; None when it does not contain bars."""
    plain = [re.sub(r"[^a-z0-9]", "", each) for each in header]
    times = [each for each in plain if each in BAR_TIMES]
    prices = [set(BAR_PRICES) <= set(plain), set(QUOTE_BAR_PRICES) <= {_joined(each) for each in header}]
    if not times or not any(prices):
        return None
    ours = {times[0]: "time", "symbol": "symbol", "ticker": "symbol", "vol": "volume", "volume": "volume"}
    ours |= {each: each for each in BAR_PRICES}
    if not prices[0]:
        named_by_side = (*QUOTE_BAR_PRICES, "bid_volume", "ask_volume")
        ours = {times[0]: "time", "symbol": "symbol", **{each.replace("_", ""): each for each in named_by_side}}
    fields = tuple(ours.get(each) for each in plain)
    named = [field for field in fields if field]
    return fields if len(set(named)) == len(named) else None


def _joined(name: str) -> str:
    """Return bid_open for a header's Bid Open or bidOpen, already in lower case."""
    plain = re.sub(r"[^a-z0-9]", "", name)
    return f"{plain[:3]}_{plain[3:]}"


def _can_be_named(header: Sequence[str], place: int) -> bool:
    """Whether `--columns` can name the column, and its name is unique."""
    name = header[place]
    plain = bool(name) and name.isprintable() and not name.isdecimal() and not set(name) & {",", "="}
    return plain and [each.lower() for each in header].count(name.lower()) == 1


def _by_names(header: Sequence[str], columns: Sequence[Sequence[str]]) -> dict[str, int] | None:
    plain = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in header]
    found: dict[str, int] = {}
    for ours, names in _NAMES.items():
        places = [plain.index(name) for name in names if name in plain]
        fitting = [place for place in places if _fits(ours, columns[place])]
        if fitting:
            found[ours] = fitting[0]
    for required, optional in _SETS:
        if set(required) <= set(found):
            return {ours: found[ours] for ours in (*required, *optional) if ours in found}
    return None


def _fits(ours: str, texts: Sequence[str]) -> bool:
    if ours == "time":
        return _is_time(texts)
    return ours == "symbol" or all(is_number(text) or not text for text in texts)


def _by_content(columns: Sequence[Sequence[str]]) -> dict[str, int] | None:
    times = [place for place, texts in enumerate(columns) if _is_time(texts)]
    if not times:
        return None
    # The longest, because an identifier may have as many digits as seconds since 1970.
    time = max(times, key=lambda place: len(columns[place][0]))
    found = {"time": time}
    symbols = [place for place, texts in enumerate(columns) if all(map(_is_symbol, texts))]
    if symbols:
        found["symbol"] = symbols[0]
    numbers = [
        place
        for place, texts in enumerate(columns)
        if place != time and all(map(is_number, texts)) and not _is_identifier(texts)
    ]
    return found | _prices_among(columns, numbers) if numbers else None


def _prices_among(columns: Sequence[Sequence[str]], numbers: Sequence[int]) -> dict[str, int]:
    """Take two neighbours within one percent for bid and ask, else the first for a price, the next for its size."""
    if len(numbers) == 1:
        return {"price": numbers[0]}
    if len(numbers) >= len(BAR_PRICES) and _are_bars([columns[place] for place in numbers[: len(BAR_PRICES)]]):
        return dict(zip((*BAR_PRICES, "volume"), numbers, strict=False))
    one, other = ([float(text) for text in columns[place]] for place in numbers[:2])
    near = all(abs(a - b) <= 0.01 * max(a, b) for a, b in zip(one, other, strict=True))
    if near and all(a <= b for a, b in zip(one, other, strict=True)):
        return {"bid": numbers[0], "ask": numbers[1]}
    if near and all(a >= b for a, b in zip(one, other, strict=True)):
        return {"bid": numbers[1], "ask": numbers[0]}
    return {"price": numbers[0], "volume": numbers[1]}


def _are_bars(prices: Sequence[Sequence[str]]) -> bool:
    """Whether four columns can be open, high, low and close in every row."""
    rows = ([float(text) for text in row] for row in zip(*prices, strict=True))
    return all(follows_ohlc_order(*row) for row in rows)


def _is_time(texts: Sequence[str]) -> bool:
    form = form_of(texts)
    if form is None:
        return False
    us = read_times(texts_of(texts), form).us
    return bool((us >= EARLIEST_US).all() and (us < _LATEST_US).all())


def _is_symbol(text: str) -> bool:
    return bool(_SYMBOL.fullmatch(text)) and text.upper() not in _NOT_SYMBOLS


def _is_identifier(texts: Sequence[str]) -> bool:
    """Whether a column counts up in integers."""
    return len(texts) > 1 and all(map(str.isdecimal, texts)) and all(int(a) < int(b) for a, b in pairwise(texts))
