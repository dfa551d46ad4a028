"""A moment's trading day follows the dates of its exchange."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candleworks.model.trading_day import calendar_of, trading_day, trading_day_us, zone_of
from candleworks.settings import Calendars

NEW_YORK = ZoneInfo("America/New_York")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


@pytest.mark.parametrize(
    ("symbol", "calendar"),
    [
        ("AAPL", "XNYS"),
        ("VOD:LSE", "XNYS"),
        ("BTC/USD", "24/7"),
        ("SAP", "XFRA"),
        ("EUR/USD", "XNYS"),
        ("USD", "XNYS"),
        ("GBP/JPY", "FX"),
        ("BTC/EUR", "24/7"),
    ],
)
def test_a_symbol_follows_its_calendar(symbol: str, calendar: str) -> None:
    """The configured one, else FX for currencies, around the clock for other pairs, that of stocks for the rest."""
    assert calendar_of(symbol, Calendars(symbols={"SAP": "XFRA", "EUR/USD": "XNYS"})) == calendar


@pytest.mark.parametrize(
    ("calendar", "zone"),
    [("XNYS", "America/New_York"), ("24/7", "UTC"), ("XLON", "Europe/London"), ("XTKS", "Asia/Tokyo")],
)
def test_a_calendar_has_a_zone(calendar: str, zone: str) -> None:
    """That of its exchange."""
    assert zone_of(calendar) == ZoneInfo(zone)


@pytest.mark.parametrize(
    ("moment", "first", "after"),
    [
        ("2022-10-19 12:00:00", "2022-10-19 04:00:00", "2022-10-20 04:00:00"),
        ("2022-10-20 03:59:59.999999", "2022-10-19 04:00:00", "2022-10-20 04:00:00"),
        ("2022-10-20 04:00:00", "2022-10-20 04:00:00", "2022-10-21 04:00:00"),
        ("2022-11-06 12:00:00", "2022-11-06 04:00:00", "2022-11-07 05:00:00"),
        ("2022-11-07 00:30:00", "2022-11-06 04:00:00", "2022-11-07 05:00:00"),
        ("2022-03-13 12:00:00", "2022-03-13 05:00:00", "2022-03-14 04:00:00"),
    ],
)
def test_a_day_of_new_york_has_23_to_25_hours(moment: str, first: str, after: str) -> None:
    """After-hours trades belong to the day that began before them, also where clocks change."""
    assert trading_day(utc(moment), NEW_YORK) == (utc(first), utc(after))


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds are naive here
    st.sampled_from(["UTC", "America/New_York", "Europe/London", "Asia/Tokyo", "Australia/Lord_Howe"]).map(ZoneInfo),
)
def test_days_hold_their_moments_and_follow_each_other(moment: datetime, zone: ZoneInfo) -> None:
    """Every moment is in exactly one day, and that is the local date."""
    first, after = trading_day(moment, zone)
    assert first <= moment < after
    assert first.astimezone(zone).date() == moment.astimezone(zone).date()
    assert trading_day(after, zone)[0] == after
    assert trading_day(first - timedelta(microseconds=1), zone)[1] == first
    us = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert trading_day_us(us, zone) == (int(first.timestamp()) * 1_000_000, int(after.timestamp()) * 1_000_000)


def test_a_whole_year_of_days_has_no_holes() -> None:
    """365 days from New Year to New Year in New York."""
    moment, days = utc("2022-01-01 05:00:00"), 0
    while moment < utc("2023-01-01 05:00:00"):
        moment = trading_day(moment, NEW_YORK)[1]
        days += 1
    assert days == (date(2023, 1, 1) - date(2022, 1, 1)).days
