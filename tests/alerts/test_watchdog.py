"""What the watchdog says about feeds, from the signs that they leave in ingest_stats."""

from datetime import UTC, datetime, timedelta

import pytest

from candleworks.alerts.watchdog import judge, look
from candleworks.database.connection import Connection
from candleworks.model.alerts import Result
from candleworks.settings import Feed, Settings, Watch
from candleworks.storage.calendars import OTHER_STOCKS, Calendar, Session, save_calendar, save_rules
from candleworks.storage.liveness import FeedSigns

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


ALL_WELL = {
    "watch-stopped": "passed", "watch-ingest": "passed", "watch-feed": "passed", "watch-spool": "passed"
}  # fmt: skip


def test_a_feed_that_works_is_well(connection: Connection, stocks: Settings) -> None:
    """Its ingest lives, ticks come, nothing waits."""
    ran(connection, MONDAY_OPEN, ticks=5)
    assert verdicts(look(connection, stocks, LONG_AGO, MONDAY_OPEN)) == ALL_WELL


def test_a_feed_without_ticks_in_session_is_noticed(connection: Connection, stocks: Settings) -> None:
    """Its ingest lives all the same. Nothing is expected on Sunday, before the open, and a minute after it."""
    closed = (SUNDAY, MONDAY_OPEN.replace(hour=12), MONDAY_OPEN.replace(hour=14, minute=31))
    for moment in (*closed, MONDAY_OPEN):
        ran(connection, moment)
    for moment in closed:
        found = verdicts(look(connection, stocks, LONG_AGO, moment))
        assert found == {name: "passed" for name in ALL_WELL if name != "watch-feed"}
    silent = look(connection, stocks, LONG_AGO, MONDAY_OPEN)
    assert verdicts(silent) == ALL_WELL | {"watch-feed": "failed"}
    assert silent[2].observed == "0 ticks in 120 s"


def signs(
    seconds_ago: float | None = 5,
    ticks: int = 5,
    windows: int = 12,
    depths: tuple[int, ...] = (0,) * 7,
    *,
    in_session: bool = True,
) -> FeedSigns:
    last = None if seconds_ago is None else MONDAY_OPEN - timedelta(seconds=seconds_ago)
    return FeedSigns("stocks", last, windows, ticks, list(depths), in_session)


def judged(found: FeedSigns, watched_since: datetime = LONG_AGO) -> list[Result]:
    return list(judge(found, Watch(), watched_since, MONDAY_OPEN))


def test_an_ingest_that_has_gone_is_noticed() -> None:
    """By its statistics, which it writes every second whether ticks come or not."""
    assert verdicts(judged(signs(60))) == ALL_WELL
    _, result = judged(signs(60.5))
    assert (result.check, result.subject, result.severity) == ("watch-ingest", "feed/stocks", "critical")
    assert (result.status, result.observed) == ("failed", "last sign of life 61 s ago")
    assert result.expected == "at most 60 s ago"


@pytest.mark.parametrize("last_seen_seconds_ago", [None, 86_400])
def test_a_feed_is_given_time_to_come(last_seen_seconds_ago: float | None) -> None:
    """As long as it may be away: when the watch begins, everything begins. Then it is missed."""
    found = signs(last_seen_seconds_ago)
    assert verdicts(judged(found, MONDAY_OPEN - timedelta(seconds=59))) == {"watch-stopped": "passed"}
    _, result = judged(found, MONDAY_OPEN - timedelta(seconds=61))
    assert (result.check, result.status) == ("watch-ingest", "failed")
    seen = "86,400 s ago" if last_seen_seconds_ago else "never"
    assert result.observed == f"last sign of life {seen}"


def test_an_ingest_that_has_just_started_is_not_silent() -> None:
    """It was not there for long enough; ticks that come show at once that it is well."""
    assert "watch-feed" not in verdicts(judged(signs(ticks=0, windows=11)))
    assert verdicts(judged(signs(ticks=1, windows=1, in_session=False))) == ALL_WELL


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
def test_a_growing_spool_is_noticed(depths: tuple[int, ...], status: str) -> None:
    """More than configured wait, or more and more for a minute; one that shrinks is on its way to be well."""
    assert verdicts(judged(signs(depths=depths)))["watch-spool"] == status


def stopped(connection: Connection, *, deliberate: bool) -> None:
    """The feed was stopped in order an hour ago."""
    connection.execute(
        "INSERT INTO feed_stops VALUES ('stocks', %s, 'cancelled in Prefect', %s)",
        [MONDAY_OPEN - timedelta(hours=1), deliberate],
    )


def test_a_feed_that_a_person_stopped_is_a_note(connection: Connection, stocks: Settings) -> None:
    """Nobody misses its ingest or its ticks until it is started again."""
    ran(connection, MONDAY_OPEN - timedelta(hours=1))
    stopped(connection, deliberate=True)
    found = look(connection, stocks, LONG_AGO, MONDAY_OPEN)
    assert verdicts(found) == ALL_WELL | {"watch-stopped": "failed"}
    assert (found[0].severity, found[0].observed) == (
        "info",
        "stopped at 2026-01-05 15:00:00 UTC: cancelled in Prefect",
    )


def test_a_feed_that_ended_with_its_worker_is_missed(connection: Connection, stocks: Settings) -> None:
    """The worker should be back, and start it."""
    ran(connection, MONDAY_OPEN - timedelta(hours=1))
    stopped(connection, deliberate=False)
    found = verdicts(look(connection, stocks, LONG_AGO, MONDAY_OPEN))
    assert found == {"watch-stopped": "passed", "watch-ingest": "failed"}


def checked(connection: Connection, *minutes_ago: float) -> None:
    """A run of checks so long before MONDAY_OPEN."""
    for minutes in minutes_ago:
        connection.execute(
            'INSERT INTO quality_results ("check", subject, suite, severity, status, at)'
            " SELECT name, 'system', 'system', 'warning', 'passed', %s FROM unnest(ARRAY['disk', 'spool']) name",
            [MONDAY_OPEN - timedelta(minutes=minutes)],
        )


def checks(connection: Connection, settings: Settings, since: datetime = LONG_AGO) -> Result | None:
    found = look(connection, settings, since, MONDAY_OPEN)
    return next((result for result in found if result.check == "watch-checks"), None)


def test_checks_that_run_are_well(connection: Connection, stocks: Settings) -> None:
    """Their newest run counts; before the first one nothing is expected."""
    assert checks(connection, stocks) is None
    checked(connection, 3)
    result = checks(connection, stocks)
    assert result
    assert (result.subject, result.status, result.observed) == ("checks", "passed", "last run 180 s ago")


def test_scheduled_checks_that_stop_are_noticed(connection: Connection, stocks: Settings) -> None:
    """As when Prefect is down. After a start they are given time to come."""
    checked(connection, *range(31, 85, 5))
    result = checks(connection, stocks)
    assert result
    assert (result.status, result.severity) == ("failed", "warning")
    assert (result.observed, result.expected) == ("last run 1,860 s ago", "at most 1,800 s ago")
    assert checks(connection, stocks, MONDAY_OPEN - timedelta(minutes=30)) is None


@pytest.mark.parametrize("minutes_ago", [(31,), (31, 31.5, 32, 32.5, 33, 33.5, 34), (31, 41, 51, 61, 71), (1_441,)])
def test_checks_by_hand_are_not_missed(
    connection: Connection, stocks: Settings, minutes_ago: tuple[float, ...]
) -> None:
    """However many somebody ran within some minutes, now and then, or a day ago."""
    checked(connection, *minutes_ago)
    assert checks(connection, stocks) is None
