"""Sends firing alerts to Prometheus's Alertmanager the way Prometheus does: all of them, again and again.

An alert that is not repeated ends there by itself, so a restart on either side needs no memory of what was sent.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx

from candleworks.alerts.message import check_url
from candleworks.database.connection import Connection
from candleworks.model.alerts import Alert
from candleworks.settings import Settings
from candleworks.storage.alerts import list_alerts

PATH = "/api/v2/alerts"
VALID_FOR = timedelta(minutes=5)  # after the last time it was sent
RESOLVED_FOR = timedelta(minutes=15)  # an alert is sent as resolved, in case it was missed the first time
MAX_ALERTS = 1_000
TIMEOUT_SECONDS = 5

log = logging.getLogger(__name__)


class Alertmanager:
    """The configured Alertmanager; without one nothing is sent."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reachable = True

    def send_stored(self, connection: Connection, at: datetime) -> None:
        """Send the alerts that fire and those resolved a short time ago; silenced and inhibited ones are left out."""
        if self._settings.alertmanager_url is not None:
            self._send(list_alerts(connection, at - RESOLVED_FOR, MAX_ALERTS), at)

    def send(self, alert: Alert | None, at: datetime) -> None:
        """Send an alert that cannot be stored."""
        if alert is not None and self._settings.alertmanager_url is not None:
            names = ("check", "subject", "severity", "observed", "expected", "opened_at", "resolved_at")
            row = {name: getattr(alert, name) for name in (*names, "silenced_until", "notified_at")}
            self._send([row], at)

    def _send(self, rows: Iterable[Mapping[str, Any]], at: datetime) -> None:
        alerts = [self._alert(row, at) for row in rows if _is_sent(row, at)]
        url = self._settings.alertmanager_url
        if not alerts or url is None:
            return
        try:
            httpx.post(
                f"{url.get_secret_value().rstrip('/')}{PATH}", json=alerts, timeout=TIMEOUT_SECONDS
            ).raise_for_status()
        except httpx.HTTPStatusError as error:
            self._failed(f"HTTP status {error.response.status_code}")
        except httpx.HTTPError as error:
            self._failed(type(error).__name__)
        else:
            self._reachable = True

    def _failed(self, reason: str) -> None:
        """Log the first of several failures; the URL may hold a password."""
        if self._reachable:
            log.warning("Alertmanager did not accept the alerts (%s): check CANDLEWORKS_ALERTMANAGER_URL.", reason)
        self._reachable = False

    def _alert(self, row: Mapping[str, Any], at: datetime) -> dict[str, Any]:
        expected = f" (expected: {row['expected']})" if row["expected"] else ""
        return {
            "labels": {
                "alertname": row["check"],
                "subject": row["subject"],
                "severity": row["severity"],
                "job": "candleworks",
            },
            "annotations": {"summary": f"{row['check']} of {row['subject']}: {row['observed']}{expected}"},
            "startsAt": row["opened_at"].isoformat(),
            "endsAt": (row["resolved_at"] or at + VALID_FOR).isoformat(),
            "generatorURL": check_url(self._settings, row["check"]),
        }


def _is_sent(row: Mapping[str, Any], at: datetime) -> bool:
    silenced = row["silenced_until"] is not None and row["silenced_until"] > at
    return row["notified_at"] is not None and not silenced
