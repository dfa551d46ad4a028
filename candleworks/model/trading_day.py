"""The trading day of a time, by the local date of the symbol's exchange.

`day_volume` runs from one local midnight to the next; a regular session is shorter, but pre-market and after-hours
trades count too (US stocks trade until 20:00 New York time, which is 01:00 UTC of the next date in winter).
"""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from candleworks.settings import BUILT_IN_CALENDARS, Calendars

ZoneOf = Callable[[str], ZoneInfo]

AROUND_THE_CLOCK = "24/7"
CURRENCIES = "FX"
# Currencies and precious metals; the table candleworks.currencies is kept up to date with them.
CURRENCY_CODES = frozenset(
    """
    AED AUD BRL CAD CHF CLP CNH CNY COP CZK DKK EUR GBP HKD HUF IDR ILS INR JPY KRW MXN MYR NOK NZD PEN PHP PLN RON RUB
    SAR SEK SGD THB TRY TWD USD XAG XAU XPD XPT ZAR
""".split()  # noqa: SIM905 - a list takes a line each
)


def calendar_of(symbol: str, calendars: Calendars) -> str:
    """Return the name of the calendar of `symbol`, as candleworks.calendar_of() does in the database.

    The configured one, else FX for pairs of currencies, 24/7 for other pairs, and the one of stocks.
    """
    if symbol in calendars.symbols:
        return calendars.symbols[symbol]
    if symbol.count("/") == 1 and set(symbol.split("/")) <= CURRENCY_CODES:
        return CURRENCIES
    return AROUND_THE_CLOCK if "/" in symbol else calendars.stocks


@cache
def zone_of(calendar: str) -> ZoneInfo:
    """Return the time zone in which the exchange's dates change."""
    if calendar not in BUILT_IN_CALENDARS:
        from exchange_calendars import get_calendar  # noqa: PLC0415 - see BUILT_IN_CALENDARS

        return ZoneInfo(str(get_calendar(calendar).tz))
    return ZoneInfo(BUILT_IN_CALENDARS[calendar])


def zone_lookup(calendars: Calendars) -> ZoneOf:
    """Return a function that gives a symbol's zone: that of its calendar."""

    @cache
    def zone_of_symbol(symbol: str) -> ZoneInfo:
        return zone_of(calendar_of(symbol, calendars))

    return zone_of_symbol


def trading_day(time_: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the start and the end of the trading day of a time, both UTC; the end is the start of the next day."""
    date = time_.astimezone(zone).date()
    first = datetime.combine(date, time(), zone)
    after = datetime.combine(date + timedelta(days=1), time(), zone)
    return first.astimezone(UTC), after.astimezone(UTC)


def trading_day_us(event_us: int, zone: ZoneInfo) -> tuple[int, int]:
    """Return `trading_day` in microseconds since 1970."""
    first, after = trading_day(datetime.fromtimestamp(event_us / 1_000_000, UTC), zone)
    return int(first.timestamp()) * 1_000_000, int(after.timestamp()) * 1_000_000
