"""What the watchdog finds about feeds in ingest_stats and feed_gaps."""

from datetime import UTC, datetime, timedelta

import pytest

from candleworks.alerts.liveness import feed_results, liveness_results
from candleworks.database.connection import Connection
from candleworks.model.alerts import CheckResult
from candleworks.settings import Feed, Settings, SilenceLimits
from candleworks.storage.calendars import OTHER_STOCKS, Calendar, Session, save_calendar, save_rules
from candleworks.storage.feeds import save_refusal
from candleworks.storage.liveness import FeedLiveness

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


def statuses(results: list[CheckResult]) -> dict[str, str]:
    assert {result.subject for result in results} <= {"feed/stocks"}
    return {result.check: result.status for result in results}


ALL_PASSED = dict.fromkeys(("watch-stopped", "watch-ingest", "watch-key", "watch-feed", "watch-spool"), "passed")


def test_a_feed_that_works_passes(connection: Connection, stocks: Settings) -> None:
    """Its ingest is alive, ticks arrive, nothing waits."""
    ran(connection, MONDAY_OPEN, ticks=5)
    assert statuses(liveness_results(connection, stocks, LONG_AGO, MONDAY_OPEN)) == ALL_PASSED


def test_a_feed_without_ticks_in_session_is_noticed(connection: Connection, stocks: Settings) -> None:
    """Though its ingest is alive. Nothing is expected on Sunday, before the open, and a minute after it."""
    closed = (SUNDAY, MONDAY_OPEN.replace(hour=12), MONDAY_OPEN.replace(hour=14, minute=31))
    for moment in (*closed, MONDAY_OPEN):
        ran(connection, moment)
    for moment in closed:
        found = statuses(liveness_results(connection, stocks, LONG_AGO, moment))
        assert found == {name: "passed" for name in ALL_PASSED if name != "watch-feed"}
    silent = liveness_results(connection, stocks, LONG_AGO, MONDAY_OPEN)
    assert statuses(silent) == ALL_PASSED | {"watch-feed": "failed"}
    assert (silent[2].observed, silent[2].expected) == ("0 ticks in the last 120 s", "at least 1 tick")


def liveness(
    seconds_ago: float | None = 5,
    ticks: int = 5,
    windows: int = 12,
    depths: tuple[int, ...] = (0,) * 7,
    *,
    in_session: bool = True,
) -> FeedLiveness:
    last = None if seconds_ago is None else MONDAY_OPEN - timedelta(seconds=seconds_ago)
    return FeedLiveness("stocks", last, windows, ticks, list(depths), in_session)


def judged(found: FeedLiveness, watched_since: datetime = LONG_AGO) -> list[CheckResult]:
    return list(feed_results(found, Settings(), watched_since, MONDAY_OPEN))


def test_an_ingest_without_heartbeat_fails() -> None:
    """By its statistics, which it writes every second whether ticks arrive or not."""
    assert statuses(judged(liveness(60))) == ALL_PASSED
    _, result = judged(liveness(60.5))
    assert (result.check, result.subject, result.severity) == ("watch-ingest", "feed/stocks", "critical")
    assert (result.status, result.observed) == ("failed", "last heartbeat 61 s ago")
    assert result.expected == "a heartbeat within 60 s"


@pytest.mark.parametrize(("last_seen_seconds_ago", "patience"), [(86_400, 60), (None, 180)])
def test_a_feed_is_given_time_to_come(last_seen_seconds_ago: float | None, patience: int) -> None:
    """As long as its heartbeat may be missing, from the start of the watchdog on; thrice as long for its first one."""
    found = liveness(last_seen_seconds_ago)
    assert statuses(judged(found, MONDAY_OPEN - timedelta(seconds=patience - 1))) == {"watch-stopped": "passed"}
    _, result = judged(found, MONDAY_OPEN - timedelta(seconds=patience + 1))
    assert (result.check, result.status) == ("watch-ingest", "failed")
    assert result.observed == ("last heartbeat 86,400 s ago" if last_seen_seconds_ago else "no heartbeat yet")


