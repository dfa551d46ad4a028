"""The parameters of requests: one table that reads them, refuses invalid ones, and describes them in /openapi.json."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, cast
from zoneinfo import ZoneInfo

from fastapi import Request

from candleworks.candles.periods import parse_period
from candleworks.candles.reads import SIDES, CandleRange, GapRange, Period
from candleworks.times import TIME_FORMS, parse_time
from candleworks.web.security import shown

TIME_FORMATS = ("iso", "sql", "unix")
MAX_LIMIT = 50_000
MAX_SYMBOL_LENGTH = 100
MAX_LENGTH = 100
MAX_STREAM_SYMBOLS = 50
MAX_STREAM_PERIODS = 5

_OFFSET = re.compile(r"[0-9]{2}:?[0-9]{2}")
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)

_Value = TypeVar("_Value")


class BadParameterError(ValueError):
    """A parameter is unknown, missing or invalid; the text says what is expected, and repeats no long name or value."""

    def __init__(self, name: str, value: str | float, allowed: str) -> None:
        seen = shown(value) if isinstance(value, str) else value
        super().__init__(f"The parameter {shown(name)} is {seen!r}, expected {allowed}.")


@dataclass(frozen=True)
class Parameter(Generic[_Value]):
    """A parameter of a query.

    `read` turns its text into a value; ValueError says what is expected. Where it is not given, `default` is read
    instead; without a default its value is None, unless it is `required`. `choices` are all texts that are valid.
    `read` never gets more than `max_length` characters.
    """

    name: str
    read: Callable[[str], _Value]
    description: str
    example: str
    default: str | None = None
    required: bool = False
    choices: tuple[str, ...] = ()
    max_length: int = MAX_LENGTH

    def value(self, text: str | None) -> _Value:
        """Return the value; BadParameterError for an invalid text, or one that is required and missing."""
        text = self.default if text is None else text
        if text is None and not self.required:
            return cast(_Value, None)
        text = text or ""
        if len(text) > self.max_length:
            raise BadParameterError(self.name, text, f"at most {self.max_length} characters")
        try:
            value: _Value = self.read(text)
        except BadParameterError:
            raise
        except ValueError as error:
            raise BadParameterError(self.name, text, str(error)) from None
        return value


class Given:
    """The values of a request's parameters, and their texts."""

    def __init__(self, values: dict[str, Any], texts: dict[str, str]) -> None:
        self._values = values
        self._texts = texts

    def __getitem__(self, parameter: Parameter[_Value]) -> _Value:
        value: _Value = self._values[parameter.name]
        return value

    def text(self, parameter: Parameter[Any]) -> str:
        """Return the parameter as it was written."""
        return self._texts[parameter.name]


