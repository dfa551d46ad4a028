"""One trouble that several checks see is told once, whichever of them run."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from candleworks.alerts import Delivered, Result, deliver, update
from candleworks.alerts.watch_loop import Watch
from candleworks.candles import calendars
from candleworks.clock import now
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.model.notices import Notice
from candleworks.settings import Settings
from tests.alerts.conftest import NOW, results, told_to
from tests.alerts.receivers import Web

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
FEED = "feed/twelvedata"


class Heard:
    """What a person hears while checks and the watchdog report, minute by minute."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self.told: list[tuple[str, str]] = []

    def report(self, minute: float, *failed: str, passed: tuple[str, ...] = (), subject: str = FEED) -> None:
        at = NOW + timedelta(minutes=minute)
        pairs = [(check, "failed") for check in failed] + [(check, "passed") for check in passed]
        results = [
            Result(check, "AAPL" if check == "freshness" else subject, "warning", status, "seen", None, at)  # type: ignore[arg-type]
            for check, status in pairs
        ]
        update(self._connection, self._settings, results, self._hear)

    def _hear(self, notice: Notice) -> None:
        self.told.append((str(notice.facts["event"]), notice.subject.partition("/")[0]))


@pytest.fixture
def heard(connection: Connection, settings: Settings) -> Heard:
    connection.execute("INSERT INTO feed_symbols VALUES ('twelvedata', 'AAPL', 'streaming', NULL, %s)", [NOW])
    return Heard(connection, settings)


def test_a_silent_feed_is_told_once_when_all_run(heard: Heard, connection: Connection) -> None:
    """The watchdog is first; checks and symbols agree with it, in silence, and so does the end."""
    heard.report(2, "watch-feed")
    heard.report(5, "feed-silent", "freshness", "open-gaps")
    heard.report(10, "feed-silent", "freshness", "open-gaps", passed=("company",))
    heard.report(15, "feed-silent", "freshness", "open-gaps")
    assert heard.told == [("opened", "watch-feed")]
    for minute in (16, 17):
        heard.report(minute, passed=("watch-feed",))
    for minute in (20, 25):
        heard.report(minute, passed=("feed-silent", "freshness", "open-gaps"))
    assert heard.told == [("opened", "watch-feed"), ("resolved", "watch-feed")]
    rows = connection.execute("SELECT DISTINCT event, note FROM alert_events WHERE note IS NOT NULL").fetchall()
    assert rows == [("opened", "inhibited by watch-feed")]
    assert connection.execute("SELECT count(*) FROM alerts WHERE resolved_at IS NULL").fetchall() == [(0,)]


def test_without_the_watchdog_the_check_tells(heard: Heard) -> None:
    """When the watchdog comes later, it adds nothing, and so do symbols."""
    heard.report(5, "open-gaps", "feed-silent")
    heard.report(6, "watch-feed")
    heard.report(10, "open-gaps", "feed-silent", "freshness")
    heard.report(15, "open-gaps", "feed-silent", "freshness")
    found = {("opened", "feed-silent"), ("opened", "open-gaps")}
    assert set(heard.told[:2]) == found
    assert heard.told[2:] == [("escalated", "feed-silent")]
    for minute in (20, 25):
        heard.report(minute, passed=("feed-silent", "freshness", "open-gaps", "watch-feed"))
    assert sorted(heard.told[3:]) == [("resolved", "feed-silent"), ("resolved", "open-gaps")]


def test_what_one_run_finds_is_told_in_one_message(dsn: str, connection: Connection, web: Web) -> None:
    """The silent feed, and each of its symbols."""
    settings = told_to(dsn, web.url)
    symbols = [f"S{number:03}" for number in range(100)]
    connection.execute(
        "INSERT INTO feed_symbols SELECT 'twelvedata', symbol, 'streaming', NULL, %s FROM unnest(%s::text[]) symbol",
        [NOW, symbols],
    )
    silent = Result("feed-silent", FEED, "critical", "failed", "312 s", None, NOW)
    update(connection, settings, [silent, *results("failed", *symbols)])
    assert deliver(settings, dsn) == Delivered(notifications=1, alerts=101)
    [message] = web.messages
    assert message.title == f"CRITICAL firing: feed-silent {FEED}, 100 more firing [candleworks]"
    assert "feed-silent" in message.text
    assert "WARNING firing: freshness, 100 subjects" in message.text


