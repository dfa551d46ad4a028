"""The alert that the database is not available: kept in a file and delivered directly while it cannot be stored.

When the database is back, alert, events and deliveries are written to its tables.
"""

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import msgspec

from candleworks.alerts.delivery import retry_after
from candleworks.alerts.lifecycle import transition
from candleworks.alerts.message import compose
from candleworks.alerts.recipients import Recipient, recipients
from candleworks.database.connection import Connection
from candleworks.model.alerts import Alert, AlertKey, CheckResult, Notification
from candleworks.private_files import replace_private
from candleworks.settings import Settings
from candleworks.storage.alerts import lock_alerts, save_alert, save_event, unresolved_alerts
from candleworks.storage.deliveries import save_delivery

FILE = "alerts-unrecorded.json"
KEY: AlertKey = ("watch-database", "database")
EXPECTED = "the database answers"

log = logging.getLogger(__name__)


@dataclass
class _Unstored:
    """What the database does not know yet; `events` has one list per event, with one notification per recipient."""

    alert: Alert | None = None
    events: list[list[Notification]] = field(default_factory=list)


class DatabaseAlert:
    """The alert about the database. It survives a restart of the process in a file in `settings.home`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = settings.home / FILE
        self._unstored = _read(self._path)
        self._away_since: datetime | None = None
        self._saved = True

    @property
    def firing(self) -> Alert | None:
        """The alert, while the database does not answer."""
        return self._unstored.alert if self._away_since else None

    def failed(self, reason: str, at: datetime) -> None:
        """Note that the database did not answer; fires the alert, and notifies, once that has lasted long enough."""
        self._away_since = self._away_since or at
        away_seconds = (at - self._away_since).total_seconds()
        before = self._unstored.alert
        if before is None and away_seconds < self._settings.alerts.watch.database_away_seconds:
            return
        result = CheckResult(*KEY, "critical", "failed", reason, EXPECTED, at)
        alert, event = transition(before, result, self._settings.alerts)
        if before is None and alert is not None and event is not None:
            alert = replace(alert, opened_at=self._away_since)
            event = replace(event, alert=alert)
        self._unstored.alert = alert
        if event is not None and event.due:
            names = [recipient.name for recipient in recipients(self._settings)]
            self._unstored.events.append([replace(event, recipient=name, next_attempt_at=at) for name in names])
        self._save()
        self._send(at)

    def recovered(self, connection: Connection, at: datetime) -> CheckResult:
        """Store what is not stored yet; return the result that the database answers."""
        self._away_since = None
        if self._unstored.alert is not None:
            with connection.transaction():
                stored = self._store(connection, self._unstored.alert)
            self._unstored = _Unstored(stored)
            self._save()
        return CheckResult(*KEY, "critical", "passed", "it answers", EXPECTED, at)

    def _store(self, connection: Connection, alert: Alert) -> Alert | None:
        """Write the alert and its events; return it as stored, or null when it has been resolved."""
        lock_alerts(connection)
        stored = unresolved_alerts(connection, [KEY]).get(KEY)
        if not self._unstored.events and (stored is None or stored.checked_at >= alert.checked_at):
            return stored
        saved = save_alert(connection, replace(alert, id=stored.id if stored else None))
        for notifications in self._unstored.events:
            event = replace(notifications[0], alert=replace(notifications[0].alert, id=saved.id))
            event_id = save_event(connection, event, pending=False)
            for notification in notifications:
                save_delivery(connection, replace(notification, event_id=event_id))
        return saved

    def _send(self, at: datetime) -> None:
        by_name = {recipient.name: recipient for recipient in recipients(self._settings)}
        for notifications in self._unstored.events:
            for number, each in enumerate(notifications):
                recipient = by_name.get(each.recipient or "")
                if recipient and each.state == "waiting" and each.next_attempt_at and each.next_attempt_at <= at:
                    self._send_one(notifications, number, recipient, at)

    def _send_one(self, notifications: list[Notification], number: int, recipient: Recipient, at: datetime) -> None:
        notification = replace(notifications[number], state="sending", attempts=notifications[number].attempts + 1)
        notifications[number] = notification
        self._save()
        sent = recipient.send(compose([notification], self._settings, recipient.lengths, at))
        if sent.accepted:
            notifications[number] = replace(notification, state="sent", sent_at=at, reason=None)
        else:
            notifications[number] = replace(
                notification,
                state="waiting",
                reason=sent.reason,
                next_attempt_at=at + retry_after(notification.attempts, self._settings.alerts),
                possible_repeat=notification.possible_repeat or sent.maybe_arrived,
            )
            log.warning("%s did not accept a notification: %s.", recipient.name, sent.reason)
        self._save()

    def _save(self) -> None:
        """Write the file; a full disk, which may be why the database is not available, must not stop notifications."""
        try:
            self._write()
            self._saved = True
        except OSError as error:
            if self._saved:
                log.warning(
                    "%s cannot be written (%s): a restart may repeat notifications.", self._path, error.strerror
                )
            self._saved = False

    def _write(self) -> None:
        if self._unstored.alert is None:
            self._path.unlink(missing_ok=True)
            return
        replace_private(self._path, msgspec.json.encode(self._unstored))


def _read(path: Path) -> _Unstored:
    """Return what an earlier process left; a notification whose sending was interrupted is sent again, and says so."""
    try:
        unstored = msgspec.json.decode(path.read_bytes(), type=_Unstored)
    except FileNotFoundError:
        return _Unstored()
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s is not readable (%s) and is ignored: its events are not stored.", path, error)
        return _Unstored()
    unstored.events = [[_resumed(each) for each in notifications] for notifications in unstored.events]
    return unstored


def _resumed(notification: Notification) -> Notification:
    if notification.state != "sending":
        return notification
    return replace(notification, state="waiting", possible_repeat=True)
