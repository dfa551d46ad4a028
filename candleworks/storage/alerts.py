"""`alerts` and what happened to them: reading and writing."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from datetime import datetime

from psycopg.rows import dict_row

from candleworks.database.connection import Connection, connect
from candleworks.database.locks import Lock, lock_transaction
from candleworks.database.profiles import WATCH
from candleworks.database.queries import query
from candleworks.model.alerts import Alert, AlertEvent, DirectDelivery, Mute

Key = tuple[str, str]  # check and subject


def opened(database: Connection | str, purpose: str) -> AbstractContextManager[Connection]:
    """Return the given connection, or one to the given database for the length of a context."""
    return connect(database, purpose, profile=WATCH) if isinstance(database, str) else nullcontext(database)


def lock_alerts(connection: Connection) -> None:
    """Keep other processes from deciding about alerts until the transaction ends."""
    lock_transaction(connection, Lock.ALERTS)


def unresolved_alerts(connection: Connection, keys: Iterable[Key]) -> dict[Key, Alert]:
    """Return the unresolved alerts of those checks and subjects."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(query("unresolved_alerts"), _columns(keys)).fetchall()
    return {(row["check"], row["subject"]): Alert(**row) for row in found}


def lasting_silences(connection: Connection, keys: Iterable[Key], moment: datetime) -> dict[Key, Mute]:
    """Return the mutes of earlier alerts that last beyond `moment`."""
    found = connection.execute(query("lasting_silences"), _columns(keys) | {"moment": moment}).fetchall()
    return {(check, subject): Mute(until, reason) for check, subject, until, reason in found}


def notified_alerts(connection: Connection, checks: Iterable[str], moment: datetime) -> tuple[list[Key], list[Key]]:
    """Return the alerts of those checks that were notified, or are silenced: firing ones, resolved ones."""
    found = connection.execute(query("notified_alerts"), {"checks": list(checks), "moment": moment}).fetchall()
    opened = [(check, subject) for check, subject, ended in found if not ended]
    return opened, [(check, subject) for check, subject, ended in found if ended]


def feeds_of_symbols(connection: Connection) -> dict[str, list[str]]:
    """Return the feeds that are asked for each symbol."""
    return dict(connection.execute(query("feeds_of_symbols")).fetchall())


def save_alert(connection: Connection, alert: Alert) -> Alert:
    """Write an alert, and return it with the id that it has then."""
    if alert.id is not None:
        connection.execute(query("update_alert"), asdict(alert))
        return alert
    row = connection.execute(query("insert_alert"), asdict(alert)).fetchone()
    return replace(alert, id=row[0] if row else None)


def save_event(connection: Connection, event: AlertEvent, *, pending: bool) -> int:
    """Note what happened to a saved alert and return its id; `pending`: a notification about it is due."""
    alert = event.alert
    facts = {name: getattr(alert, name) for name in ("severity", "result", "count", "observed", "expected")}
    row = connection.execute(
        query("insert_alert_event"),
        {"alert_id": alert.id, "event": event.name, "at": event.at, "note": event.note, "pending": pending, **facts},
    ).fetchone()
    return int(row[0]) if row else 0


def save_told(connection: Connection, event_id: int, deliveries: Mapping[str, DirectDelivery]) -> None:
    """Put deliveries into the outbox that were made, or tried, while the database was away; keys are recipients."""
    for recipient, delivery in deliveries.items():
        parameters = asdict(delivery) | {"event_id": event_id, "recipient": recipient}
        connection.execute(query("insert_direct_deliveries"), parameters)


def _columns(keys: Iterable[Key]) -> dict[str, list[str]]:
    pairs = list(keys)
    return {"checks": [check for check, _ in pairs], "subjects": [subject for _, subject in pairs]}