def test_without_the_checks_the_watchdog_tells(
    dsn: str, connection: Connection, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does with the orchestrator down; a `feed-silent` that it finds, and that ended long ago, is in no way."""
    monkeypatch.setattr(calendars, "FIRST_DAY", date(2026, 1, 1))
    settings = told_to(dsn, web.url).model_copy(update={"home": tmp_path})
    for minutes, status in ((30, "failed"), (20, "passed"), (10, "passed")):
        at = now() - timedelta(minutes=minutes)
        update(connection, settings, [Result("feed-silent", FEED, "critical", status, None, None, at)])  # type: ignore[arg-type]
    connection.execute(
        "INSERT INTO ingest_stats (feed, at, ticks, batches, spool_depth, reconnects, duplicates, rejected, candles)"
        " SELECT 'twelvedata', now() - n * interval '10 seconds', 0, 0, 0, 0, 0, 0, 0 FROM generate_series(0, 30) n"
    )
    Watch(settings, dsn).round()
    rows = connection.execute('SELECT "check", notified_at IS NULL FROM alerts WHERE status = %s', ["open"])
    assert rows.fetchall() == [("watch-feed", False)]


def test_what_goes_on_is_told_when_its_speaker_ends(heard: Heard) -> None:
    """The ingest is back, and no tick comes: another trouble now, with the time since when it was seen."""
    heard.report(1, "watch-ingest")
    heard.report(5, "feed-silent")
    for minute in (6, 7):
        heard.report(minute, passed=("watch-ingest",))
    heard.report(10, "feed-silent")
    heard.report(11, "watch-feed")
    assert heard.told == [("opened", "watch-ingest"), ("resolved", "watch-ingest"), ("opened", "feed-silent")]


def test_symbols_of_a_feed_that_came_back_are_given_time(heard: Heard) -> None:
    """Slow ones have no tick yet when it is told that the feed is well; what is silent for longer is told."""
    heard.report(2, "watch-feed")
    heard.report(15, "freshness")
    for minute in (16, 17):
        heard.report(minute, passed=("watch-feed",))
    heard.report(20, "freshness")
    heard.report(31, "freshness")
    assert heard.told == [("opened", "watch-feed"), ("resolved", "watch-feed")]
    heard.report(33, "freshness")
    assert heard.told[2:] == [("opened", "freshness")]


def test_another_feed_and_other_checks_are_told(heard: Heard, connection: Connection) -> None:
    """Nobody speaks for them, nor for a symbol that a feed streams which is well."""
    heard.report(1, "watch-feed")
    heard.report(2, "feed-silent", subject="feed/other")
    heard.report(2, "ingest-lag")
    connection.execute("INSERT INTO feed_symbols VALUES ('third', 'AAPL', 'streaming', NULL, %s)", [NOW])
    heard.report(3, "freshness")
    assert heard.told[1:] == [("opened", "feed-silent"), ("opened", "ingest-lag"), ("opened", "freshness")]


def test_who_is_muted_speaks_and_who_is_forgotten_does_not(heard: Heard, connection: Connection) -> None:
    """Nobody wants to hear a muted trouble from another; a watchdog that was given up keeps nobody quiet."""
    heard.report(1, "watch-feed")
    connection.execute("SELECT silence_alert(id, '2100-01-01', 'moving') FROM alerts")
    heard.report(5, "feed-silent")
    connection.execute("SELECT unsilence_alert(id) FROM alerts WHERE silenced_until IS NOT NULL")
    heard.report(24 * 60, "feed-silent")
    assert heard.told == [("opened", "watch-feed")]
    heard.report(24 * 60 + 5, "feed-silent")
    assert heard.told == [("opened", "watch-feed"), ("opened", "feed-silent")]


def test_a_check_that_breaks_is_told_whoever_speaks(heard: Heard, settings: Settings, connection: Connection) -> None:
    """Nothing is known, so nobody told it."""
    heard.report(1, "watch-spool")
    at = NOW + timedelta(minutes=2)
    changed = update(connection, settings, [Result("spool", FEED, "critical", "error", "boom", None, at)])
    assert [alert.notified_at for alert in changed.opened] == [at]
