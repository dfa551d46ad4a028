"""`alert_deliveries`: notifications on their way to a recipient, each taken by one sender."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta

from psycopg.rows import class_row

from candleworks.database.connection import Connection
from candleworks.database.locks import Lock, try_locked
from candleworks.database.queries import query
from candleworks.model.alerts import Told


def sole_sender(connection: Connection, recipient: str) -> AbstractContextManager[bool]:
    """Be the only one that sends to a recipient; yields False while another session is. Its death ends its claim."""
    return try_locked(connection, Lock.ALERT_DELIVERIES, recipient)


def recover_deliveries(connection: Connection, recipient: str) -> int:
    """Put back what a sender left behind that was cut off between sending and noting it; call as the sole sender."""
    return connection.execute(query("recover_deliveries"), {"recipient": recipient}).rowcount


def claim_deliveries(connection: Connection, recipient: str) -> list[Told]:
    """Note that everything that is due is being sent, and return it in order."""
    with connection.cursor(row_factory=class_row(Told)) as cursor:
        return cursor.execute(query("claim_deliveries"), {"recipient": recipient}).fetchall()


def note_sent(connection: Connection, recipient: str, events: Sequence[int]) -> None:
    connection.execute(query("note_sent"), {"recipient": recipient, "events": list(events)})


def note_unsent(
    connection: Connection,
    recipient: str,
    events: Sequence[int],
    wait: timedelta,
    reason: str,
    *,
    maybe_arrived: bool,
) -> None:
    """Let what was not taken wait for its next attempt."""
    parameters = {"wait": wait, "reason": reason, "maybe_arrived": maybe_arrived}
    connection.execute(query("note_unsent"), {"recipient": recipient, "events": list(events), **parameters})
