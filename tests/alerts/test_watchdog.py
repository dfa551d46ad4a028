"""What the watchdog says about feeds, from the signs that they leave in ingest_stats."""

from datetime import UTC, datetime, timedelta

import pytest

from candleworks.alerts.watchdog import look
from candleworks.model.alerts import Result
from candleworks.settings import Feed, Settings
from candleworks.storage.calendars import OTHER_STOCKS, Calendar, Session, save_calendar, save_rules
from candleworks.storage.connection import Connection

MONDAY_OPEN = datetime(2026, 1, 5, 16, tzinfo=UTC)  # 11:00 in New York
SUNDAY = datetime(2026, 1, 4, 16, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def stocks(settings: Settings, connection: Connection) -> Settings:
    """One feed of one stock, in a database that knows when it is traded."""
    days = [MONDAY_OPEN.date() + timedelta(days=number) for number in range(5)]
    hours = (timedelta(hours=14, minutes=30), timedelta(hours=21))
    opens = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]
    sessions = [Session(day, at + hours[0], at + hours[1], None, None) for day, at in zip(days, opens, strict=True)]
    save_calendar(connection, Calendar("XNYS", days[0], days[-1], "test", sessions))
    save_rules(connection, {OTHER_STOCKS: "XNYS"})
    return settings.model_copy(update={"feeds": (Feed(name="stocks", symbols=("AAPL",)),)})


def ran(connection: Connection, until: datetime, ticks: int = 0, depths: tuple[int, ...] = (0,) * 15) -> None:
    """The feed kept statistics in the ten-second windows before `until`, the oldest first."""
    for back, depth in enumerate(reversed(depths)):
        at = until - timedelta(seconds=10 * back)
        connection.execute(
            "INSERT INTO ingest_stats VALUES ('stocks', %s, %s, 1, NULL, NULL, NULL, %s, 0, 0, 0, 0)",
            [at, ticks, depth],
        )


def verdicts(results: list[Result]) -> dict[str, str]:
    assert {result.subject for result in results} <= {"feed/stocks"}
    return {result.check: result.status for result in results}


ALL_WELL = {"watch-ingest": "passed", "watch-feed": "passed", "watch-spool": "passed"}


def test_a_feed_that_works_is_well(connection: Connection, stocks: Settings) -> None:
    """Its ingest lives, ticks come, nothing waits."""
    ran(connection, MONDAY_OPEN, ticks=5)
    assert verdicts(look(connection, stocks, LONG_AGO, MONDAY_OPEN)) == ALL_WELL


def test_an_ingest_that_has_gone_is_noticed(connection: Connection, stocks: Settings) -> None:
    """By its statistics, which it writes every second whether ticks come or not."""
    ran(connection, MONDAY_OPEN, ticks=5)
    well = look(connection, stocks, LONG_AGO, MONDAY_OPEN + timedelta(seconds=60))
    assert verdicts(well) == ALL_WELL
    (result,) = look(connection, stocks, LONG_AGO, MONDAY_OPEN + timedelta(seconds=61))
    assert (result.check, result.subject, result.severity, result.status) == (
        "watch-ingest",
        "feed/stocks",
        "critical",
        "failed",
    )
    assert (result.observed, result.expected) == ("last sign of life 61 s ago", "at most 60 s ago")


def test_an_ingest_that_never_came_is_noticed(connection: Connection, stocks: Settings) -> None:
    """But not before the watch itself is old enough: everything starts at the same time."""
    assert look(connection, stocks, MONDAY_OPEN, MONDAY_OPEN + timedelta(seconds=59)) == []
    (result,) = look(connection, stocks, MONDAY_OPEN, MONDAY_OPEN + timedelta(seconds=61))
    assert (result.check, result.status) == ("watch-ingest", "failed")
    assert result.observed == "last sign of life never"


def test_what_was_there_yesterday_is_not_missed_at_the_start(connection: Connection, stocks: Settings) -> None:
    """The feeds get as long to come as they may be away."""
    ran(connection, MONDAY_OPEN - timedelta(days=1), ticks=5)
    assert look(connection, stocks, MONDAY_OPEN, MONDAY_OPEN + timedelta(seconds=5)) == []


def test_a_feed_without_ticks_in_session_is_noticed(connection: Connection, stocks: Settings) -> None:
    """Its ingest lives all the same."""
    ran(connection, MONDAY_OPEN)
    found = look(connection, stocks, LONG_AGO, MONDAY_OPEN)
    assert verdicts(found) == ALL_WELL | {"watch-feed": "failed"}
    assert found[1].observed == "0 ticks in 120 s"


@pytest.mark.parametrize("moment", [SUNDAY, MONDAY_OPEN.replace(hour=12), MONDAY_OPEN.replace(hour=14, minute=31)])
def test_nothing_is_expected_of_a_closed_exchange(connection: Connection, stocks: Settings, moment: datetime) -> None:
    """Nor of one that has just opened: on Sunday, before the open, and a minute after it."""
    ran(connection, moment)
    assert verdicts(look(connection, stocks, LONG_AGO, moment)) == {"watch-ingest": "passed", "watch-spool": "passed"}


def test_an_ingest_that_has_just_started_is_given_time(connection: Connection, stocks: Settings) -> None:
    """It was not there long enough to be silent."""
    ran(connection, MONDAY_OPEN, depths=(0,) * 5)
    assert "watch-feed" not in verdicts(look(connection, stocks, LONG_AGO, MONDAY_OPEN))


@pytest.mark.parametrize(
    ("depths", "status"),
    [
        ((0, 0, 0, 0, 0, 0, 50_001), "failed"),
        ((100, 400, 700, 1_000, 1_300, 1_600, 1_900), "failed"),
        ((100, 200, 300, 400, 500, 600, 700), "passed"),
        ((9_000, 8_000, 7_000, 6_000, 5_000, 4_000, 3_000), "passed"),
        ((1_000, 2_000, 3_000), "passed"),
    ],
)
def test_a_growing_spool_is_noticed(
    connection: Connection, stocks: Settings, depths: tuple[int, ...], status: str
) -> None:
    """More than configured wait, or more and more for a minute; one that shrinks is on its way to be well."""
    ran(connection, MONDAY_OPEN, ticks=5, depths=depths)
    assert verdicts(look(connection, stocks, LONG_AGO, MONDAY_OPEN))["watch-spool"] == status
