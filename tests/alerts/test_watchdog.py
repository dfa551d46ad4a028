"""The watchdog, with databases that are really stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from candleworks.alerts.watchdog import Watchdog
from candleworks.candles import calendars
from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.engine import Engine
from candleworks.settings import Settings
from tests.alerts.conftest import settings_for
from tests.alerts.receivers import Web
from tests.cli.commands import ended, environment, started

PATIENCE_SECONDS = 60
SIGN = (
    "INSERT INTO ingest_stats (feed, at, ticks, batches, spool_depth, reconnects, duplicates, rejected, candles)"
    " VALUES ('twelvedata', now() - {}, 1, 1, 0, 0, 0, 0, 0)"
)


def watching(settings: Settings, home: Path, **rules: object) -> Settings:
    """Those settings, with a watchdog that notifies at once."""
    watch = settings.alerts.watch.model_copy(update={"database_away_seconds": 0.0, **rules})
    alerts = settings.alerts.model_copy(update={"watch": watch, "escalate_after_seconds": 0})
    return settings.model_copy(update={"alerts": alerts, "home": home})


@pytest.fixture(autouse=True)
def few_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute the sessions of two years instead of forty."""
    monkeypatch.setattr(calendars, "FIRST_DAY", date(2026, 1, 1))


def titles(web: Web) -> list[str]:
    return [message.title.removesuffix(" [candleworks]") for message in web.messages]


def test_an_ingest_that_dies_and_recovers_is_two_notifications(
    dsn: str, connection: Connection, web: Web, tmp_path: Path
) -> None:
    """Whatever else runs or does not."""
    watchdog = Watchdog(watching(settings_for(dsn, web.url), tmp_path, ingest_away_seconds=-1), dsn)
    connection.execute(SIGN.format("interval '1 hour'"))
    watchdog.run_once()
    watchdog.run_once()
    assert titles(web) == ["CRITICAL firing: watch-ingest feed/twelvedata"]
    alive = Watchdog(watching(settings_for(dsn, web.url), tmp_path), dsn)
    connection.execute(SIGN.format("interval '1 second'"))
    for _ in range(3):
        alive.run_once()
    assert titles(web)[1:] == ["CRITICAL resolved: watch-ingest feed/twelvedata"]


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_a_feed_that_an_operator_stopped_is_one_notification(
    dsn: str, connection: Connection, web: Web, tmp_path: Path
) -> None:
    """However long that lasts; what its silence fired is resolved."""
    watchdog = Watchdog(
        watching(settings_for(dsn, web.url, escalate_after_failures=2), tmp_path, ingest_away_seconds=-1), dsn
    )
    watchdog.run_once()
    connection.execute("INSERT INTO feed_stops VALUES ('twelvedata', now(), 'cancelled in Prefect', true)")
    for _ in range(4):
        watchdog.run_once()
    assert titles(web) == [
        "CRITICAL firing: watch-ingest feed/twelvedata",
        "INFO firing: watch-stopped feed/twelvedata",
        "CRITICAL resolved: watch-ingest feed/twelvedata",
    ]


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_feeds_that_cannot_be_read_are_an_alert_of_their_own(
    dsn: str, connection: Connection, web: Web, tmp_path: Path
) -> None:
    """It resolves no other alert, and is resolved when they can be read again."""
    settings = watching(settings_for(dsn, web.url), tmp_path, ingest_away_seconds=-1)
    watchdog = Watchdog(settings, dsn)
    watchdog.run_once()
    connection.execute("ALTER TABLE ingest_stats RENAME TO elsewhere")
    watchdog.run_once()
    watchdog.run_once()
    assert titles(web)[1:] == ["CRITICAL check error: watch feeds"]
    sentence = 'the check could not be run: The state of the feeds could not be read (relation "public.ingest_stats"'
    assert sentence in web.messages[1].text
    connection.execute("ALTER TABLE elsewhere RENAME TO ingest_stats")
    for _ in range(2):
        watchdog.run_once()
    assert "resolved" in titles(web)[-1]
    rows = connection.execute('SELECT "check", status FROM alerts ORDER BY id').fetchall()
    assert rows == [("watch-ingest", "open"), ("watch", "resolved")]


class Database:
    """A server of the test's own that can be taken away, and brought back."""

    def __init__(self, home: Path) -> None:
        self._server = EmbeddedServer(home)
        self.dsn = self._server.dsn

    def start(self) -> None:
        self._using = self._server.use()
        self._using.__enter__()

    def stop(self) -> None:
        self._using.__exit__(None, None, None)

    def rows(self, statement: str) -> list[Any]:
        with connect(self.dsn) as connection:
            return connection.execute(statement).fetchall()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "server")
    database.start()
    yield database
    database.stop()


