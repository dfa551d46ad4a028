"""The vendor's `time_series`: bars of one symbol for a client's request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from candleworks.simulate.bars import MINUTE, Bars, bucket_starts
from candleworks.simulate.catalogue import FOREX, STOCK, SimulatedInstrument, day_end
from candleworks.simulate.market import SECOND_US, Market

INTERVAL_MINUTES: Final = {
    "1min": 1,
    "5min": 5,
    "15min": 15,
    "30min": 30,
    "1h": 60,
    "2h": 120,
    "4h": 240,
    "1day": 1440,
}
DEFAULT_OUTPUTSIZE: Final = 30
MAX_OUTPUTSIZE: Final = 5000

_HOUR_SECONDS: Final = 3_600  # no zone changes its clock within an hour
_PRICES: Final = ("open", "high", "low", "close")

NO_SYMBOL: Final = (
    "**symbol** or **figi** parameter is missing or invalid. Please provide a valid symbol according to API "
    "documentation: https://twelvedata.com/docs#reference-data"
)
_NO_DATA = "No data is available on the specified dates. Try setting different start/end dates."


class VendorError(Exception):
    """An error in the vendor's words; it becomes the HTTP status and the body."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def body(self) -> dict[str, Any]:
        return {"code": self.code, "message": str(self), "status": "error"}


def time_series(market: Market, symbol: str, query: Mapping[str, str], now_us: int) -> dict[str, Any]:
    catalogue = market.catalogue
    row = catalogue.find(
        symbol,
        exchange=query.get("exchange", ""),
        mic_code=query.get("mic_code", ""),
        type_name=query.get("type", ""),
    )
    if row is None:
        raise VendorError(HTTPStatus.NOT_FOUND, NO_SYMBOL)
    instrument = catalogue.instruments[row]
    asked = SeriesRequest.from_query(query, instrument)
    bars = _bars(market, row, asked, now_us)
    if not len(bars):
        raise VendorError(HTTPStatus.BAD_REQUEST, _NO_DATA)
    values = _values(bars, instrument, asked)
    return {
        "meta": _meta(instrument, asked.interval),
        "values": values if asked.ascending else values[::-1],
        "status": "ok",
    }


def _bars(market: Market, row: int, asked: "SeriesRequest", now_us: int) -> Bars:
    """Return the latest bars of the request that start within its range."""
    instrument = market.catalogue.instruments[row]
    last = now_us // SECOND_US if asked.end is None else min(asked.end, now_us // SECOND_US)
    end = _bucket_end(instrument, last, asked.width_minutes)
    earliest = max(asked.start or 0, market.history_start(now_us))
    span = (asked.outputsize + 1) * asked.width_minutes * MINUTE
    while True:
        first = _bucket_start(instrument, max(earliest, end - span), asked.width_minutes)
        minutes = market.minute_bars(row, first, end, now_us)
        bars = minutes.grouped(bucket_starts(instrument, minutes.starts, asked.width_minutes))
        from_, to = np.searchsorted(bars.starts, [asked.start or 0, last + 1]).tolist()
        if to - from_ >= asked.outputsize or first <= earliest:
            return bars[max(from_, to - asked.outputsize) : to]
        span *= 2  # some buckets were empty


@dataclass(frozen=True)
class SeriesRequest:
    """`start` and `end` are seconds since 1970, both inclusive; `digits` is None for the instrument's own."""

    interval: str
    outputsize: int
    start: int | None
    end: int | None
    timezone: ZoneInfo
    ascending: bool
    digits: int | None

    @property
    def width_minutes(self) -> int:
        return INTERVAL_MINUTES[self.interval]

    @classmethod
    def from_query(cls, query: Mapping[str, str], instrument: SimulatedInstrument) -> "SeriesRequest":
        interval = query.get("interval", "")
        if interval not in INTERVAL_MINUTES:
            raise VendorError(
                HTTPStatus.BAD_REQUEST,
                f"Invalid **interval** provided: {interval}. Supported intervals: {', '.join(INTERVAL_MINUTES)}",
            )
        timezone = _timezone(query.get("timezone", "Exchange"), instrument)
        start, end = _date(query, "start_date", timezone), _date(query, "end_date", timezone)
        if (day := _date(query, "date", timezone)) is not None:
            start, end = day, day_end(timezone, day) - 1
        bounded = start is not None and end is not None
        size = _integer(query, "outputsize", MAX_OUTPUTSIZE if bounded else DEFAULT_OUTPUTSIZE, 1, MAX_OUTPUTSIZE)
        digits = _integer(query, "dp", -1, -1, 11)
        ascending = query.get("order", "desc").lower() == "asc"
        return cls(interval, size, start, end, timezone, ascending, None if digits < 0 else digits)


