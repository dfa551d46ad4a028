"""The vendor's own bars of a few symbols, to hold candles against."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from candleworks.database.connection import Connection
from candleworks.errors import CandleworksError, TransientError
from candleworks.model.trades import microseconds_of, moment_of
from candleworks.quality.limits import sampled
from candleworks.quality.tick_window import Window
from candleworks.settings import VENDOR_REST_URL, Instrument, Settings
from candleworks.storage.quality import Objects, Span
from candleworks.vendor.bars import MAX_BARS, BarWindow, VendorBars
from candleworks.vendor.credits import Credits

EVERY = timedelta(hours=1)  # each symbol costs a credit, and filling gaps needs them more
LONGEST = timedelta(hours=1)

_log = logging.getLogger(__name__)


def bars_due(settings: Settings, span: Window, last: datetime | None) -> bool:
    """Whether bars are to be asked for: somebody can be asked, and was not within the hour."""
    askable = settings.api_key is not None or settings.rest_url != VENDOR_REST_URL
    return askable and (span.by_time or last is None or span.until - last >= EVERY)


def wanted_minutes(
    settings: Settings, symbols: Iterable[str], failed: Mapping[str, Sequence[Span]], span: Window
) -> dict[str, BarWindow]:
    """Choose symbols to spend credits on: first those that failed, whose minutes are looked at again."""
    count = settings.quality.candles.vendor_symbols
    again = {symbol: _minutes_around(failed[symbol]) for symbol in sampled(failed, count, span.until)}
    return _newest_minutes(settings, symbols, count - len(again), span) | again


def _newest_minutes(settings: Settings, symbols: Iterable[str], count: int, span: Window) -> dict[str, BarWindow]:
    """Choose some of the symbols, and the end of the window: whole minutes that are not expected to change any more."""
    stop = (span.until - timedelta(seconds=settings.rest.settle_seconds)).replace(second=0, microsecond=0)
    start = max(span.start, stop - LONGEST).replace(second=0, microsecond=0)
    if start < span.start:
        start += timedelta(minutes=1)
    if start >= stop:
        return {}
    minutes = BarWindow(microseconds_of(start), microseconds_of(stop))
    return dict.fromkeys(sampled(set(symbols) & set(_listings(settings)), count, span.until), minutes)


def _minutes_around(times: Sequence[Span]) -> BarWindow:
    """Return the minutes from the first to the last of some times, the last that one answer holds."""
    start, stop = min(start for start, _ in times), max(stop for _, stop in times)
    start = max(start, stop - timedelta(minutes=MAX_BARS)).replace(second=0, microsecond=0)
    return BarWindow(microseconds_of(start), microseconds_of(stop))


def vendor_bars(connection: Connection, settings: Settings, wanted: Mapping[str, BarWindow]) -> Objects:
    """Return rows of one-minute bars of symbols.

    Nothing where the vendor cannot be asked at this moment: without a credit to spare nobody waits for one.
    """
    listings = _listings(settings)
    found = Objects()
    vendor = VendorBars(settings, Credits(connection, settings, wait=_nobody_waits))
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


def _nobody_waits(seconds: float) -> None:
    raise TransientError(f"No API credit is to be had for {seconds:.0f} s: the next run asks again.")