def test_a_database_that_is_not_available_is_notified_directly(
    database: Database, web: Web, other_web: Web, tmp_path: Path
) -> None:
    """Once per recipient, with its escalation; stored and resolved when it is back, and nothing is sent twice."""
    settings = watching(settings_for(database.dsn, web.url, other_web.url), tmp_path)
    watchdog = Watchdog(settings, database.dsn)
    watchdog.run_once()
    database.stop()
    other_web.status = 500
    watchdog.run_once()
    assert titles(web) == ["CRITICAL firing: watch-database database"]
    assert "database: The database candleworks on " in web.messages[0].text
    Watchdog(settings, database.dsn).run_once()  # one that was restarted knows what was sent
    other_web.status = 200
    time.sleep(0.2)
    watchdog = Watchdog(settings, database.dsn)
    watchdog.run_once()
    assert titles(web)[1:] == ["CRITICAL still firing: watch-database database"]
    assert titles(other_web) == [titles(web)[0], titles(web)[1]]
    database.start()
    for _ in range(3):
        watchdog.run_once()
    assert titles(web)[2:] == ["CRITICAL resolved: watch-database database"]
    assert titles(other_web) == titles(web)
    (alert,) = database.rows('SELECT "check", status, count FROM alerts')
    assert alert == ("watch-database", "resolved", 3)
    events = database.rows(
        "SELECT e.event, d.state, count(*) FROM alert_events e JOIN alert_deliveries d ON d.event_id = e.id"
        " GROUP BY e.id, e.event, d.state ORDER BY e.id"
    )
    assert events == [("opened", "sent", 2), ("escalated", "sent", 2), ("resolved", "sent", 2)]
    assert not (tmp_path / "alerts-unrecorded.json").exists()


def test_what_no_recipient_accepted_meanwhile_is_in_the_outbox(database: Database, web: Web, tmp_path: Path) -> None:
    """The database is back before the recipient."""
    settings = watching(settings_for(database.dsn, web.url), tmp_path)
    watchdog = Watchdog(settings, database.dsn)
    watchdog.run_once()
    database.stop()
    web.status = 500
    watchdog.run_once()
    database.start()
    watchdog.run_once()
    web.status = 200
    time.sleep(0.2)
    watchdog.run_once()
    assert titles(web)[0] in ("CRITICAL firing: watch-database database", "CRITICAL resolved: watch-database database")
    watchdog.run_once()
    assert sum(title.count("resolved") for title in titles(web)) == 1
    assert database.rows("SELECT DISTINCT state FROM alert_deliveries") == [("sent",)]


NOWHERE = "postgresql://127.0.0.1:1/market"


def test_a_short_outage_is_not_notified(web: Web, tmp_path: Path) -> None:
    """A restart of the server takes seconds."""
    settings = watching(settings_for(NOWHERE, web.url), tmp_path, database_away_seconds=30)
    watchdog = Watchdog(settings, NOWHERE)
    for _ in range(3):
        watchdog.run_once()
    assert web.requests == 0
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_stops_no_notification(web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It may be the reason why the database is not available. That the file cannot be written is logged once."""
    (tmp_path / "alerts-unrecorded.new").mkdir()
    watchdog = Watchdog(watching(settings_for(NOWHERE, web.url), tmp_path), NOWHERE)
    for _ in range(2):
        watchdog.run_once()
    assert titles(web) == ["CRITICAL firing: watch-database database"]
    assert caplog.text.count("alerts-unrecorded.json cannot be written (Is a directory)") == 1


def test_a_watchdog_whose_embedded_server_cannot_start_notifies(web: Web, tmp_path: Path) -> None:
    """It tries again each time, and resolves its alert when the server starts."""
    (tmp_path / "candleworks.yaml").write_text("alerts: {watch: {interval_seconds: 0.5, database_away_seconds: 0}}")
    with EmbeddedServer(tmp_path / "home").use():
        pass
    control = tmp_path / "home" / "postgres" / "global" / "pg_control"
    control.rename(control.with_name("gone"))
    with started("alerts", "watch", directory=tmp_path, CANDLEWORKS_ALERT_URLS=web.url) as watchdog:
        wait_for(lambda: web.messages)
        assert titles(web)[0] == "CRITICAL firing: watch-database database"
        assert "pg_ctl" in web.messages[0].text
        control.with_name("gone").rename(control)
        wait_for(lambda: any("resolved: watch-database" in title for title in titles(web)))
        watchdog.send_signal(signal.SIGTERM)
        assert ended(watchdog).status == 0


def test_a_file_of_unrecorded_alerts_that_cannot_be_read_stops_no_notification(
    web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its disk may be what fails."""
    (tmp_path / "alerts-unrecorded.json").mkdir()
    watchdog = Watchdog(watching(settings_for(NOWHERE, web.url), tmp_path), NOWHERE)
    watchdog.run_once()
    assert titles(web) == ["CRITICAL firing: watch-database database"]
    assert "alerts-unrecorded.json is not readable" in caplog.text


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_watchdog_that_is_killed_while_it_sends_directly(web: Web, tmp_path: Path) -> None:
    """The next one sends once more and says so."""
    code = "import sys; from tests.alerts.test_watchdog import *; _, dsn, url, home = sys.argv;"
    code += "Watchdog(watching(settings_for(dsn, url), Path(home)), dsn).run_once()"
    command = [sys.executable, "-c", code, NOWHERE, web.url, str(tmp_path)]
    web.meanwhile = lambda: os.kill(sender.pid, signal.SIGKILL)
    with subprocess.Popen(command, env=environment()) as sender:
        pass
    assert sender.returncode == -signal.SIGKILL
    web.meanwhile = lambda: None
    settings = watching(settings_for(NOWHERE, web.url), tmp_path)
    for _ in range(2):
        Watchdog(settings, NOWHERE).run_once()
    assert [("may be a repeat" in message.text) for message in web.messages[:2]] == [False, True]
    assert titles(web) == ["CRITICAL firing: watch-database database"] * 2 + [
        "CRITICAL still firing: watch-database database"
    ]
