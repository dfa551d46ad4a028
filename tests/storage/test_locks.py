"""The registry of advisory locks: what it says is what the server shows."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from candleworks.database import locks
from candleworks.database.connection import Connection, connect, transient_errors
from candleworks.database.engine import Engine
from candleworks.database.locks import (
    Lock,
    LockTimeoutError,
    end_lock_owner,
    lock_owner,
    lock_transaction,
    locked,
    locked_keys,
    take_lock,
    try_locked,
)
from candleworks.database.profiles import WRITER
from candleworks.database.queries import query
from candleworks.errors import TransientError
from tests.storage.conftest import wait_for_a_lock

HELD = (
    "SELECT classid::bigint, objid::bigint, mode FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
    " AND pid = %s ORDER BY 1, 2"
)
ON_PLAIN_POSTGRESQL = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def held_by(connection: Connection, observer: Connection) -> list[tuple[int, int, str]]:
    """Class, object and mode of the advisory locks of a session."""
    return observer.execute(HELD, [connection.info.backend_pid]).fetchall()


@ON_PLAIN_POSTGRESQL
@pytest.mark.parametrize("lock", list(Lock))
def test_a_lock_is_held_under_its_class_and_the_hash_of_its_key(dsn: str, lock: Lock) -> None:
    """For the context only, as is one that was merely tried."""
    with connect(dsn) as owner, connect(dsn) as observer:
        row = observer.execute("SELECT hashtext('AAPL')::oid::bigint").fetchone()
        assert row is not None
        with locked(owner, lock), try_locked(owner, lock, "AAPL") as taken:
            assert taken
            assert held_by(owner, observer) == sorted([
                (int(lock), 0, "ExclusiveLock"), (int(lock), row[0], "ExclusiveLock"),
            ])  # fmt: skip
        assert held_by(owner, observer) == []


GRANTED_TOO_LATE = """
CREATE FUNCTION pg_temp.granted_too_late(class integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock(class, 0);
    RAISE EXCEPTION 'canceling statement due to lock timeout' USING ERRCODE = 'lock_not_available';
END $$
"""


@ON_PLAIN_POSTGRESQL
def test_a_lock_that_is_granted_while_its_wait_times_out_is_released(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL cancels the statement but not the lock, with which a refresh kept ticks out for good."""
    with connect(dsn) as owner, connect(dsn) as observer:
        owner.execute(GRANTED_TOO_LATE)
        late = {"take_lock": "SELECT pg_temp.granted_too_late(%(class)s)"}
        monkeypatch.setattr(locks, "query", lambda name: late.get(name) or query(name))
        with pytest.raises(LockTimeoutError):
            take_lock(owner, Lock.INSERT_TICKS, wait_ms=50)
        assert held_by(owner, observer) == []


@ON_PLAIN_POSTGRESQL
def test_another_session_cannot_have_a_lock(dsn: str) -> None:
    """Trying tells so at once, waiting after a while, and who has it is known."""
    with connect(dsn, "the owner") as owner, connect(dsn) as other, locked(owner, Lock.FEED, "x"):
        with try_locked(other, Lock.FEED, "x") as taken:
            assert not taken
        with pytest.raises(LockTimeoutError, match="the lock FEED x is held by another session"):
            take_lock(other, Lock.FEED, "x", wait_ms=100)
        found = lock_owner(other, Lock.FEED, "x")
        assert found is not None
        assert found.pid == owner.info.backend_pid
        assert found.description.startswith("candleworks the owner, from this machine, since 20")
        assert locked_keys(other, Lock.FEED, ["w", "x", "y"]) == {"x"}
        with locked(other, Lock.FEED, "y"), locked(other, Lock.IMPORT, "x"):
            pass  # other keys and other classes are other locks
    with connect(dsn) as later:
        assert lock_owner(later, Lock.FEED, "x") is None


@ON_PLAIN_POSTGRESQL
def test_a_lock_is_waited_for_longer_than_a_profile_waits_for_rows(dsn: str) -> None:
    """An import of the same content may take hours; afterwards the profile's limit counts again."""
    short_waits = replace(WRITER, lock_timeout_seconds=1)
    with (
        connect(dsn) as owner,
        connect(dsn, "waits", profile=short_waits) as waiting,
        ThreadPoolExecutor(1) as threads,
    ):
        with locked(owner, Lock.IMPORT, "content"):
            taking = threads.submit(take_lock, waiting, Lock.IMPORT, "content")
            wait_for_a_lock(owner, "waits")
            time.sleep(1.5)
        taking.result(30)
        assert waiting.execute("SHOW lock_timeout").fetchone() == ("1s",)
        with waiting.transaction():
            lock_transaction(waiting, Lock.CALENDARS)
            assert waiting.execute("SHOW lock_timeout").fetchone() == ("1s",)
            owner.execute("BEGIN; LOCK TABLE company")
            with pytest.raises(TransientError, match="did not grant a lock"), transient_errors(dsn):
                waiting.execute("SELECT 1 FROM company")


@ON_PLAIN_POSTGRESQL
def test_only_the_owner_of_a_lock_is_ended(dsn: str) -> None:
    """A process number that the server gave to another session since is left alone."""
    with connect(dsn) as owner, connect(dsn) as bystander, connect(dsn) as other:
        take_lock(owner, Lock.FEED, "x")
        end_lock_owner(other, Lock.FEED, "x", bystander.info.backend_pid)
        end_lock_owner(other, Lock.FEED, "y", owner.info.backend_pid)
        assert bystander.execute("SELECT 1").fetchone() == owner.execute("SELECT 1").fetchone() == (1,)
        end_lock_owner(other, Lock.FEED, "x", owner.info.backend_pid)
        with pytest.raises(TransientError), transient_errors(dsn):
            owner.execute("SELECT 1")
        with try_locked(other, Lock.FEED, "x") as taken:
            assert taken