def _integer(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = query.get(name) or str(default)
    if not re.fullmatch(r"-?\d{1,9}", text) or not low <= int(text) <= high:
        raise VendorError(HTTPStatus.BAD_REQUEST, f"Invalid **{name}** provided: {text}. Give {low} to {high}")
    return int(text)


def _timezone(name: str, instrument: SimulatedInstrument) -> ZoneInfo:
    if name.lower() == "exchange":
        return instrument.exchange.timezone
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"Invalid **timezone** provided: {name}. Give UTC, Exchange or an IANA name"
        raise VendorError(HTTPStatus.BAD_REQUEST, message) from error


def _date(query: Mapping[str, str], name: str, timezone: ZoneInfo) -> int | None:
    """Read a date or time; without an offset it is one of the requested zone."""
    text = query.get(name)
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"Invalid **{name}** provided: {text}. Give 2006-01-02 or 2006-01-02 15:04:05"
        raise VendorError(HTTPStatus.BAD_REQUEST, message) from error
    return int((time if time.tzinfo else time.replace(tzinfo=timezone)).timestamp())


def _bucket_start(instrument: SimulatedInstrument, second: int, width_minutes: int) -> int:
    return int(bucket_starts(instrument, np.array([second - second % MINUTE]), width_minutes)[0])


def _bucket_end(instrument: SimulatedInstrument, second: int, width_minutes: int) -> int:
    if width_minutes == INTERVAL_MINUTES["1day"]:
        return day_end(instrument.exchange.timezone, second)
    return _bucket_start(instrument, second, width_minutes) + width_minutes * MINUTE


def _values(bars: Bars, instrument: SimulatedInstrument, asked: SeriesRequest) -> list[dict[str, str]]:
    digits = instrument.digits if asked.digits is None else asked.digits
    columns: list[list[str]] = [_times(bars, instrument, asked)]
    columns += [
        [f"{price:.{digits}f}" for price in prices.tolist()]
        for prices in (bars.opens, bars.highs, bars.lows, bars.closes)
    ]
    names = ["datetime", *_PRICES]
    if instrument.has_volume:
        names.append("volume")
        columns.append([str(volume) for volume in bars.volumes.tolist()])
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _times(bars: Bars, instrument: SimulatedInstrument, asked: SeriesRequest) -> list[str]:
    """Return the start of each bar as text; 5,000 take 2 ms, one by one 60."""
    daily = asked.width_minutes == INTERVAL_MINUTES["1day"]
    zone = instrument.exchange.timezone if daily else asked.timezone
    hours, inverse = np.unique(bars.starts // _HOUR_SECONDS, return_inverse=True)
    offsets = [datetime.fromtimestamp(hour * _HOUR_SECONDS, zone).utcoffset() for hour in hours.tolist()]
    seconds = np.array([offset.total_seconds() if offset else 0 for offset in offsets], dtype=np.int64)
    local = (
        (bars.starts + seconds[inverse]).astype("datetime64[s]") if len(bars) else bars.starts.astype("datetime64[s]")
    )
    texts = np.datetime_as_string(local, unit="D" if daily else "s")
    return [text.replace("T", " ") for text in texts.tolist()]


def _meta(instrument: SimulatedInstrument, interval: str) -> dict[str, str]:
    meta = {"symbol": instrument.symbol, "interval": interval}
    if instrument.type == STOCK:
        meta["currency"] = instrument.exchange.currency
        meta["exchange_timezone"] = instrument.exchange.timezone.key
    else:
        meta |= {"currency_base": instrument.currency_base, "currency_quote": instrument.currency_quote}
    if instrument.type != FOREX:
        meta["exchange"] = instrument.exchange.name
    if instrument.type == STOCK:
        meta["mic_code"] = instrument.exchange.mic_code
    return meta | {"type": instrument.type}
