"""The alert that the database cannot keep: that about the database itself.

It lives in a file, its messages go out directly, and both are put into the tables when the database is back.
"""

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import msgspec

from candleworks.alerts.delivery import waiting_time
from candleworks.alerts.lifecycle import follow
from candleworks.alerts.message import compose
from candleworks.alerts.recipients import Recipient, recipients
from candleworks.database.connection import Connection
from candleworks.model.alerts import Alert, AlertEvent, DirectDelivery, Result, told
from candleworks.settings import Settings
from candleworks.storage.alerts import lock_alerts, save_alert, save_event, save_told, unresolved_alerts

FILE = "alerts-unrecorded.json"
CHECK, SUBJECT = "watch-database", "database"

log = logging.getLogger(__name__)


@dataclass
class _Event:
    event: AlertEvent
    deliveries: dict[str, DirectDelivery]


@dataclass
class _State:
    alert: Alert | None = None
    events: list[_Event] = field(default_factory=list)


class Unrecorded:
    """The alert about the database, and the messages about it that the outbox does not know."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = settings.home / FILE
        self._state = _read(self._path)
        self._away_since: datetime | None = None

    def away(self, reason: str, moment: datetime) -> None:
        """Take note that the database did not answer, and tell it when that lasts."""
        self._away_since = self._away_since or moment
        away_seconds = (moment - self._away_since).total_seconds()
        if self._state.alert is None and away_seconds < self._settings.alerts.watch.database_away_seconds:
            return
        result = Result(CHECK, SUBJECT, "critical", "failed", reason, "a database that answers", moment)
        alert, event = follow(self._state.alert, result, self._settings.alerts)
        if self._state.alert is None and alert is not None and event is not None:
            alert = replace(alert, opened_at=self._away_since)
            event = replace(event, alert=alert)
        self._state.alert = alert
        if event is not None:
            self._state.events.append(_Event(event, self._due(event, moment)))
        self._save()
        self._send(moment)

    def _due(self, event: AlertEvent, moment: datetime) -> dict[str, DirectDelivery]:
        names = [recipient.name for recipient in recipients(self._settings)] if event.told else []
        return {name: DirectDelivery(next_attempt_at=moment) for name in names}

    def back(self, connection: Connection, moment: datetime) -> Result:
        """Put what is not recorded into the tables; return what the watch has to say about the database now."""
        self._away_since = None
        if self._state.alert is not None:
            with connection.transaction():
                recorded = self._record(connection, self._state.alert)
            self._state = _State(recorded)
            self._save()
        return Result(CHECK, SUBJECT, "critical", "passed", "it answers", "a database that answers", moment)

    def _record(self, connection: Connection, alert: Alert) -> Alert | None:
        """Write the alert and its events; return it as it stands then, or None when it is over."""
        lock_alerts(connection)
        stored = unresolved_alerts(connection, [(CHECK, SUBJECT)]).get((CHECK, SUBJECT))
        if not self._state.events and (stored is None or stored.checked_at >= alert.checked_at):
            return stored
        saved = save_alert(connection, replace(alert, id=stored.id if stored else None))
        for direct in self._state.events:
            event = replace(direct.event, alert=replace(direct.event.alert, id=saved.id))
            event_id = save_event(connection, event, pending=False)
            save_told(connection, event_id, direct.deliveries)
        return saved

    def _send(self, moment: datetime) -> None:
        for direct in self._state.events:
            for recipient in recipients(self._settings):
                delivery = direct.deliveries.get(recipient.name)
                if delivery and delivery.state == "waiting" and delivery.next_attempt_at <= moment:
                    self._send_one(direct.event, recipient, delivery, moment)

    def _send_one(self, event: AlertEvent, recipient: Recipient, delivery: DirectDelivery, moment: datetime) -> None:
        delivery.state, delivery.attempts = "sending", delivery.attempts + 1
        self._save()
        message = told(event, possible_repeat=delivery.possible_repeat)
        sent = recipient.send(compose([message], self._settings, recipient.lengths, moment))
        if sent.taken:
            delivery.state, delivery.sent_at, delivery.reason = "sent", moment, None
        else:
            delivery.state, delivery.reason = "waiting", sent.reason
            delivery.next_attempt_at = moment + waiting_time(delivery.attempts, self._settings.alerts)
            delivery.possible_repeat |= sent.maybe_arrived
            log.warning("%s did not take a notification (%s).", recipient.name, sent.reason)
        self._save()

    def _save(self) -> None:
        if self._state.alert is None:
            self._path.unlink(missing_ok=True)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(self._state))
        fresh.replace(self._path)


def _read(path: Path) -> _State:
    """Return what an earlier watch left; a message that it was cut off at is sent once more, and says so."""
    try:
        state = msgspec.json.decode(path.read_bytes(), type=_State)
    except FileNotFoundError:
        return _State()
    except msgspec.DecodeError as error:
        log.warning("%s cannot be read (%s): what it held is lost.", path, error)
        return _State()
    for direct in state.events:
        for delivery in direct.deliveries.values():
            if delivery.state == "sending":
                delivery.state, delivery.possible_repeat = "waiting", True
    return state
