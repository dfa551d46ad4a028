"""Reads the parameters of requests; invalid ones are answered with what is expected."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from candleworks.candles.reads import SIDES, CandleRange, GapRange, Period
from candleworks.times import TIME_FORMS, parse_time

CANDLE_NAMES = ("symbol", "period", "from", "to", "price", "limit", "zone")
GAP_NAMES = ("symbol", "from", "to", "limit")
STREAM_NAMES = ("symbols", "periods", "price", "ticks", "prices", "last_event_id")
TIME_FORMAT = "time_format"
CLOSED = "closed"
TIME_FORMATS = ("iso", "sql", "unix")
DEFAULT_PERIOD = "1m"
DEFAULT_LIMIT = 500
MAX_LIMIT = 50_000
MAX_SYMBOL_LENGTH = 100
MAX_STREAM_SYMBOLS = 50
MAX_STREAM_PERIODS = 5
MAX_PERIOD_SECONDS = 3_660 * 86_400
MAX_PERIOD_MONTHS = 120

_PERIOD_ALLOWED = (
    "a number and a unit of s (up to 59), m, h, d, w or mo, such as 5s, 1m, 90m, 1h, 1d, 1w or 1mo, up to 10 years"
)
_PERIOD = re.compile(
    r"(?P<count>[0-9]{1,7}) ?(?:(?P<second>s|sec|seconds?)|(?P<minute>m|min|minutes?)|(?P<hour>h|hours?)"
    r"|(?P<day>d|days?)|(?P<week>w|weeks?)|(?P<month>mo|months?))"
)
_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_MAX_COUNT = {"second": 59, "month": MAX_PERIOD_MONTHS}
_SHORT = {"second": "s", "minute": "m", "hour": "h", "day": "d", "week": "w", "month": "mo"}
# A plus sign that was not escaped in the URL arrives as a space.
_UNESCAPED_OFFSET = re.compile(r"(:.*) ([0-9]{2}:?[0-9]{2})$")
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


class BadParameterError(ValueError):
    """A parameter is unknown, missing or invalid; the text says what is expected."""

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(f"The parameter {name} is {value!r}, expected {allowed}.")


def read_range(
    items: Iterable[tuple[str, str]], usual_side: Callable[[str], str], others: tuple[str, ...] = ()
) -> CandleRange:
    """Read the parameters of a candle feed, filling in the defaults: period 1m, limit 500, no bounds, UTC.

    `usual_side` returns the default price side of a symbol; `others` are further parameters that are allowed.
    """
    given = _once_each(items, CANDLE_NAMES + others)
    symbol = _read_symbol(given)
    period = read_period(given.get("period", DEFAULT_PERIOD))
    start, stop = _read_bounds(given)
    side = _one_of(SIDES, "price", given)
    limit = _read_limit(given)
    return CandleRange(symbol, period, side or usual_side(symbol), start, stop, limit, _read_zone(given))


def read_gap_range(items: Iterable[tuple[str, str]]) -> GapRange:
    """Read the parameters of the list of gaps, with the same defaults."""
    given = _once_each(items, GAP_NAMES)
    return GapRange(_read_symbol(given), *_read_bounds(given), _read_limit(given))


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


def read_stream(items: Iterable[tuple[str, str]], last_event_id: str | None) -> StreamRequest:
    """Read the parameters of a stream; the header of a client that comes back wins over its parameter."""
    given = _once_each(items, STREAM_NAMES)
    symbols = _read_list("symbols", given, MAX_STREAM_SYMBOLS)
    periods = tuple(read_period(text, "periods") for text in _read_list("periods", given, MAX_STREAM_PERIODS))
    ticks = read_flag("ticks", given)
    prices = _read_number("prices", given.get("prices"), "the version of an earlier event, or 0")
    if not symbols and prices is None:
        raise BadParameterError(
            "symbols", given.get("symbols", ""), "symbols that /symbols lists, such as AAPL,BTC/USD"
        )
    for symbol in symbols:
        _read_symbol({"symbol": symbol})
    if symbols and not periods and not ticks:
        raise BadParameterError("periods", given.get("periods", ""), "periods such as 1s,1m, or the parameter ticks=1")
    since = last_event_id if last_event_id is not None else given.get("last_event_id")
    position = _read_number("last_event_id", since, "the id of an event of the stream")
    return StreamRequest(symbols, periods, _one_of(SIDES, "price", given), ticks, prices, position)


def _read_list(name: str, given: Mapping[str, str], most: int) -> tuple[str, ...]:
    """Read values that commas separate; repeated ones count once."""
    values = tuple(dict.fromkeys(filter(None, given.get(name, "").split(","))))
    if len(values) > most:
        raise BadParameterError(name, f"{len(values)} values", f"at most {most}")
    return values


def _read_number(name: str, text: str | None, expected: str) -> int | None:
    if text is None or text == "":
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise BadParameterError(name, text[:MAX_SYMBOL_LENGTH], expected)
    return int(text)


def read_time_format(given: Mapping[str, str]) -> str:
    """Read the format of times: iso (the default), sql or unix."""
    return _one_of(TIME_FORMATS, TIME_FORMAT, given) or TIME_FORMATS[0]


def read_period(text: str, name: str = "period") -> Period:
    """Read `5s`, `90m`, `1 hour`, `1day`, `1mo` and the like."""
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise BadParameterError(name, text, _PERIOD_ALLOWED)
    unit = str(match.lastgroup)
    count = int(match["count"])
    short = f"{count}{_SHORT[unit]}"
    period = Period(short, months=count) if unit == "month" else Period(short, seconds=count * _SECONDS[unit])
    if not 0 < count <= _MAX_COUNT.get(unit, count) or period.seconds > MAX_PERIOD_SECONDS:
        raise BadParameterError(name, text, _PERIOD_ALLOWED)
    return period


def _once_each(items: Iterable[tuple[str, str]], names: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in items:
        if name not in names:
            raise BadParameterError(name, value, f"one of the parameters {', '.join(names)} instead")
        if name in given:
            raise BadParameterError(name, f"{given[name]}, {value}", "one value")
        given[name] = value
    return given


def _read_symbol(given: Mapping[str, str]) -> str:
    symbol = given.get("symbol", "")
    if not (symbol.isprintable() and 0 < len(symbol) <= MAX_SYMBOL_LENGTH):
        raise BadParameterError("symbol", symbol[:MAX_SYMBOL_LENGTH], "a symbol that /symbols lists, such as AAPL")
    return symbol


def _read_bounds(given: Mapping[str, str]) -> tuple[datetime | None, datetime | None]:
    start, stop = _read_time("from", given), _read_time("to", given)
    if start and stop and start >= stop:
        raise BadParameterError("from", given["from"], f"a time before the parameter to, which is {given['to']}")
    return start, stop


def _read_time(name: str, given: Mapping[str, str]) -> datetime | None:
    text = given.get(name)
    if text is None:
        return None
    try:
        time = parse_time(_UNESCAPED_OFFSET.sub(r"\1+\2", text))
    except ValueError:
        raise BadParameterError(name, text, TIME_FORMS) from None
    if not _EARLIEST <= time < _LATEST:
        raise BadParameterError(name, text, "a time from 1900 to 2199")
    return time


def _read_zone(given: Mapping[str, str]) -> str | None:
    name = given.get("zone")
    if name is None or name == "UTC":
        return None
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError, KeyError):
        raise BadParameterError("zone", name, "a time zone of the IANA database, such as America/New_York") from None


def read_flag(name: str, given: Mapping[str, str]) -> bool:
    """Read a switch, which is off where it is not given."""
    return _one_of(("0", "1"), name, given) == "1"


def _one_of(allowed: tuple[str, ...], name: str, given: Mapping[str, str]) -> str | None:
    value = given.get(name)
    if value is not None and value not in allowed:
        raise BadParameterError(name, value, f"{', '.join(allowed[:-1])} or {allowed[-1]}")
    return value


def _read_limit(given: Mapping[str, str]) -> int:
    text = given.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise BadParameterError("limit", text, f"a whole number from 1 to {MAX_LIMIT}")
    return int(text)
