"""The vendor's own bars of a few symbols, to hold candles against."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from candleworks.errors import CandleworksError, TransientError
from candleworks.history.credits import Credits
from candleworks.history.vendor_bars import VendorBars
from candleworks.history.vendor_bars import Window as Minutes
from candleworks.model.trades import microseconds_of, moment_of
from candleworks.quality.limits import sampled
from candleworks.quality.window import Window
from candleworks.settings import VENDOR_REST_URL, Settings
from candleworks.storage.connection import Connection
from candleworks.storage.quality import Objects

EVERY = timedelta(hours=1)  # each symbol costs a credit, and filling gaps needs them more
LONGEST = timedelta(hours=1)

_log = logging.getLogger(__name__)


def bars_due(settings: Settings, span: Window, last: datetime | None) -> bool:
    """Whether bars are to be asked for: somebody can be asked, and was not within the hour."""
    askable = settings.api_key is not None or settings.rest_url != VENDOR_REST_URL
    return askable and (span.by_time or last is None or span.until - last >= EVERY)


def vendor_bars(connection: Connection, settings: Settings, symbols: Iterable[str], span: Window) -> Objects:
    """Return rows of one-minute bars of some of the symbols, for the end of the window.

    Nothing where the vendor cannot be asked at this moment: without a credit to spare nobody waits for one.
    """
    listings = {name: symbol for feed in settings.feeds for name, symbol in feed.instruments.items()}
    chosen = sampled(set(symbols) & set(listings), settings.quality.candles.vendor_symbols, span.until)
    minutes = _minutes(settings, span)
    found = Objects()
    if minutes.start_us >= minutes.stop_us:
        return found
    vendor = VendorBars(settings, Credits(connection, settings, wait=_nobody_waits))
    for name in chosen:
        try:
            bars = vendor.read(listings[name], minutes).bars
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


def _minutes(settings: Settings, span: Window) -> Minutes:
    """Name the last whole minutes of the window that are not expected to change any more."""
    stop = (span.until - timedelta(seconds=settings.rest.settle_seconds)).replace(second=0, microsecond=0)
    start = max(span.start, stop - LONGEST).replace(second=0, microsecond=0)
    if start < span.start:
        start += timedelta(minutes=1)
    return Minutes(microseconds_of(start), microseconds_of(stop))


def _nobody_waits(seconds: float) -> None:
    raise TransientError(f"No API credit is to be had for {seconds:.0f} s: the next run asks again.")
