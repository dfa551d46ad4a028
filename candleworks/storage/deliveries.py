"""`alert_deliveries` and `alert_deliverers`: notifications on their way, who sends them, and to which recipients."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg.rows import class_row, dict_row

from candleworks.database.connection import Connection
from candleworks.database.locks import Lock, try_locked
from candleworks.database.queries import query
from candleworks.model.alerts import Alert, Notification

_ALERT_FIELDS = {field.name for field in fields(Alert)}


@dataclass(frozen=True, slots=True)
class Deliverer:
    """A process that delivers notifications, or did. `recipients` is empty for the log; `current`: within a day."""

    name: str
    recipients: list[str]
    seen_at: datetime
    running: bool
    current: bool


class RecipientRemoval(NamedTuple):
    """How many deliverers had a removed recipient, and how many notifications waited for it."""

    deliverers: int
    notifications: int


def register_deliverer(connection: Connection, name: str, recipients: Sequence[str], runs_for: timedelta) -> None:
    """Store which recipients a process delivers to from now on, and how long it runs at least."""
    parameters = {"name": name, "recipients": sorted(recipients), "runs_for": runs_for}
    connection.execute(query("register_deliverer"), parameters)


def deliverer_stopped(connection: Connection, name: str) -> None:
    connection.execute(query("deliverer_stopped"), {"name": name})


def list_deliverers(connection: Connection) -> list[Deliverer]:
    with connection.cursor(row_factory=class_row(Deliverer)) as cursor:
        return cursor.execute(query("list_deliverers")).fetchall()


def distribute_notifications(connection: Connection, recipients: Sequence[str]) -> None:
    """Give pending notifications their recipients in one statement: each event once, whoever else does the same."""
    connection.execute(query("distribute_notifications"), {"recipients": list(recipients)})


def count_pending(connection: Connection) -> int:
    """Return how many alerts have a notification without recipients yet."""
    row = connection.execute(query("count_pending")).fetchone()
    return int(row[0]) if row else 0


def remove_recipient(connection: Connection, recipient: str) -> RecipientRemoval:
    """Remove a recipient and what waits for it; it is registered again when a process delivers to it."""
    row = connection.execute(query("remove_recipient"), {"recipient": recipient}).fetchone()
    return RecipientRemoval(*row) if row else RecipientRemoval(0, 0)


def was_notified(connection: Connection, recipient: str) -> bool:
    """Whether any notification was sent to a recipient."""
    row = connection.execute(query("was_notified"), {"recipient": recipient}).fetchone()
    return bool(row and row[0])


def sole_sender(connection: Connection, recipient: str) -> AbstractContextManager[bool]:
    """Be the only one that sends to a recipient; yields False while another one is. The lock ends with it."""
    return try_locked(connection, Lock.ALERT_DELIVERIES, recipient)


def recover_deliveries(connection: Connection, recipient: str) -> int:
    """Put back what an interrupted sender left in the state `sending`; call as the sole sender."""
    return connection.execute(query("recover_deliveries"), {"recipient": recipient}).rowcount


def claim_deliveries(connection: Connection, recipient: str) -> list[Notification]:
    """Mark everything that is due as being sent, and return it in order."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return [_notification(row) for row in cursor.execute(query("claim_deliveries"), {"recipient": recipient})]


def _notification(row: dict[str, Any]) -> Notification:
    alert = Alert(**{name: value for name, value in row.items() if name in _ALERT_FIELDS})
    others = {name: value for name, value in row.items() if name not in _ALERT_FIELDS}
    return Notification(alert=alert, **others)


def save_sent(connection: Connection, recipient: str, events: Sequence[int]) -> None:
    connection.execute(query("save_sent"), {"recipient": recipient, "events": list(events)})


def save_unsent(
    connection: Connection,
    recipient: str,
    events: Sequence[int],
    wait: timedelta,
    reason: str,
    *,
    maybe_arrived: bool,
) -> None:
    """Let what was not accepted wait for its next attempt."""
    parameters = {"wait": wait, "reason": reason, "maybe_arrived": maybe_arrived}
    connection.execute(query("save_unsent"), {"recipient": recipient, "events": list(events), **parameters})


def save_delivery(connection: Connection, notification: Notification) -> None:
    """Write a delivery that was made, or tried, while the database was not available."""
    names = ("event_id", "recipient", "state", "attempts", "next_attempt_at", "sent_at", "possible_repeat", "reason")
    connection.execute(query("save_delivery"), {name: getattr(notification, name) for name in names})
