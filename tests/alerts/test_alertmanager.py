"""What Alertmanager is sent, by a watchdog on a real database."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from candleworks import clock
from candleworks.alerts import update
from candleworks.alerts.alertmanager import VALID_FOR, Alertmanager
from candleworks.alerts.watchdog import Watchdog
from candleworks.database.connection import Connection
from candleworks.errors import ConfigurationError
from candleworks.model.alerts import CheckResult
from candleworks.settings import Settings, load_settings
from candleworks.storage.alerts import list_alerts, silence
from tests.serving import in_background


class Manager:
    """Keeps the alerts of each request to the API v2."""

    def __init__(self) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self.status = 200
        self.url = ""

    def firing(self, at: datetime) -> list[str]:
        """The alerts of the last request that have not ended."""
        return [
            f"{each['labels']['alertname']} {each['labels']['subject']}"
            for each in self.requests[-1]
            if datetime.fromisoformat(each["endsAt"]) > at
        ]


@pytest.fixture
def manager() -> Iterator[Manager]:
    manager = Manager()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/api/v2/alerts":
                manager.requests.append(body)
            self.send_response(manager.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, in_background(server, 0.02):
        manager.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield manager


@pytest.fixture
def settings(dsn: str, manager: Manager, tmp_path: Path) -> Settings:
    return load_settings(
        {"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_ALERTMANAGER_URL": manager.url, "CANDLEWORKS_HOME": str(tmp_path)}
    )


def check(connection: Connection, settings: Settings, status: str, subject: str = "AAPL") -> None:
    """A check's result, twice where it passes: then its alert is resolved."""
    for _ in range(settings.alerts.resolve_after_passes if status == "passed" else 1):
        result = CheckResult("freshness", subject, "critical", status, "312 s", "at most 120 s", clock.now())  # type: ignore[arg-type]
        update(connection, settings, [result])


def test_an_alert_is_repeated_until_it_is_resolved(
    connection: Connection, settings: Settings, manager: Manager
) -> None:
    """With labels to route by, and an end that the next time moves on."""
    alertmanager = Alertmanager(settings)
    check(connection, settings, "failed")
    now = clock.now()
    alertmanager.send_stored(connection, now)
    alertmanager.send_stored(connection, now + timedelta(seconds=30))
    (first,), (second,) = manager.requests
    assert first["labels"] == {
        "alertname": "freshness", "subject": "AAPL", "severity": "critical", "job": "candleworks",
    }  # fmt: skip
    assert first["annotations"] == {"summary": "freshness of AAPL: 312 s (expected: at most 120 s)"}
    assert first["generatorURL"] == "http://127.0.0.1:8050/quality/freshness"
    assert first["startsAt"] == second["startsAt"]
    assert datetime.fromisoformat(first["endsAt"]) == now + VALID_FOR
    assert datetime.fromisoformat(second["endsAt"]) == now + VALID_FOR + timedelta(seconds=30)
    check(connection, settings, "passed")
    alertmanager.send_stored(connection, clock.now())
    assert manager.firing(clock.now()) == []
    assert len(manager.requests) == 3


def test_a_silenced_alert_is_not_sent(connection: Connection, settings: Settings, manager: Manager) -> None:
    """It ends there, while another one goes on."""
    check(connection, settings, "failed")
    check(connection, settings, "failed", "MSFT")
    (number,) = [row["id"] for row in list_alerts(connection, None, 10) if row["subject"] == "AAPL"]
    silence(connection, number, clock.now() + timedelta(hours=1), "known", "ada")
    Alertmanager(settings).send_stored(connection, clock.now())
    assert manager.firing(clock.now()) == ["freshness MSFT"]


def test_what_it_does_not_accept_is_logged_once(
    connection: Connection, settings: Settings, manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing is raised: the next round sends everything again."""
    check(connection, settings, "failed")
    alertmanager, manager.status = Alertmanager(settings), 503
    for _ in range(2):
        alertmanager.send_stored(connection, clock.now())
    assert caplog.messages == [
        "Alertmanager did not accept the alerts (HTTP status 503): check CANDLEWORKS_ALERTMANAGER_URL."
    ]


def test_the_watchdog_sends_them_with_and_without_a_database(
    connection: Connection, settings: Settings, manager: Manager
) -> None:
    """The alert that the database is not available cannot be stored."""
    check(connection, settings, "failed")
    Watchdog(settings, settings.dsn.get_secret_value() if settings.dsn else "").run_once()
    assert "freshness AAPL" in manager.firing(clock.now())
    watch = settings.alerts.watch.model_copy(update={"database_away_seconds": 0.0})
    alerts = settings.alerts.model_copy(update={"watch": watch, "escalate_after_seconds": 0})
    Watchdog(settings.model_copy(update={"alerts": alerts}), "postgresql://127.0.0.1:1/none").run_once()
    assert manager.firing(clock.now()) == ["watch-database database"]


def test_an_address_has_to_be_one() -> None:
    """Of the web; the value may hold a password and is not shown."""
    with pytest.raises(ConfigurationError) as error:
        load_settings({"CANDLEWORKS_ALERTMANAGER_URL": "alertmanager:9093"})
    assert str(error.value) == (
        "the environment: CANDLEWORKS_ALERTMANAGER_URL is (secret), expected a URL such as http://127.0.0.1:9093."
    )
