"""`alerts` as people see them, and what people do with them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg import errors
from psycopg.rows import dict_row

from candleworks.database.connection import Connection
from candleworks.database.queries import query
from candleworks.errors import UsageError

Row = dict[str, Any]


def list_alerts(connection: Connection, resolved_since: datetime | None, limit: int) -> list[Row]:
    """Return the unresolved alerts, and those that were resolved since a moment, newest first."""
    return _rows(connection, query("list_alerts"), {"resolved_since": resolved_since, "limit": limit})


def alerts_of_check(connection: Connection, check: str) -> list[Row]:
    """Return the newest alerts of a check, the unresolved ones first."""
    return _rows(connection, query("alerts_of_check"), {"check": check})


def unsent_notifications(connection: Connection) -> list[Row]:
    """Return how many alerts wait to be sent to each recipient, and why the last attempt failed."""
    return _rows(connection, query("count_unsent"), {})


def show_alert(connection: Connection, number: int) -> tuple[Row, list[Row], list[Row]]:
    """Return an alert, its history and its notifications; UsageError when there is none."""
    found = _rows(connection, query("read_alert"), {"id": number})
    if not found:
        raise _unknown(number)
    history = _rows(connection, query("alert_history"), {"id": number})
    return found[0], history, _rows(connection, query("alert_notifications"), {"id": number})


def acknowledge(connection: Connection, number: int, person: str) -> Row:
    """Note that a person looks after an unresolved alert; UsageError when there is none."""
    return _change(connection, number, "SELECT * FROM acknowledge_alert(%(id)s, %(person)s)", {"person": person})


def silence_alert(connection: Connection, number: int, until: datetime, reason: str) -> Row:
    """Silence an unresolved alert until then; UsageError when there is none, or the moment is past."""
    parameters = {"until": until, "reason": reason}
    return _change(connection, number, "SELECT * FROM silence_alert(%(id)s, %(until)s, %(reason)s)", parameters)


def unsilence_alert(connection: Connection, number: int) -> Row:
    """End the silence of an unresolved alert; UsageError when there is none."""
    return _change(connection, number, "SELECT * FROM unsilence_alert(%(id)s)", {})


def resolve(connection: Connection, number: int, person: str) -> Row:
    """Resolve an alert by hand, with its notification; UsageError when there is none."""
    return _change(connection, number, "SELECT * FROM resolve_alert(%(id)s, %(person)s)", {"person": person})


def _change(connection: Connection, number: int, statement: str, parameters: Mapping[str, object]) -> Row:
    try:
        return _rows(connection, statement, {"id": number, **parameters})[0]
    except errors.NoDataFound:
        raise _unknown(number, unresolved=True) from None
    except errors.InvalidParameterValue as error:
        raise UsageError(error.diag.message_primary or str(error)) from None


def _unknown(number: int, *, unresolved: bool = False) -> UsageError:
    kind = "unresolved alert" if unresolved else "alert"
    return UsageError(f"There is no {kind} {number}: choose one of `candleworks alerts list`.")


def _rows(connection: Connection, statement: str, parameters: Mapping[str, object]) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, parameters).fetchall()
