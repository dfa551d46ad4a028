"""Keeps the sessions in the database up to date with the configuration.

Importing exchange_calendars takes 0.7 s and 90 MB (it imports pandas), so it is imported only when sessions have to be
computed: for a new calendar, once a year, and after an upgrade.
"""

import warnings
from datetime import UTC, date, datetime, time, timedelta
from importlib.metadata import version
from typing import Any
from zoneinfo import ZoneInfo

from candleworks import clock
from candleworks.database.connection import Connection
from candleworks.errors import ConfigurationError
from candleworks.model.trading_day import AROUND_THE_CLOCK, CURRENCIES, CURRENCY_CODES, zone_of
from candleworks.settings import Calendars, Settings
from candleworks.storage.calendars import (
    OTHER_STOCKS,
    Calendar,
    Session,
    save_calendar,
    save_currencies,
    save_rules,
    stored_sources,
)

FIRST_DAY = date(1990, 1, 1)  # older ticks are rejected
NEW_YORK = ZoneInfo("America/New_York")


def sync_calendars(connection: Connection, settings: Settings) -> list[str]:
    """Store the sessions of calendars, each symbol's calendar, and currencies; return the computed calendars.

    Sessions reach from FIRST_DAY to the end of next year, or as far as exchange_calendars knows them. Safe to
    repeat and to run concurrently, and cheap when nothing changed. Raises ConfigurationError for a calendar that
    exchange_calendars cannot compute.
    """
    rules = _rules(settings.calendars)
    last_day = date(clock.now().year + 1, 12, 31)
    source = f"exchange_calendars {version('exchange_calendars')}, {FIRST_DAY} to {last_day}"
    stored = stored_sources(connection)
    due = sorted(name for name in {CURRENCIES, *rules.values()} - {AROUND_THE_CLOCK} if stored.get(name) != source)
    for name in due:
        save_calendar(connection, _compute(name, last_day, source))
    save_rules(connection, rules)
    save_currencies(connection, CURRENCY_CODES)
    return due


def _rules(calendars: Calendars) -> dict[str, str]:
    return {OTHER_STOCKS: calendars.stocks, **calendars.symbols}


def _compute(name: str, last_day: date, source: str) -> Calendar:
    if name == CURRENCIES:
        return Calendar(name, FIRST_DAY, last_day, source, _currency_sessions(last_day), zone_of(name).key)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # pandas warns about the implementation of exchange_calendars
        try:
            return _calendar(name, last_day, source)
        except (ValueError, NotImplementedError) as error:
            # Some calendars do not work with the installed version of pandas.
            raise ConfigurationError(
                f"The calendar {name} cannot be computed by {source} ({str(error)[:100]}):"
                " name another one under calendars in the configuration."
            ) from error


def _currency_sessions(last_day: date) -> list[Session]:
    """Return the days of currencies: 17:00 to 17:00 in New York, Monday to Friday, without Christmas and New Year."""
    days = (FIRST_DAY + timedelta(days=number) for number in range((last_day - FIRST_DAY).days + 1))
    return [
        Session(day, _five_pm(day - timedelta(days=1)), _five_pm(day), None, None)
        for day in days
        if day.weekday() < 5 and (day.month, day.day) not in ((12, 25), (1, 1))
    ]


def _five_pm(day: date) -> datetime:
    return datetime.combine(day, time(17), NEW_YORK).astimezone(UTC)


def _calendar(name: str, last_day: date, source: str) -> Calendar:
    """Compute a calendar; some begin later than FIRST_DAY, and some end when the published holidays end."""
    from exchange_calendars import get_calendar  # noqa: PLC0415 - see the module's first lines

    first, last = FIRST_DAY, last_day
    calendar = type(get_calendar(name))
    if earliest := calendar.bound_min():
        first = max(first, earliest.date())
    if latest := calendar.bound_max():
        last = min(last, latest.date())
    schedule = get_calendar(name, start=str(first), end=str(last)).schedule
    sessions = [_session(row) for row in schedule.itertuples()]
    return Calendar(name, first, last, source, sessions, zone_of(name).key)


def _session(row: Any) -> Session:
    def time_or_none(value: Any) -> Any:
        return None if value is None or value != value else value.to_pydatetime()  # noqa: PLR0124 - NaT is not itself

    return Session(
        session=row.Index.date(),
        open_at=time_or_none(row.open),
        close_at=time_or_none(row.close),
        break_start=time_or_none(row.break_start),
        break_end=time_or_none(row.break_end),
    )