def test_an_ingest_that_has_just_started_is_not_silent() -> None:
    """Not all of the window has statistics; ticks that arrive pass at once."""
    assert "watch-feed" not in statuses(judged(liveness(ticks=0, windows=11)))
    assert statuses(judged(liveness(ticks=1, windows=1, in_session=False))) == ALL_PASSED


def test_the_limit_of_silence_is_that_of_the_feed(connection: Connection, stocks: Settings) -> None:
    """The feed reconnects after it, and after twice as long without ticks people are notified."""
    patient = stocks.model_copy(update={"silence": SilenceLimits(feed_seconds=70)})
    ran(connection, MONDAY_OPEN)
    [found] = [
        each for each in liveness_results(connection, patient, LONG_AGO, MONDAY_OPEN) if each.check == "watch-feed"
    ]
    assert (found.status, found.observed) == ("failed", "0 ticks in the last 140 s")


@pytest.mark.parametrize(
    ("symbol", "reason", "minutes", "expected"),
    [
        (None, "dropped", 3, {"watch-feed": "failed"}),
        (None, "dropped", 1, {}),
        (None, "silent", 3, {}),
        (None, "overflow", 3, {}),
        ("AAPL", "dropped", 3, {}),
    ],
)
def test_a_feed_that_cannot_connect_fails(
    connection: Connection, stocks: Settings, symbol: str | None, reason: str, minutes: int, expected: dict[str, str]
) -> None:
    """Its open gap lasts, whether a market is open or not; silence and a full spool are judged by themselves."""
    ran(connection, SUNDAY)
    connection.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, reason) VALUES ('stocks', %s, %s, %s)",
        [symbol, SUNDAY - timedelta(minutes=minutes), reason],
    )
    found = liveness_results(connection, stocks, LONG_AGO, SUNDAY)
    assert {name: status for name, status in statuses(found).items() if name == "watch-feed"} == expected
    if expected:
        assert (found[2].severity, found[2].observed) == (
            "warning",
            "disconnected since 2026-01-04 15:57:00 UTC (dropped)",
        )
        connection.execute("UPDATE feed_gaps SET started_at = %s", [MONDAY_OPEN - timedelta(minutes=3)])
        ran(connection, MONDAY_OPEN, ticks=5)
        assert liveness_results(connection, stocks, LONG_AGO, MONDAY_OPEN)[2].severity == "critical"


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
def test_a_full_or_growing_spool_fails(depths: tuple[int, ...], status: str) -> None:
    """More ticks wait than configured, or their number grows for a minute."""
    *_, result = judged(liveness(depths=depths))
    assert (result.check, result.subject, result.severity) == ("watch-spool", "feed/stocks", "warning")
    assert result.status == status
    assert (
        result.observed
        == f"{depths[-1]:,} ticks waiting for the database, {depths[-1] - depths[0]:+,} in the last minute"
    )


def test_a_spool_without_statistics_is_not_judged(connection: Connection, stocks: Settings) -> None:
    """The feed was stopped, or its ingest is gone: its ticks may wait on disk, so nothing is resolved."""
    ran(connection, MONDAY_OPEN - timedelta(hours=1), depths=(80_000,) * 15)
    assert "watch-spool" not in statuses(liveness_results(connection, stocks, LONG_AGO, MONDAY_OPEN))
    stopped(connection, deliberate=True)
    assert "watch-spool" not in statuses(liveness_results(connection, stocks, LONG_AGO, MONDAY_OPEN))
    ran(connection, MONDAY_OPEN, depths=(12,))
    *_, result = liveness_results(connection, stocks, LONG_AGO, MONDAY_OPEN)
    assert (result.status, result.observed) == ("passed", "12 ticks waiting for the database, +0 in the last minute")


