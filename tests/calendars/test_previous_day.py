"""Where the trading day before that of a moment ended: what a day change is against."""

from datetime import UTC, datetime

import pytest

from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection
from candleworks.settings import load_settings


@pytest.mark.parametrize(
    ("calendar", "moment", "end"),
    [
        ("XNYS", "2026-03-03 15:00", "2026-03-02 21:00"),  # Tuesday's session: Monday's close
        ("XNYS", "2026-03-03 12:00", "2026-03-02 21:00"),  # before its open
        ("XNYS", "2026-03-03 23:30", "2026-03-02 21:00"),  # after its close, still Tuesday in New York
        ("XNYS", "2026-03-04 00:30", "2026-03-02 21:00"),  # Wednesday in London, Tuesday evening in New York
        ("XNYS", "2026-03-04 05:00", "2026-03-03 21:00"),  # Wednesday began in New York
        ("XNYS", "2026-03-07 12:00", "2026-03-06 21:00"),  # a Saturday: Friday's close
        ("XNYS", "2026-03-09 14:00", "2026-03-06 21:00"),  # Monday, after the clocks changed
        ("FX", "2026-03-02 23:30", "2026-03-02 22:00"),  # Tuesday's session opened at 17:00 New York time
        ("FX", "2026-03-02 21:30", "2026-02-27 22:00"),  # Monday's: the weekend before it
        ("24/7", "2026-03-03 00:00", "2026-03-03 00:00"),
        ("24/7", "2026-03-03 23:59", "2026-03-03 00:00"),
    ],
)
def test_the_previous_day_ended_where_its_session_did(
    connection: Connection, calendar: str, moment: str, end: str
) -> None:
    """A session belongs to one day, whatever the date in UTC; outside of sessions the exchange's date decides."""
    sync_calendars(connection, load_settings({}))
    found = connection.execute("SELECT candleworks.previous_day_end(%s, %s)", [calendar, utc(moment)]).fetchone()
    assert found == (utc(end),)


def test_nothing_is_known_before_the_first_session(connection: Connection) -> None:
    """Null, and also for a calendar that is not stored."""
    for calendar in ("XNYS", "XXXX", None):
        row = connection.execute("SELECT candleworks.previous_day_end(%s, now())", [calendar]).fetchone()
        assert row == (None,)


def test_calendars_know_their_zones(connection: Connection) -> None:
    """The zones in which their dates change."""
    sync_calendars(connection, load_settings({}))
    zones = dict(connection.execute("SELECT name, zone FROM candleworks.calendars").fetchall())
    assert zones == {"FX": "UTC", "XNYS": "America/New_York"}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
