"""One cause is notified once: the watchdog's alert about a feed inhibits those about its symbols."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from candleworks.alerts import CheckResult, DeliveryCounts, deliver, update
from candleworks.alerts.evaluation import INHIBIT_RULES
from candleworks.alerts.runbook import CHECK_RUNBOOK, WATCHDOG_RUNBOOK
from candleworks.alerts.watchdog import Watchdog
from candleworks.candles import calendars
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.model.notices import Notice
from candleworks.settings import Settings
from tests.alerts.conftest import NOW, results, settings_for
from tests.alerts.receivers import Web

ON_ONE_ENGINE = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
FEED = "feed/twelvedata"


class Timeline:
    """Results minute by minute, and the events that are notified: watchdog results about FEED, others about AAPL."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self.notified: list[tuple[str, str]] = []

    def report(self, minute: float, *failed: str, passed: tuple[str, ...] = ()) -> None:
        at = NOW + timedelta(minutes=minute)
        pairs = [(check, "failed") for check in failed] + [(check, "passed") for check in passed]
        found = [
            CheckResult(check, FEED if check in WATCHDOG_RUNBOOK else "AAPL", "warning", status, "seen", None, at)  # type: ignore[arg-type]
            for check, status in pairs
        ]
        update(self._connection, self._settings, found, self._notify)

    def _notify(self, notice: Notice) -> None:
        self.notified.append((str(notice.facts["event"]), notice.subject.partition("/")[0]))


@pytest.fixture
def timeline(connection: Connection, settings: Settings) -> Timeline:
    subscribed(connection, "twelvedata", "AAPL")
    return Timeline(connection, settings)


def subscribed(connection: Connection, feed: str, *symbols: str) -> None:
    connection.execute(
        "INSERT INTO feed_symbols SELECT %s, symbol, 'streaming', NULL, %s FROM unnest(%s::text[]) symbol",
        [feed, NOW, list(symbols)],
    )


def test_rules_name_checks_that_exist() -> None:
    """The watchdog's are sources, others are targets."""
    for rule in INHIBIT_RULES:
        assert set(rule.source) <= set(WATCHDOG_RUNBOOK)
        assert set(rule.target) <= set(CHECK_RUNBOOK)


def test_a_silent_feed_is_notified_once(timeline: Timeline, connection: Connection) -> None:
    """The watchdog's alert fires and is resolved; those of symbols are stored, and neither notified nor escalated."""
    timeline.report(2, "watch-feed")
    for minute in (5, 10, 15):
        timeline.report(minute, "freshness", "never-seen", passed=("company",))
    assert timeline.notified == [("opened", "watch-feed")]
    for minute in (16, 17):
        timeline.report(minute, passed=("watch-feed",))
    for minute in (20, 25):
        timeline.report(minute, passed=("freshness", "never-seen"))
    assert timeline.notified == [("opened", "watch-feed"), ("resolved", "watch-feed")]
    rows = connection.execute("SELECT DISTINCT event, note FROM alert_events WHERE note IS NOT NULL").fetchall()
    assert rows == [("opened", "inhibited by watch-feed")]
    assert connection.execute("SELECT count(*) FROM alerts WHERE resolved_at IS NULL").fetchall() == [(0,)]


@ON_ONE_ENGINE
def test_without_the_watchdog_the_checks_notify(timeline: Timeline) -> None:
    """Whatever fires first: an alert that was notified goes on, and is resolved with a notification."""
    timeline.report(5, "freshness")
    timeline.report(6, "watch-ingest")
    timeline.report(10, "freshness")
    for minute in (40, 45):
        timeline.report(minute, passed=("watch-ingest", "freshness"))
    assert timeline.notified == [
        ("opened", "freshness"),
        ("opened", "watch-ingest"),
        ("resolved", "watch-ingest"),
        ("resolved", "freshness"),
    ]


