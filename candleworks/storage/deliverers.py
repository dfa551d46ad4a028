"""`alert_deliverers`: who delivers notifications, to which recipients, and what has no recipients yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg.rows import class_row

from candleworks.database.connection import Connection
from candleworks.database.queries import query


@dataclass(frozen=True, slots=True)
class Deliverer:
    """A process that delivers, or did. `recipients` is empty for the log; `current` is whether it did within a day."""

    name: str
    recipients: list[str]
    seen_at: datetime
    running: bool
    current: bool


class Forgotten(NamedTuple):
    """Of how many deliverers a recipient was forgotten, and how many deliveries to it were dropped."""

    deliverers: int
    deliveries: int


def register_deliverer(connection: Connection, name: str, recipients: Sequence[str], runs_for: timedelta) -> None:
    """Note that a process delivers to these recipients, and no longer to others, and until when it runs at least."""
    parameters = {"name": name, "recipients": sorted(recipients), "runs_for": runs_for}
    connection.execute(query("register_deliverer"), parameters)


def deliverer_stopped(connection: Connection, name: str) -> None:
    connection.execute(query("deliverer_stopped"), {"name": name})


def list_deliverers(connection: Connection) -> list[Deliverer]:
    with connection.cursor(row_factory=class_row(Deliverer)) as cursor:
        return cursor.execute(query("list_deliverers")).fetchall()


def distribute_notifications(connection: Connection, recipients: Sequence[str]) -> None:
    """Give what is pending its recipients, in one statement: each event once, whoever else does the same."""
    connection.execute(query("distribute_notifications"), {"recipients": list(recipients)})


def count_pending(connection: Connection) -> int:
    """Return about how many alerts a notification has no recipients yet."""
    row = connection.execute(query("count_pending")).fetchone()
    return int(row[0]) if row else 0


def forget_recipient(connection: Connection, recipient: str) -> Forgotten:
    """Forget a recipient and what waits for it; it comes back when somebody delivers to it again."""
    row = connection.execute(query("forget_recipient"), {"recipient": recipient}).fetchone()
    return Forgotten(*row) if row else Forgotten(0, 0)


def was_notified(connection: Connection, recipient: str) -> bool:
    """Whether any notification was sent to a recipient."""
    row = connection.execute(query("was_notified"), {"recipient": recipient}).fetchone()
    return bool(row and row[0])