class Parameters:
    """All parameters of an endpoint. Depend on it to read them; /openapi.json finds it there."""

    def __init__(self, *parameters: Parameter[Any]) -> None:
        self.parameters = parameters

    async def __call__(self, request: Request) -> Given:
        return self.read(request.query_params.multi_items())

    def read(self, items: Iterable[tuple[str, str]]) -> Given:
        """Read them; BadParameterError for one that is unknown, given twice, missing or invalid."""
        texts: dict[str, str] = {}
        names = [parameter.name for parameter in self.parameters]
        for name, value in items:
            if name not in names:
                raise BadParameterError(name, value, f"one of the parameters {', '.join(names)} instead")
            if name in texts:
                raise BadParameterError(name, f"{texts[name]}, {value}", "one value")
            texts[name] = value
        return Given({p.name: p.value(texts.get(p.name)) for p in self.parameters}, texts)


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """Return a reader of texts of which there are few."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{', '.join(choices[:-1])} or {choices[-1]}")
        return text

    return read


def whole_number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

    return read


def _read_symbol(text: str) -> str:
    if not (text.isprintable() and 0 < len(text) <= MAX_SYMBOL_LENGTH):
        raise ValueError("a symbol that /symbols lists, such as AAPL")
    return text


def _read_time(text: str) -> datetime:
    try:
        time = parse_time(_with_offset(text))
    except ValueError:
        raise ValueError(TIME_FORMS) from None
    if not _EARLIEST <= time < _LATEST:
        raise ValueError("a time from 1900 to 2199")
    return time


def _with_offset(text: str) -> str:
    """Put back the plus sign of an offset, which arrives as a space where it was not escaped in the URL."""
    time, _, offset = text.rpartition(" ")
    return f"{time}+{offset}" if ":" in time and _OFFSET.fullmatch(offset) else text


def _read_zone(text: str) -> str | None:
    try:
        return None if text == "UTC" else ZoneInfo(text).key
    except (ValueError, OSError, KeyError):
        raise ValueError("a time zone of the IANA database, such as America/New_York") from None


def _read_flag(text: str) -> bool:
    return one_of(("0", "1"))(text) == "1"


SYMBOL: Parameter[str] = Parameter("symbol", _read_symbol, "As listed by /symbols.", "AAPL", required=True)
PERIOD: Parameter[Period] = Parameter(
    "period",
    parse_period,
    "A number and s (up to 59), m, h, d, w or mo; up to 10 years.",
    "5m",
    default="1m",
)
_TIME = "A date or time of ISO 8601, in UTC unless it has an offset, or seconds since 1970."
FROM: Parameter[datetime | None] = Parameter("from", _read_time, f"Start of the range. {_TIME}", "2026-03-02")
TO: Parameter[datetime | None] = Parameter(
    "to", _read_time, f"End of the range, which does not belong to it. {_TIME}", "2026-03-03T00:00:00Z"
)
PRICE: Parameter[str | None] = Parameter(
    "price",
    one_of(SIDES),
    "Side of the price; by default trade, or bid for a symbol that has only quotes.",
    "trade",
    choices=SIDES,
)
LIMIT: Parameter[int] = Parameter(
    "limit",
    whole_number(1, MAX_LIMIT),
    f"The newest so many of the range, from 1 to {MAX_LIMIT}; older ones are on the next page.",
    "100",
    default="500",
)
ZONE: Parameter[str | None] = Parameter(
    "zone",
    _read_zone,
    "Time zone in which days and longer periods begin, such as America/New_York; by default UTC.",
    "America/New_York",
)
TIME_FORMAT: Parameter[str] = Parameter(
    "time_format",
    one_of(TIME_FORMATS),
    "Times as 2026-11-20T14:30:00Z (iso), 2026-11-20 14:30:00 (sql) or seconds since 1970 (unix).",
    "sql",
    default="iso",
    choices=TIME_FORMATS,
)
CLOSED: Parameter[bool] = Parameter(
    "closed",
    _read_flag,
    "1 adds a last column that says whether the candle is closed.",
    "1",
    default="0",
    choices=("0", "1"),
)


def _values(name: str, text: str, most: int) -> tuple[str, ...]:
    """Read values that commas separate; repeated ones count once."""
    values = tuple(dict.fromkeys(filter(None, text.split(","))))
    if len(values) > most:
        raise BadParameterError(name, f"{len(values)} values", f"at most {most}")
    return values


def _read_symbols(text: str) -> tuple[str, ...]:
    symbols = _values("symbols", text, MAX_STREAM_SYMBOLS)
    return tuple(SYMBOL.value(symbol) for symbol in symbols)


def _read_periods(text: str) -> tuple[Period, ...]:
    found = []
    for value in _values("periods", text, MAX_STREAM_PERIODS):
        try:
            found.append(parse_period(value))
        except ValueError as error:
            raise BadParameterError("periods", value, str(error)) from None
    return tuple(found)


def _position(expected: str) -> Callable[[str], int | None]:
    """Return a reader of numbers that only grow, where an empty text is none."""

    def read(text: str) -> int | None:
        if text and not re.fullmatch(r"[0-9]{1,18}", text):
            raise ValueError(expected)
        return int(text) if text else None

    return read


SYMBOLS: Parameter[tuple[str, ...]] = Parameter(
    "symbols",
    _read_symbols,
    f"Symbols that /symbols lists, at most {MAX_STREAM_SYMBOLS}, separated by commas.",
    "AAPL",
    default="",
    max_length=MAX_STREAM_SYMBOLS * (MAX_SYMBOL_LENGTH + 1),
)
PERIODS: Parameter[tuple[Period, ...]] = Parameter(
    "periods",
    _read_periods,
    f"Periods of the candles that are sent, at most {MAX_STREAM_PERIODS}, separated by commas.",
    "1s,1m",
    default="",
)
TICKS: Parameter[bool] = Parameter("ticks", _read_flag, "1 sends every tick.", "1", default="0", choices=("0", "1"))
LAST_EVENT_ID: Parameter[int | None] = Parameter(
    "last_event_id",
    _position("the id of an event of the stream"),
    "For clients that cannot set the header Last-Event-ID.",
    "7",
)
PRICES: Parameter[int | None] = Parameter(
    "prices",
    _position("the version of an earlier event, or 0"),
    "Sends what changes of /watchlist.json since this version, 0 for everything.",
    "0",
)

CANDLES = Parameters(SYMBOL, PERIOD, FROM, TO, PRICE, LIMIT, ZONE)
CSV_CANDLES = Parameters(*CANDLES.parameters, TIME_FORMAT, CLOSED)
GAPS = Parameters(SYMBOL, FROM, TO, LIMIT)
STREAM = Parameters(SYMBOLS, PERIODS, PRICE, TICKS, PRICES, LAST_EVENT_ID)


@dataclass(frozen=True)
class StreamRequest:
    """What a client of the stream asks for; `price` is None for each symbol's default side.

    `prices` is the version of the watch list that it has; None: it does not follow the list.
    """

    symbols: tuple[str, ...]
    periods: tuple[Period, ...]
    price: str | None
    ticks: bool
    prices: int | None
    since: int | None


def read_stream(given: Given, last_event_id: str | None) -> StreamRequest:
    """Return what is streamed; the header of a client that comes back wins over its parameter."""
    if not given[SYMBOLS] and given[PRICES] is None:
        raise BadParameterError("symbols", "", "symbols that /symbols lists, such as AAPL,BTC/USD")
    if given[SYMBOLS] and not given[PERIODS] and not given[TICKS]:
        raise BadParameterError("periods", "", "periods such as 1s,1m, or the parameter ticks=1")
    since = given[LAST_EVENT_ID] if last_event_id is None else LAST_EVENT_ID.value(last_event_id)
    return StreamRequest(given[SYMBOLS], given[PERIODS], given[PRICE], given[TICKS], given[PRICES], since)


def read_range(given: Given, usual_side: Callable[[str], str]) -> CandleRange:
    """Return the range of a candle feed; `usual_side` returns the default price side of a symbol."""
    start, stop = _bounds(given)
    symbol, side = given[SYMBOL], given[PRICE]
    return CandleRange(symbol, given[PERIOD], side or usual_side(symbol), start, stop, given[LIMIT], given[ZONE])


def read_gap_range(given: Given) -> GapRange:
    """Return the range of the list of gaps."""
    return GapRange(given[SYMBOL], *_bounds(given), given[LIMIT])


def _bounds(given: Given) -> tuple[datetime | None, datetime | None]:
    start, stop = given[FROM], given[TO]
    if start and stop and start >= stop:
        allowed = f"a time before the parameter to, which is {given.text(TO)}"
        raise BadParameterError("from", given.text(FROM), allowed)
    return start, stop
