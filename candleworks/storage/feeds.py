"""What the database keeps of a feed besides its ticks: lock, position, gaps, symbols, stops, statistics."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID, uuid4

from psycopg.rows import args_row

from candleworks.database.connection import Connection
from candleworks.database.locks import Lock, LockTimeoutError, end_lock_owner, lock_owner, locked_keys, take_lock
from candleworks.database.queries import query
from candleworks.errors import FeedLockedError
from candleworks.model.gaps import GapNote
from candleworks.model.trades import moment_of
from candleworks.storage.rejected import REFUSALS, refusal_reason

LOCK_WAIT_MS = 3_000  # a process that is stopping may still own the lock

Status = Literal["asked", "streaming", "refused", "removed"]
_RUN = str(uuid4())


class SymbolStatus(NamedTuple):
    """Whether the vendor streams a symbol, and its reason when it refused to."""

    status: Status
    reason: str | None = None


class FeedLocks(NamedTuple):
    """`database` identifies the database from wherever it is reached; `locked` feeds are written by some process."""

    database: str
    locked: frozenset[str]


class StoppedFeed(NamedTuple):
    """`reason` says who or what stopped it, such as "cancelled in Prefect"."""

    feed: str
    stopped_at: datetime
    reason: str


class StoppedFeeds(NamedTuple):
    """Stopped feeds in alphabetical order; `everything` when no other feed has symbols."""

    feeds: list[StoppedFeed]
    everything: bool


@dataclass(frozen=True, slots=True)
class IngestStats:
    """What a feed did in the ten seconds from `at`. Lags are from arrival to commit, null while no tick came.

    Quotes are counted besides the ticks that they came with.
    """

    feed: str
    at: datetime
    ticks: int
    batches: int
    lag_ms_p50: float | None
    lag_ms_p99: float | None
    lag_ms_max: float | None
    spool_depth: int
    reconnects: int
    duplicates: int
    rejected: int
    candles: int
    quotes: int = 0
    duplicate_quotes: int = 0
    rejected_quotes: int = 0


def lock_feed(connection: Connection, feed: str, former_backend: int | None) -> int:
    """Lock the feed for as long as this connection lives; return the process id of the connection's backend.

    `former_backend` owned the lock before our connection was lost, which the server may not have noticed; it is
    terminated. Raises FeedLockedError when another process keeps the lock.
    """
    if former_backend is not None:
        end_lock_owner(connection, Lock.FEED, feed, former_backend)
    try:
        take_lock(connection, Lock.FEED, feed, wait_ms=LOCK_WAIT_MS)
    except LockTimeoutError:
        owner = lock_owner(connection, Lock.FEED, feed)
        raise FeedLockedError(
            f"Feed {feed} is already being streamed ({owner.description if owner else 'by another process'}): stop that"
            " one first."
        ) from None
    return connection.info.backend_pid


def read_feed_locks(connection: Connection, feeds: Iterable[str]) -> FeedLocks:
    """Return which of `feeds` are being written now, by whichever process."""
    row = connection.execute(query("database_identity")).fetchone()
    return FeedLocks(row[0] if row else "", locked_keys(connection, Lock.FEED, feeds))


def stored_marks(connection: Connection, feed: str) -> dict[UUID, int]:
    """Return the sequence number of the last stored batch, by run of the feed."""
    return dict(connection.execute(query("stored_marks"), {"feed": feed}).fetchall())


def save_mark(connection: Connection, feed: str, run: UUID, sequence: int) -> None:
    """Record up to which batch a run is stored; to be called in the transaction that stores it."""
    connection.execute(query("save_mark"), {"feed": feed, "run": run, "sequence": sequence})


def save_gap_note(connection: Connection, feed: str, symbols: Sequence[str], note: GapNote) -> str | None:
    """Record what a note says about gaps and stops; return why the database refused to, null when it did not.

    `symbols` are the feed's: a gap without a start begins at the last stored tick of any of them.
    """
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
    try:
        with connection.transaction():
            connection.execute(query(f"gap_{note.kind}"), values)
    except REFUSALS as error:
        return refusal_reason(error)
    return None


def save_symbols(connection: Connection, feed: str, statuses: Mapping[str, SymbolStatus]) -> None:
    """Store the state of all symbols of a feed; symbols that are no longer named become removed."""
    connection.execute(
        query("save_feed_symbols"),
        {
            "feed": feed,
            "symbols": list(statuses),
            "statuses": [entry.status for entry in statuses.values()],
            "reasons": [entry.reason for entry in statuses.values()],
        },
    )


def save_refusal(connection: Connection, feed: str, observed: str | None) -> None:
    """Store what the vendor answered when it refused a key that it has accepted before; null: it does not."""
    name = "delete_feed_refusal" if observed is None else "save_feed_refusal"
    connection.execute(query(name), {"feed": feed, "observed": observed})


def read_stopped_feeds(connection: Connection) -> StoppedFeeds:
    """Return the feeds that a person has stopped and nobody has started again."""
    with connection.cursor(row_factory=args_row(StoppedFeed)) as cursor:
        feeds = cursor.execute(query("stopped_feeds")).fetchall()
    row = connection.execute(query("feeds_not_stopped")).fetchone()
    return StoppedFeeds(feeds, bool(feeds) and row == (0,))


def ticks_expected(connection: Connection, at: datetime, window: timedelta) -> bool:
    """Whether a market of a subscribed symbol was open throughout `window` before `at`.

    True where nothing is subscribed, or calendars are not stored yet: nothing says then that a market is closed.
    """
    row = connection.execute(query("ticks_expected"), {"at": at, "window": window}).fetchone()
    return row is None or bool(row[0])


def confirm_stops(connection: Connection, feeds: Sequence[str], reason: str) -> None:
    """Mark as deliberate the stops of these feeds within the last minute: a person ended the process that ran them."""
    connection.execute(query("confirm_stops"), {"feeds": list(feeds), "reason": reason})


def save_ingest_stats(connection: Connection, stats: IngestStats) -> None:
    """Insert the row, or replace it."""
    connection.execute(query("save_ingest_stats"), asdict(stats) | {"run": _RUN})


def streaming_symbols(connection: Connection, feed: str) -> list[str]:
    """Return the symbols that the vendor streams on a feed."""
    return [symbol for (symbol,) in connection.execute(query("streaming_symbols"), {"feed": feed}).fetchall()]
