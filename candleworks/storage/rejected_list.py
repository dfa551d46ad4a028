"""`rejected_ticks` afterwards: what is in the quarantine, and what became of it when it was tried again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, TypeVar

from psycopg import Rollback
from psycopg.rows import class_row

from candleworks.database.connection import Connection
from candleworks.database.queries import query
from candleworks.errors import UsageError
from candleworks.storage.live_trades import REFUSALS

Outcome = Literal["stored", "duplicate", "rejected"]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RejectedTick:
    """A row of `rejected_ticks`. `outcome` is that of its last replay, `replay_reason` why it was rejected again."""

    id: int
    received_at: datetime
    feed: str
    reason: str
    payload: str
    outcome: Outcome | None
    replayed_at: datetime | None
    resolved_at: datetime | None
    corrected: str | None
    replay_reason: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rejected ticks are meant. `reason` is a part of the reason; `everything`: also those that are resolved."""

    feed: str | None = None
    reason: str | None = None
    since: datetime | None = None
    everything: bool = False


class Replayed(NamedTuple):
    """What became of a rejected tick; `reason` tells why it was rejected again."""

    outcome: Outcome
    reason: str | None = None


def list_rejected(connection: Connection, selection: Selection, limit: int | None) -> list[RejectedTick]:
    """Return the rejected ticks that are meant, newest first."""
    names = ("feed", "reason", "since", "everything")
    parameters = {name: getattr(selection, name) for name in names} | {"limit": limit}
    with connection.cursor(row_factory=class_row(RejectedTick)) as cursor:
        return cursor.execute(query("list_rejected"), parameters).fetchall()


def count_rejected(connection: Connection) -> dict[str, int]:
    """Count the refused ticks that are not resolved, by feed or file."""
    return dict(connection.execute(query("count_rejected")).fetchall())


def read_rejected(connection: Connection, number: int) -> RejectedTick:
    """Return one refused tick; UsageError when there is none."""
    with connection.cursor(row_factory=class_row(RejectedTick)) as cursor:
        found = cursor.execute(query("read_rejected"), {"id": number}).fetchone()
    if found is None:
        raise UsageError(f"There is no rejected tick {number}: choose one of `candleworks rejected list`.")
    return found


def replay_one(
    connection: Connection, tick: RejectedTick, corrected: str | None, attempt: Callable[[], Replayed]
) -> Replayed | None:
    """Store a rejected tick and note what became of it, in one transaction; None when somebody else did it first."""
    with connection.transaction():
        if connection.execute(query("lock_rejected"), {"id": tick.id}).fetchone() is None:
            return None
        replayed = _attempted(connection, attempt)
        connection.execute(
            query("note_replay"),
            {"id": tick.id, "outcome": replayed.outcome, "reason": replayed.reason, "corrected": corrected},
        )
    return replayed


def replay_all(
    connection: Connection,
    ticks: Sequence[RejectedTick],
    corrected: Sequence[str | None],
    attempt: Callable[[], bool],
) -> bool:
    """Store rejected ticks and note it, in one transaction; False, and nothing is done, unless `attempt` stores all."""
    ids = [tick.id for tick in ticks]
    try:
        with connection.transaction():
            free = connection.execute(query("lock_all_rejected"), {"ids": ids}).fetchall()
            if len(free) < len(ids) or not attempt():
                raise Rollback
            connection.execute(query("note_all_stored"), {"ids": ids, "corrected": list(corrected)})
            return True
    except REFUSALS:
        pass
    return False


def _attempted(connection: Connection, attempt: Callable[[], Replayed]) -> Replayed:
    try:
        with connection.transaction():
            return attempt()
    except REFUSALS as error:
        return Replayed("rejected", f"the database refused it: {error.diag.message_primary or error}")