def test_a_refused_key_that_has_worked_fails(connection: Connection, stocks: Settings) -> None:
    """With what was answered, until the vendor accepts it again."""
    ran(connection, MONDAY_OPEN, ticks=5)
    save_refusal(connection, "stocks", "HTTP 403: Access denied")
    connection.execute("UPDATE candleworks.feed_refusals SET since = %s", [MONDAY_OPEN])
    save_refusal(connection, "stocks", "HTTP 403: Try later")
    found = liveness_results(connection, stocks, LONG_AGO, MONDAY_OPEN)
    assert statuses(found) == ALL_PASSED | {"watch-key": "failed"}
    assert (found[3].severity, found[3].observed) == (
        "critical",
        "refused since 2026-01-05 16:00:00 UTC (HTTP 403: Try later)",
    )
    save_refusal(connection, "stocks", None)
    assert statuses(liveness_results(connection, stocks, LONG_AGO, MONDAY_OPEN)) == ALL_PASSED


def stopped(connection: Connection, *, deliberate: bool) -> None:
    """The feed was stopped an hour ago."""
    connection.execute(
        "INSERT INTO feed_stops VALUES ('stocks', %s, 'cancelled in Prefect', %s)",
        [MONDAY_OPEN - timedelta(hours=1), deliberate],
    )


def test_a_feed_that_an_operator_stopped_is_only_info(connection: Connection, stocks: Settings) -> None:
    """Neither its ingest nor its ticks are expected until it is started again."""
    ran(connection, MONDAY_OPEN - timedelta(hours=1))
    stopped(connection, deliberate=True)
    found = liveness_results(connection, stocks, LONG_AGO, MONDAY_OPEN)
    passed = dict.fromkeys(("watch-ingest", "watch-feed", "watch-key"), "passed")
    assert statuses(found) == {"watch-stopped": "failed"} | passed
    assert (found[0].severity, found[0].observed) == (
        "info",
        "stopped at 2026-01-05 15:00:00 UTC: cancelled in Prefect",
    )


def test_a_feed_that_ended_with_its_worker_fails(connection: Connection, stocks: Settings) -> None:
    """The worker should be restarted, and start it."""
    ran(connection, MONDAY_OPEN - timedelta(hours=1))
    stopped(connection, deliberate=False)
    found = statuses(liveness_results(connection, stocks, LONG_AGO, MONDAY_OPEN))
    assert found == {"watch-stopped": "passed", "watch-ingest": "failed"}


def checked(connection: Connection, *minutes_ago: float) -> None:
    """A run of checks so long before MONDAY_OPEN."""
    for minutes in minutes_ago:
        connection.execute(
            'INSERT INTO quality_results ("check", subject, suite, severity, status, at)'
            " SELECT name, 'system', 'system', 'warning', 'passed', %s FROM unnest(ARRAY['disk', 'retention']) name",
            [MONDAY_OPEN - timedelta(minutes=minutes)],
        )


def checks(connection: Connection, settings: Settings, since: datetime = LONG_AGO) -> CheckResult | None:
    found = liveness_results(connection, settings, since, MONDAY_OPEN)
    return next((result for result in found if result.check == "watch-checks"), None)


def test_checks_that_run_pass(connection: Connection, stocks: Settings) -> None:
    """Their newest run counts; before the first one nothing is expected."""
    assert checks(connection, stocks) is None
    checked(connection, 3)
    result = checks(connection, stocks)
    assert result
    assert (result.subject, result.status, result.observed) == ("checks", "passed", "last run 180 s ago")


def test_scheduled_checks_that_stop_fail(connection: Connection, stocks: Settings) -> None:
    """As when Prefect is down, but not right after the start of the watchdog."""
    checked(connection, *range(31, 85, 5))
    result = checks(connection, stocks)
    assert result
    assert (result.status, result.severity) == ("failed", "warning")
    assert (result.observed, result.expected) == ("last run 1,860 s ago", "a run within 1,800 s")
    assert checks(connection, stocks, MONDAY_OPEN - timedelta(minutes=30)) is None


@pytest.mark.parametrize("minutes_ago", [(31,), (31, 31.5, 32, 32.5, 33, 33.5, 34), (31, 41, 51, 61, 71), (1_441,)])
def test_checks_by_hand_are_not_expected(
    connection: Connection, stocks: Settings, minutes_ago: tuple[float, ...]
) -> None:
    """However many somebody ran within some minutes, now and then, or a day ago."""
    checked(connection, *minutes_ago)
    assert checks(connection, stocks) is None
