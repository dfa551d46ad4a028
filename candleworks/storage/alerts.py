"""`alerts` and `alert_events`: what evaluation reads and writes, and what people list and change."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg import errors
from psycopg.rows import dict_row

from candleworks.database.connection import Connection, connect, describe, transient_errors
from candleworks.database.locks import Lock, lock_transaction
from candleworks.database.profiles import WATCH
from candleworks.database.queries import query
from candleworks.errors import UsageError
from candleworks.model.alerts import Alert, AlertKey, AlertSilence, Notification

AlertRow = dict[str, Any]


def opened(database: Connection | str, purpose: str) -> AbstractContextManager[Connection]:
    """Return the given connection, or one to the given database for the length of a context."""
    return connect(database, purpose, profile=WATCH) if isinstance(database, str) else nullcontext(database)


def lock_alerts(connection: Connection) -> None:
    """Keep other processes from evaluating alerts until the transaction ends."""
    lock_transaction(connection, Lock.ALERTS)


def unresolved_alerts(connection: Connection, keys: Iterable[AlertKey]) -> dict[AlertKey, Alert]:
    """Return the unresolved alerts of those checks and subjects, locked until the transaction ends."""
    found = _rows(connection, query("unresolved_alerts"), _columns(keys))
    return {(row["check"], row["subject"]): Alert(**row) for row in found}


def lasting_silences(connection: Connection, keys: Iterable[AlertKey], at: datetime) -> dict[AlertKey, AlertSilence]:
    """Return the silences of earlier alerts of those checks and subjects that last beyond `at`."""
    found = connection.execute(query("lasting_silences"), _columns(keys) | {"at": at}).fetchall()
    return {(check, subject): AlertSilence(until, reason) for check, subject, until, reason in found}


def inhibiting_alerts(
    connection: Connection, checks: Iterable[str], at: datetime, grace_period: timedelta
) -> set[AlertKey]:
    """Return the alerts of those checks that were notified or are silenced, and fire or were resolved lately."""
    parameters = {"checks": list(checks), "at": at, "grace_period": grace_period}
    return {(check, subject) for check, subject in connection.execute(query("inhibiting_alerts"), parameters)}


def feeds_of_symbols(connection: Connection) -> dict[str, list[str]]:
    """Return the feeds that subscribe to each symbol."""
    return dict(connection.execute(query("feeds_of_symbols")).fetchall())


def save_alert(connection: Connection, alert: Alert) -> Alert:
    """Write an alert, and return it with its id."""
    if alert.id is not None:
        connection.execute(query("update_alert"), asdict(alert))
        return alert
    row = connection.execute(query("insert_alert"), asdict(alert)).fetchone()
    return replace(alert, id=row[0] if row else None)


def save_event(connection: Connection, event: Notification, *, pending: bool) -> int:
    """Write an event of a stored alert and return its id; `pending`: it has to be given recipients."""
    alert = event.alert
    facts = {name: getattr(alert, name) for name in ("severity", "result", "count", "observed", "expected")}
    row = connection.execute(
        query("insert_alert_event"),
        {"alert_id": alert.id, "event": event.event, "at": event.at, "note": event.note, "pending": pending, **facts},
    ).fetchone()
    return int(row[0]) if row else 0


def list_alerts(connection: Connection, resolved_since: datetime | None, limit: int) -> list[AlertRow]:
    """Return the unresolved alerts, and those resolved since a time, newest first."""
    return _rows(connection, query("list_alerts"), {"resolved_since": resolved_since, "limit": limit})


def alerts_of_check(connection: Connection, check: str) -> list[AlertRow]:
    """Return the newest alerts of a check, the unresolved ones first."""
    return _rows(connection, query("alerts_of_check"), {"check": check})


def unsent_notifications(connection: Connection) -> list[AlertRow]:
    """Return how many notifications wait for each recipient, and why the last attempt failed."""
    return _rows(connection, query("count_unsent"), {})


def show_alert(connection: Connection, number: int) -> tuple[AlertRow, list[AlertRow], list[AlertRow]]:
    """Return an alert, its events and its notifications; UsageError when there is none."""
    found = _rows(connection, query("read_alert"), {"id": number})
    if not found:
        raise _unknown(number)
    history = _rows(connection, query("alert_history"), {"id": number})
    return found[0], history, _rows(connection, query("alert_notifications"), {"id": number})


def acknowledge(connection: Connection, number: int, person: str) -> AlertRow:
    """Acknowledge an unresolved alert; UsageError when there is none."""
    return _change(connection, number, "SELECT * FROM acknowledge_alert(%(id)s, %(person)s)", {"person": person})


def silence(connection: Connection, number: int, until: datetime, reason: str, person: str) -> AlertRow:
    """Silence an unresolved alert until a time; UsageError when there is none, or the time has passed."""
    parameters = {"until": until, "reason": reason, "person": person}
    statement = "SELECT * FROM silence_alert(%(id)s, %(until)s, %(reason)s, %(person)s)"
    return _change(connection, number, statement, parameters)


def unsilence(connection: Connection, number: int, person: str) -> AlertRow:
    """End the silence of an unresolved alert; UsageError when there is none."""
    return _change(connection, number, "SELECT * FROM unsilence_alert(%(id)s, %(person)s)", {"person": person})


def resolve(connection: Connection, number: int, person: str) -> AlertRow:
    """Resolve an alert by hand, with its notification; UsageError when there is none."""
    return _change(connection, number, "SELECT * FROM resolve_alert(%(id)s, %(person)s)", {"person": person})


def may_change_alerts(connection: Connection) -> bool:
    """Whether the session's role may acknowledge and silence alerts; on a standby nobody may."""
    row = connection.execute(query("may_change_alerts")).fetchone()
    return bool(row and row[0])


@contextmanager
def changing_alerts(dsn: str, purpose: str) -> Iterator[Connection]:
    """Connect for one change, so that a process that mostly reads keeps no session that can write.

    UsageError when the role may not change alerts, TransientError when the database is unavailable.
    """
    with transient_errors(dsn), opened(dsn, purpose) as connection:
        try:
            yield connection
        except (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction):
            raise UsageError(
                f"The role {connection.info.user} may not change alerts in {describe(dsn)}: use `candleworks alerts`"
                " with a role that may."
            ) from None


def _change(connection: Connection, number: int, statement: str, parameters: Mapping[str, object]) -> AlertRow:
    try:
        return _rows(connection, statement, {"id": number, **parameters})[0]
    except errors.NoDataFound:
        raise _unknown(number, unresolved=True) from None
    except errors.InvalidParameterValue as error:
        raise UsageError(error.diag.message_primary or str(error)) from None


def _unknown(number: int, *, unresolved: bool = False) -> UsageError:
    kind = "unresolved alert" if unresolved else "alert"
    return UsageError(f"There is no {kind} {number}: choose one from `candleworks alerts list`.")


def _columns(keys: Iterable[AlertKey]) -> dict[str, list[str]]:
    pairs = list(keys)
    return {"checks": [check for check, _ in pairs], "subjects": [subject for _, subject in pairs]}


def _rows(connection: Connection, statement: str, parameters: Mapping[str, object]) -> list[AlertRow]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, parameters).fetchall()
