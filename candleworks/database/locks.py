"""The registry of advisory locks, and the ways to take them.

A lock has two keys: its class, of which `Lock` is the list, and the object that is locked: the hash of a name such as a
symbol or a feed, or 0 where there is only one. Functions in `sql/` find a class by `candleworks.lock_class(NAME)`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import NamedTuple

from psycopg import errors

from candleworks.database.connection import Connection
from candleworks.database.queries import query


class Lock(IntEnum):
    """The classes. Numbers are far from what another program in the same database may choose, and never change."""

    MIGRATIONS = 716_480_001
    IMPORT = 716_480_002  # of one content, by its SHA-256
    FEED = 716_480_003  # one writer per feed
    FILL_GAPS = 716_480_004  # of one symbol
    REFRESH_CANDLES = 716_480_005
    INSERT_TICKS = 716_480_006  # shared by all that write ticks; TimescaleDB only
    PREPARE_PARTITIONS = 716_480_007
    CALENDARS = 716_480_008
    REST_CREDITS = 716_480_009  # of one account
    ALERTS = 716_480_010
    ALERT_DELIVERIES = 716_480_011  # one sender per recipient
    BACKFILL = 716_480_012  # of one feed
    STREAM = 716_480_013  # commits that change what is streamed; taken last


class LockTimeoutError(Exception):
    """Another session kept the lock for longer than was to be waited."""


class LockOwner(NamedTuple):
    """A session that has a lock, as far as we may see; `description` names its program, machine and start."""

    pid: int
    description: str


@contextmanager
def locked(connection: Connection, lock: Lock, key: str = "", *, wait_ms: int = 0) -> Iterator[None]:
    """Have a lock within the context, over all its transactions.

    Waits as long as it takes, or up to `wait_ms`; then raises LockTimeoutError.
    """
    take_lock(connection, lock, key, wait_ms=wait_ms)
    try:
        yield
    finally:
        _release(connection, lock, key)


@contextmanager
def try_locked(connection: Connection, lock: Lock, key: str = "") -> Iterator[bool]:
    """Have a lock within the context; yields False without waiting while another session has it."""
    row = connection.execute(query("try_lock"), _keys(lock, key)).fetchone()
    taken = bool(row and row[0])
    try:
        yield taken
    finally:
        if taken:
            _release(connection, lock, key)


def take_lock(connection: Connection, lock: Lock, key: str = "", *, wait_ms: int = 0) -> None:
    """Have a lock for as long as the connection lives; raises LockTimeoutError as locked() does.

    A wait may time out in the moment in which the lock is granted: PostgreSQL then cancels the statement, and the
    session has the lock all the same.
    """
    try:
        with connection.transaction(), _lock_timeout(connection, wait_ms):
            connection.execute(query("take_lock"), _keys(lock, key))
    except errors.LockNotAvailable as error:
        connection.execute(query("release_granted_lock"), _keys(lock, key))
        raise LockTimeoutError(f"the lock {lock.name} {key}".strip() + " is held by another session") from error


def lock_transaction(connection: Connection, lock: Lock, key: str = "") -> None:
    """Have a lock until the transaction ends, however long it takes to get it."""
    with _lock_timeout(connection, 0):
        connection.execute(query("lock_transaction"), _keys(lock, key))


def lock_owner(connection: Connection, lock: Lock, key: str = "") -> LockOwner | None:
    """Return the session that has the lock, None when there is none or its role hides it from ours."""
    row = connection.execute(query("lock_owner"), _keys(lock, key)).fetchone()
    return LockOwner(*row) if row else None


def locked_keys(connection: Connection, lock: Lock, keys: Iterable[str]) -> frozenset[str]:
    """Return those of the keys whose lock is held by some session."""
    rows = connection.execute(query("locked_keys"), {"class": int(lock), "keys": list(keys)}).fetchall()
    return frozenset(key for (key,) in rows)


def end_lock_owner(connection: Connection, lock: Lock, key: str, pid: int) -> None:
    """End the session `pid` if it is our own role's and has the lock."""
    connection.execute(query("end_lock_owner"), _keys(lock, key) | {"pid": pid})


@contextmanager
def _lock_timeout(connection: Connection, milliseconds: int) -> Iterator[None]:
    """Replace what the session's profile allows for waiting, within a transaction."""
    row = connection.execute("SELECT current_setting('lock_timeout')").fetchone()
    connection.execute(query("set_lock_timeout"), {"timeout": f"{milliseconds}ms"})
    yield
    connection.execute(query("set_lock_timeout"), {"timeout": row[0] if row else "0"})


def _release(connection: Connection, lock: Lock, key: str) -> None:
    if not connection.closed:
        connection.execute(query("release_lock"), _keys(lock, key))


def _keys(lock: Lock, key: str) -> dict[str, object]:
    return {"class": int(lock), "key": key}
