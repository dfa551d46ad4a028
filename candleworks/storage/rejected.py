"""`rejected_ticks`: rejected ticks as they came, and the results of retrying them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from psycopg import Error, Rollback, errors
from psycopg.rows import class_row

from candleworks.database.connection import Connection
from candleworks.database.queries import query
from candleworks.errors import UsageError
from candleworks.model.trades import Rejection, RejectionKind, moment_of


def quarantine(connection: Connection, feed: str, rejections: Sequence[Rejection], *, once: bool = False) -> None:
    """Record rejected ticks with their reasons; NUL characters, which text cannot contain, become U+FFFD.

    `once` skips those that are recorded for this feed or file already.
    """
    if rejections:
        connection.execute(
            query("reject_ticks_once" if once else "reject_ticks"),
            {
                "feed": feed,
                "received_at": [moment_of(rejection.received_us) for rejection in rejections],
                "reasons": [rejection.reason.replace("\x00", "\ufffd") for rejection in rejections],
                "payloads": [rejection.payload.replace("\x00", "\ufffd") for rejection in rejections],
                "kinds": [rejection.kind for rejection in rejections],
                "numbers": [rejection.number for rejection in rejections],
            },
        )


RetryOutcome = Literal["stored", "duplicate", "rejected"]
# A check, a trigger, the row size of an index, or a chunk that is too expensive to decompress can refuse a row.
REFUSALS = (
    errors.DataError,
    errors.IntegrityError,
    errors.RaiseException,
    errors.ProgramLimitExceeded,
    errors.ConfigurationLimitExceeded,
)


@dataclass(frozen=True, slots=True)
class RejectedTick:
    """A row of `rejected_ticks`. `outcome` is that of its last retry, `replay_reason` why it was rejected again.

    `number` is that of a line or row in its file, null where there is none.
    """

    id: int
    received_at: datetime
    feed: str
    reason: str
    payload: str
    kind: RejectionKind
    number: int | None
    outcome: RetryOutcome | None
    replayed_at: datetime | None
    resolved_at: datetime | None
    corrected: str | None
    replay_reason: str | None


@dataclass(frozen=True, slots=True)
class RejectedSelection:
    """Which rejected ticks to list. `reason` is a part of the reason; `everything` includes resolved ones."""

    feed: str | None = None
    reason: str | None = None
    since: datetime | None = None
    everything: bool = False


class RetryResult(NamedTuple):
    """The result of retrying a rejected tick; `reason` is why it was rejected again."""

    outcome: RetryOutcome
    reason: str | None = None


def list_rejected(connection: Connection, selection: RejectedSelection, limit: int | None) -> list[RejectedTick]:
    """Return the selected rejected ticks, newest first."""
    names = ("feed", "reason", "since", "everything")
    parameters = {name: getattr(selection, name) for name in names} | {"limit": limit}
    with connection.cursor(row_factory=class_row(RejectedTick)) as cursor:
        return cursor.execute(query("list_rejected"), parameters).fetchall()


def count_rejected(connection: Connection) -> dict[str, int]:
    """Count the rejected ticks that are not resolved, by feed or file."""
    return dict(connection.execute(query("count_rejected")).fetchall())


def read_rejected(connection: Connection, number: int) -> RejectedTick:
    """Return one rejected tick; UsageError when there is none."""
    with connection.cursor(row_factory=class_row(RejectedTick)) as cursor:
        found = cursor.execute(query("read_rejected"), {"id": number}).fetchone()
    if found is None:
        raise UsageError(f"There is no rejected tick {number}: choose one of `candleworks rejected list`.")
    return found


def retry_one(
    connection: Connection, tick: RejectedTick, corrected: str | None, attempt: Callable[[], RetryResult]
) -> RetryResult | None:
    """Store a rejected tick and record the result, in one transaction; None when it was resolved meanwhile."""
    with connection.transaction():
        if connection.execute(query("lock_rejected"), {"id": tick.id}).fetchone() is None:
            return None
        result = _attempted(connection, attempt)
        connection.execute(
            query("note_replay"),
            {"id": tick.id, "outcome": result.outcome, "reason": result.reason, "corrected": corrected},
        )
    return result


def retry_all(
    connection: Connection,
    ticks: Sequence[RejectedTick],
    corrected: Sequence[str | None],
    attempt: Callable[[], bool],
) -> bool:
    """Store rejected ticks and record it, in one transaction; False, without changes, unless `attempt` stores all."""
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


def refusal_reason(error: Error) -> str:
    """Return why the database refused a row, in its words."""
    return f"the database refused it: {error.diag.message_primary or error}"


def _attempted(connection: Connection, attempt: Callable[[], RetryResult]) -> RetryResult:
    try:
        with connection.transaction():
            return attempt()
    except REFUSALS as error:
        return RetryResult("rejected", refusal_reason(error))
