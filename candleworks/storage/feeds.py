"""What the database keeps of a feed besides its ticks: who may write it, how far it is, its gaps and its symbols."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple
from uuid import UUID

from psycopg import errors

from candleworks.database.connection import Connection
from candleworks.database.queries import query
from candleworks.errors import FeedLockedError
from candleworks.model.gaps import GapNote
from candleworks.model.trades import moment_of

HOLD_WAIT_MS = 3_000  # somebody may just be leaving

Status = Literal["asked", "streaming", "refused", "removed"]


class SymbolStatus(NamedTuple):
    """Whether the vendor streams a symbol, and its words when it refused to."""

    status: Status
    reason: str | None = None


def lock_feed(connection: Connection, feed: str, former_backend: int | None) -> int:
    """Take the feed for as long as this connection lives; return the number of the connection's backend.

    `former_backend` is the one that held it before our connection was lost, which the server may not have noticed; it
    is ended. Raises FeedLockedError when somebody else has the feed and keeps it.
    """
    if former_backend is not None:
        connection.execute(query("end_backend"), {"backend": former_backend, "feed": feed})
    connection.execute(query("set_keepalives"))
    try:
        with connection.transaction():
            connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{HOLD_WAIT_MS}ms"])
            connection.execute(query("lock_feed"), {"feed": feed})
    except errors.LockNotAvailable:
        holder = connection.execute(query("feed_lock_owner"), {"feed": feed}).fetchone()
        raise FeedLockedError(
            f"Feed {feed} is already being streamed ({holder[0] if holder else 'by another process'}): stop that one"
            " first."
        ) from None
    return connection.info.backend_pid


def stored_marks(connection: Connection, feed: str) -> dict[UUID, int]:
    """Return the sequence of the last stored batch of each run of the feed."""
    return dict(connection.execute(query("stored_marks"), {"feed": feed}).fetchall())


def save_mark(connection: Connection, feed: str, run: UUID, sequence: int) -> None:
    """Note how far a run is stored; belongs into the transaction that stores it."""
    connection.execute(query("save_mark"), {"feed": feed, "run": run, "sequence": sequence})


def book(connection: Connection, feed: str, symbols: Sequence[str], note: GapNote) -> None:
    """Write a note into the gap book; `symbols` are the feed's, among which the last stored tick is looked for."""
    at = None if note.at_us is None else moment_of(note.at_us)
    values: dict[str, object] = {
        "feed": feed,
        "symbols": list(symbols),
        "symbol": note.symbol,
        "at": at,
        "reason": note.reason,
    }
    if note.stop is not None:
        values |= {"why": note.stop.reason, "deliberate": note.stop.deliberate}
    connection.execute(query(f"gap_{note.kind}"), values)


def save_symbols(connection: Connection, feed: str, statuses: Mapping[str, SymbolStatus]) -> None:
    """Store the state of all symbols of a feed; those that it had before and that are not named are removed."""
    connection.execute(
        query("save_feed_symbols"),
        {
            "feed": feed,
            "symbols": list(statuses),
            "statuses": [entry.status for entry in statuses.values()],
            "reasons": [entry.reason for entry in statuses.values()],
        },
    )
