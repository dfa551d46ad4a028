"""One-minute bars of the vendor for a few symbols, to compare candles with."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from candleworks.database.connection import Connection
from candleworks.errors import CandleworksError, TransientError
from candleworks.model.trades import microseconds_of, moment_of
from candleworks.quality.limits import sampled
from candleworks.quality.windows import CheckWindow
from candleworks.settings import VENDOR_REST_URL, Instrument, Settings
from candleworks.storage.quality import Objects, TimeRange
from candleworks.vendor.bars import MAX_BARS, BarWindow, VendorBars
from candleworks.vendor.credits import Credits

EVERY = timedelta(hours=1)  # each symbol costs a credit, and filling gaps needs them more
LONGEST = timedelta(hours=1)

_log = logging.getLogger(__name__)


def bars_due(settings: Settings, window: CheckWindow, last: datetime | None) -> bool:
    """Whether to request bars: a vendor is configured, and was not asked within the hour."""
    available = settings.api_key is not None or settings.rest_url != VENDOR_REST_URL
    return available and (window.by_time or last is None or window.until - last >= EVERY)


def wanted_minutes(
    settings: Settings, symbols: Iterable[str], failed: Mapping[str, Sequence[TimeRange]], window: CheckWindow
) -> dict[str, BarWindow]:
    """Choose the symbols to spend credits on: first those that failed, for their minutes."""
    count = settings.quality.candles.vendor_symbols
    again = {symbol: _minutes_around(failed[symbol]) for symbol in sampled(failed, count, window.until)}
    return _newest_minutes(settings, symbols, count - len(again), window) | again


def _newest_minutes(
    settings: Settings, symbols: Iterable[str], count: int, window: CheckWindow
) -> dict[str, BarWindow]:
    """Choose some of the symbols, and the complete minutes at the end of the window that are final."""
    stop = (window.until - timedelta(seconds=settings.rest.settle_seconds)).replace(second=0, microsecond=0)
    start = max(window.start, stop - LONGEST).replace(second=0, microsecond=0)
    if start < window.start:
        start += timedelta(minutes=1)
    if start >= stop:
        return {}
    minutes = BarWindow(microseconds_of(start), microseconds_of(stop))
    return dict.fromkeys(sampled(set(symbols) & set(_listings(settings)), count, window.until), minutes)


def _minutes_around(times: Sequence[TimeRange]) -> BarWindow:
    """Return the minutes from the first to the last of some times, at most as many as one response holds."""
    start, stop = min(start for start, _ in times), max(stop for _, stop in times)
    start = max(start, stop - timedelta(minutes=MAX_BARS)).replace(second=0, microsecond=0)
    return BarWindow(microseconds_of(start), microseconds_of(stop))


def vendor_bars(connection: Connection, settings: Settings, wanted: Mapping[str, BarWindow]) -> Objects:
    """Return rows of one-minute bars of symbols, none where the vendor cannot be asked now.

    Without an API credit left the check does not wait for one.
    """
    listings = _listings(settings)
    found = Objects()
    vendor = VendorBars(settings, Credits(connection, settings, wait=_do_not_wait, purpose="checks"))
    for name in sorted(wanted.keys() & listings):
        try:
            bars = vendor.read(listings[name], wanted[name]).bars
        except CandleworksError as error:
            _log.warning("Candles of %s are not compared with the vendor's bars: %s", name, error)
            break
        found.extend(
            {
                "symbol": name,
                "bucket": moment_of(bar.minute_us).isoformat(),
                "open": bar.open,
                "high": bar.high,
                "low": bar.low,
                "close": bar.close,
            }
            for bar in bars
        )
    return found


def _listings(settings: Settings) -> dict[str, str | Instrument]:
    return {name: symbol for feed in settings.feeds for name, symbol in feed.instruments.items()}


def _do_not_wait(seconds: float) -> None:
    raise TransientError(f"No API credit is available for {seconds:.0f} s: the next run tries again.")
