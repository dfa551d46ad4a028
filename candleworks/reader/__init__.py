"""Reads candles, ticks and quotes into notebooks and programs: docs/how-to/notebooks.md.

Nothing heavy is imported before the first call.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from candleworks.reader.events import StreamEvent
    from candleworks.reader.table import Table

Time = str | date | datetime


def candles(
    symbol: str,
    period: str = "1m",
    start: Time | None = None,
    end: Time | None = None,
    *,
    zone: str | None = None,
    adjusted: bool = False,
    price: str | None = None,
    dsn: str | None = None,
) -> "Table":
    """Return the candles that overlap [start, end), oldest first; None leaves a bound open.

    `period` is a number and s, m, h, d, w or mo. Times are UTC unless they have an offset. Days and longer periods
    begin at midnight of `zone`, such as America/New_York, and buckets are shown in its time. `adjusted` divides prices
    by the ratios of later splits. `price` is trade, bid, ask or mid, by default trade, or bid for a symbol that has
    only quotes. `dsn` is a connection string, by default that of the configured database.
    """
    from candleworks.reader.reads import read_candles  # noqa: PLC0415 - see above

    return read_candles(symbol, period, start, end, zone=zone, adjusted=adjusted, price=price, dsn=dsn)


def ticks(symbol: str, start: Time | None = None, end: Time | None = None, *, dsn: str | None = None) -> "Table":
    """Return the trades of [start, end), oldest first; None leaves a bound open."""
    from candleworks.reader.reads import read_ticks  # noqa: PLC0415 - see above

    return read_ticks("ticks", symbol, start, end, dsn)


def quotes(symbol: str, start: Time | None = None, end: Time | None = None, *, dsn: str | None = None) -> "Table":
    """Return the quotes of [start, end), oldest first; None leaves a bound open."""
    from candleworks.reader.reads import read_ticks  # noqa: PLC0415 - see above

    return read_ticks("quotes", symbol, start, end, dsn)


def trades_with_quotes(symbol: str, start: Time, end: Time | None = None, *, dsn: str | None = None) -> "Table":
    """Return the trades of [start, end), at most 31 days, each with the quote in force, and its side; None is now."""
    from candleworks.reader.reads import read_ticks  # noqa: PLC0415 - see above

    return read_ticks("trades_with_quotes", symbol, start, end, dsn)


def stream(
    symbols: str | Sequence[str],
    periods: Sequence[str] = ("1m",),
    *,
    ticks: bool = True,
    price: str | None = None,
    url: str | None = None,
) -> "Iterator[StreamEvent]":
    """Yield ticks and candles of symbols as they are stored, for ever: docs/how-to/notebooks.md lists the events.

    A connection that breaks is opened again, and resumes. `price` is trade, bid, ask or mid, by default
    each symbol's usual side. `url` is that of a chart page, by default the configured one.
    """
    from candleworks.reader.following import Follower  # noqa: PLC0415 - see above
    from candleworks.settings import load_settings  # noqa: PLC0415 - see above

    wanted = {
        "symbols": symbols if isinstance(symbols, str) else ",".join(symbols),
        "periods": ",".join(periods),
        "ticks": "1" if ticks else "0",
        **({"price": price} if price else {}),
    }
    return Follower(f"{(url or load_settings().page_url).rstrip('/')}/stream", wanted).events()
