"""One-minute and daily bars from the vendor's `time_series`.

https://twelvedata.com/docs#time-series: values are text, the time is naive in the requested zone, both dates are
inclusive, a response holds 5,000 bars at most. A bar as received:
    {"datetime":"2026-03-04 14:30:00","open":"261.71","high":"261.80","low":"261.60","close":"261.75","volume":"1200"}
That of a day has a date of the exchange, whatever the requested zone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from candleworks.model.bars import MINUTE_US, Bar, follows_ohlc_order
from candleworks.model.tick_validation import VOLUME_FAULTS, NumberFault, number_fault, price_faults
from candleworks.model.trades import microseconds_of, moment_of
from candleworks.settings import Instrument, Settings
from candleworks.vendor.client import NoCreditsLeftError, NotServedError, VendorAwayError, VendorClient
from candleworks.vendor.credits import Credits

MAX_BARS = 5_000
MAX_WAIT_SECONDS = 20
MAX_REFUSALS = 5  # minutes in a row without a credit: another program uses the same key
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
_DATE_FORMAT = "%Y-%m-%d"
_NO_DATA = "no data is available"


class BarWindow(NamedTuple):
    """The minutes, or midnights, of [start, stop) in microseconds since 1970, at most as many as one response holds."""

    start_us: int
    stop_us: int


@dataclass(frozen=True, slots=True)
class BarResponse:
    """The bars of a window, oldest first; `rejected` has the reason for each minute, or day, with an unusable bar."""

    bars: list[Bar]
    rejected: dict[int, str]


class _Interval(NamedTuple):
    unit: str
    time_length: int
    parameters: dict[str, str]


_MINUTES = _Interval("minute", 19, {"interval": "1min", "timezone": "UTC"})
_DAYS = _Interval("date", 10, {"interval": "1day"})


class VendorBars:
    """Requests bars within the budget of credits, and retries when the vendor fails."""

    def __init__(self, settings: Settings, credits_: Credits) -> None:
        self._client = VendorClient(settings)
        self._credits = credits_
        self._price_faults = price_faults(accept_zero=settings.ingest.accept_zero_prices)
        self._retrying = Retrying(
            retry=retry_if_exception_type(VendorAwayError),
            wait=wait_random_exponential(multiplier=0.5, max=MAX_WAIT_SECONDS),
            stop=stop_after_attempt(settings.rest.attempts),
            reraise=True,
        )

    def read(self, symbol: str | Instrument, window: BarWindow) -> BarResponse:
        """Return the bars of a window; none when the vendor has no data for it.

        Raises VendorAwayError, NotServedError, KeyRejectedError, NoCreditsLeftError or NoCreditsTodayError.
        """
        start, last = (moment_of(us).strftime(_TIME_FORMAT) for us in (window.start_us, window.stop_us - MINUTE_US))
        return self._read(symbol, window, _MINUTES, order="asc", start_date=start, end_date=last)

    def read_latest(self, symbol: str | Instrument, stop_us: int, count: int) -> BarResponse:
        """Return the last `count` bars before a minute; fewer only where the vendor has no more. Raises as `read`."""
        last = moment_of(stop_us - MINUTE_US).strftime(_TIME_FORMAT)
        return self._read(symbol, BarWindow(0, stop_us), _MINUTES, end_date=last, outputsize=str(count))

    def read_days(self, symbol: str | Instrument, stop_us: int, count: int) -> BarResponse:
        """Return at least the last `count` - 1 daily bars before a date, fewer only where the vendor has no more.

        `stop_us` and the times of the bars are midnight UTC of a date of the exchange. Raises as `read`.
        """
        date = moment_of(stop_us).strftime(_DATE_FORMAT)  # its own bar, if there is one, is dropped
        return self._read(symbol, BarWindow(0, stop_us), _DAYS, end_date=date, outputsize=str(count))

    def _read(
        self, symbol: str | Instrument, window: BarWindow, interval: "_Interval", **parameters: str
    ) -> BarResponse:
        try:
            rows = self._retrying(self._rows, symbol, interval.parameters | parameters)
        except NotServedError as error:
            if _NO_DATA in error.vendor_message.lower():
                return BarResponse([], {})
            raise
        return _parse(rows, window, interval, self._price_faults)

    def _rows(self, symbol: str | Instrument, parameters: Mapping[str, str]) -> list[Any]:
        for attempt in range(1, MAX_REFUSALS + 1):
            self._credits.spend()
            try:
                return self._request(symbol, parameters)
            except NoCreditsLeftError as error:
                self._credits.pause(error.retry_after_seconds, error.vendor_message, whole_day=error.whole_day)
                if attempt == MAX_REFUSALS:
                    raise
        raise AssertionError

    def _request(self, symbol: str | Instrument, parameters: Mapping[str, str]) -> list[Any]:
        body = self._client.get("/time_series", **_symbol_parameters(symbol), **parameters)
        values = body.get("values", []) if isinstance(body, dict) else None
        if not isinstance(values, list):
            raise VendorAwayError("The vendor's time series does not have the documented shape: try again later.")
        return values


def _symbol_parameters(symbol: str | Instrument) -> dict[str, str]:
    if isinstance(symbol, str):
        return {"symbol": symbol}
    found = {name: getattr(symbol, name) for name in ("symbol", "mic_code", "exchange", "type")}
    return {name: value for name, value in found.items() if value is not None}


def _parse(rows: list[Any], window: BarWindow, interval: _Interval, faults: Sequence[NumberFault]) -> BarResponse:
    response = BarResponse([], {})
    seen: set[int] = set()
    for row in rows:
        minute_us = _start_us(row, interval)
        if not window.start_us <= minute_us < window.stop_us or minute_us in seen:
            continue
        seen.add(minute_us)
        bar, problem = _bar(row, minute_us, faults)
        if bar is None:
            response.rejected[minute_us] = problem
        else:
            response.bars.append(bar)
    response.bars.sort(key=lambda bar: bar.minute_us)
    return response


def _start_us(row: Any, interval: _Interval) -> int:
    """Return the minute or date of a row; VendorAwayError when it has none, since the bar cannot be assigned then."""
    try:
        text = row["datetime"]
        start_us = microseconds_of(datetime.fromisoformat(text).replace(tzinfo=UTC))
    except (KeyError, TypeError, ValueError):
        text, start_us = "", 1
    if start_us % MINUTE_US or len(text) != interval.time_length:
        raise VendorAwayError(
            f"The vendor's time series has a bar without a {interval.unit} ({row!r:.100}): try again later."
        )
    return start_us


def _bar(row: Mapping[str, Any], minute_us: int, faults: Sequence[NumberFault]) -> tuple[Bar | None, str]:
    """Return the bar, or None and the reason why it is rejected."""
    try:
        prices = [float(row[name]) for name in ("open", "high", "low", "close")]
        volume = None if row.get("volume") is None else float(row["volume"])
    except (KeyError, TypeError, ValueError):
        return None, f"its values are not numbers: {dict(row)!r:.200}"
    opened, high, low, close = prices
    if not all(number_fault(price, faults) is None for price in prices):
        return None, f"it has invalid prices: {dict(row)!r:.200}"
    if not follows_ohlc_order(opened, high, low, close):
        return None, f"its prices contradict each other: {dict(row)!r:.200}"
    if volume is not None and number_fault(volume, VOLUME_FAULTS):
        return None, f"its volume is invalid: {dict(row)!r:.200}"
    return Bar(minute_us, opened, high, low, close, volume), ""