@ON_ONE_ENGINE
def test_what_is_found_before_a_delivery_is_one_notification(dsn: str, connection: Connection, web: Web) -> None:
    """The feed, and each of its symbols that were found at the same time."""
    settings = settings_for(dsn, web.url)
    symbols = [f"S{number:03}" for number in range(100)]
    subscribed(connection, "twelvedata", *symbols)
    silent = CheckResult("watch-feed", FEED, "critical", "failed", "0 ticks in the last 120 s", "at least 1 tick", NOW)
    update(connection, settings, [silent, *results("failed", *symbols)])
    assert deliver(settings, dsn) == DeliveryCounts(notifications=1, alerts=101)
    [message] = web.messages
    assert message.title == f"CRITICAL firing: watch-feed {FEED}, 100 more firing [candleworks]"
    assert "feed/twelvedata: 0 ticks in the last 2 min" in message.text
    assert "WARNING firing: freshness, 100 subjects" in message.text


@ON_ONE_ENGINE
def test_without_prefect_the_watchdog_notifies(
    dsn: str, connection: Connection, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two minutes after the last tick, whatever the checks found before."""
    monkeypatch.setattr(calendars, "FIRST_DAY", date(2026, 1, 1))
    settings = settings_for(dsn, web.url).model_copy(update={"home": tmp_path})
    update(connection, settings, results("failed", "AAPL"))
    connection.execute(
        "INSERT INTO ingest_stats (feed, at, ticks, batches, spool_depth, reconnects, duplicates, rejected, candles)"
        " SELECT 'twelvedata', now() - n * interval '10 seconds', CASE WHEN n > 12 THEN 5 ELSE 0 END, 0, 0, 0, 0, 0, 0"
        " FROM generate_series(0, 30) n"
    )
    Watchdog(settings, dsn).run_once()
    rows = connection.execute('SELECT "check", notified_at IS NULL FROM alerts WHERE status = %s ORDER BY id', ["open"])
    assert rows.fetchall() == [("freshness", False), ("watch-feed", False)]
    assert web.messages[0].title == f"CRITICAL firing: watch-feed {FEED}, 1 more firing [candleworks]"


@ON_ONE_ENGINE
def test_symbols_of_a_feed_that_recovered_have_a_grace_period(timeline: Timeline) -> None:
    """Slow ones tick later than the feed recovers; what is silent for longer is notified, with its opening."""
    timeline.report(2, "watch-feed")
    timeline.report(15, "freshness")
    for minute in (16, 17):
        timeline.report(minute, passed=("watch-feed",))
    timeline.report(20, "freshness")
    timeline.report(31, "freshness")
    assert timeline.notified == [("opened", "watch-feed"), ("resolved", "watch-feed")]
    timeline.report(33, "freshness")
    assert timeline.notified[2:] == [("opened", "freshness")]


@ON_ONE_ENGINE
def test_other_checks_and_symbols_with_a_working_feed_are_notified(timeline: Timeline, connection: Connection) -> None:
    """A symbol that another feed streams too would have its ticks."""
    timeline.report(1, "watch-feed")
    timeline.report(2, "ingest-lag")
    subscribed(connection, "third", "AAPL")
    timeline.report(3, "freshness")
    assert timeline.notified[1:] == [("opened", "ingest-lag"), ("opened", "freshness")]


@ON_ONE_ENGINE
def test_a_silenced_alert_inhibits_and_an_abandoned_one_does_not(timeline: Timeline, connection: Connection) -> None:
    """Whoever silences the feed wants nothing about its symbols; a watchdog that is gone for a day inhibits nothing."""
    timeline.report(1, "watch-feed")
    connection.execute("SELECT silence_alert(id, '2100-01-01', 'moving') FROM alerts")
    timeline.report(5, "freshness")
    connection.execute("SELECT unsilence_alert(id) FROM alerts WHERE silenced_until IS NOT NULL")
    timeline.report(24 * 60, "freshness")
    assert timeline.notified == [("opened", "watch-feed")]
    timeline.report(24 * 60 + 5, "freshness")
    assert timeline.notified == [("opened", "watch-feed"), ("opened", "freshness")]


@ON_ONE_ENGINE
def test_a_check_error_is_never_inhibited(timeline: Timeline, settings: Settings, connection: Connection) -> None:
    """Nothing is known about the symbol, so no other alert says it."""
    timeline.report(1, "watch-feed")
    at = NOW + timedelta(minutes=2)
    changes = update(connection, settings, [CheckResult("freshness", "AAPL", "critical", "error", "boom", None, at)])
    assert [alert.notified_at for alert in changes.opened] == [at]
