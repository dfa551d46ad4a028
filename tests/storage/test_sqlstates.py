"""Which errors of the server a retry may cure: one table decides, and the server raises them for real where it can."""

import time
from collections.abc import Callable

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo

from candleworks.database.connection import Connection, connect, describe, is_outage, transient_errors
from candleworks.database.engine import Engine
from candleworks.database.sqlstates import TRANSIENT, outage_of_state
from candleworks.errors import TransientError

on_one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def read_only(connection: Connection) -> None:
    connection.execute("SET default_transaction_read_only = on")
    connection.execute("CREATE TABLE refused (i int)")


def statement_timeout(connection: Connection) -> None:
    connection.execute("SET statement_timeout = '50ms'")
    connection.execute("SELECT pg_sleep(10)")


def idle_in_transaction(connection: Connection) -> None:
    connection.execute("SET idle_in_transaction_session_timeout = '50ms'")
    with connection.transaction():
        connection.execute("SELECT 1")
        time.sleep(0.5)
        connection.execute("SELECT 1")


def transaction_timeout(connection: Connection) -> None:
    connection.execute("SET transaction_timeout = '50ms'")
    with connection.transaction():
        connection.execute("SELECT pg_sleep(10)")


def idle_session(connection: Connection) -> None:
    connection.execute("SET idle_session_timeout = '50ms'")
    time.sleep(0.5)
    connection.execute("SELECT 1")


def lock_not_available(connection: Connection) -> None:
    with connect(connection.info.dsn, "other", autocommit=False) as other:
        other.execute("LOCK TABLE stocks_real_time")
        connection.execute("SET lock_timeout = '50ms'")
        connection.execute("TRUNCATE stocks_real_time")


def admin_shutdown(connection: Connection) -> None:
    connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def serialization_failure(connection: Connection) -> None:
    connection.execute("CREATE TABLE counted AS SELECT 1 AS i")
    with connect(connection.info.dsn, "other") as other, connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT i FROM counted")
        other.execute("UPDATE counted SET i = 2")
        connection.execute("UPDATE counted SET i = 3")


def out_of_memory(connection: Connection) -> None:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(i) FROM generate_series(1, 1000000) i")


PROVOKED: dict[str, tuple[Callable[[Connection], None], str]] = {
    "25006": (read_only, "accepts no changes ("),
    "25P03": (idle_in_transaction, "ended a session that took too long ("),
    "25P04": (transaction_timeout, "ended a session that took too long ("),
    "40001": (serialization_failure, "rolled back a transaction that conflicted with another one ("),
    "53200": (out_of_memory, "has run out of a resource ("),
    "55P03": (lock_not_available, "did not grant a lock that another session holds ("),
    "57014": (statement_timeout, "did not answer in time ("),
    "57P01": (admin_shutdown, "cannot be reached ("),
    "57P05": (idle_session, "ended a session that took too long ("),
}


@on_one_engine
@pytest.mark.parametrize("sqlstate", PROVOKED)
def test_an_outage_that_the_server_reports_is_transient(dsn: str, sqlstate: str) -> None:
    """The sentence says what it does not do."""
    provoke, words = PROVOKED[sqlstate]
    with connect(dsn, "provoked") as connection, pytest.raises(TransientError) as caught, transient_errors(dsn):
        provoke(connection)
    cause = caught.value.__cause__
    assert isinstance(cause, psycopg.Error)
    assert cause.sqlstate == sqlstate
    assert is_outage(cause)
    assert str(caught.value).startswith(f"The database {describe(dsn)} {words}")


@on_one_engine
@pytest.mark.parametrize("sqlstate", ["08006", "40P01", "53000", "53100", "53300", "57P02", "57P03", "58030", "55006"])
def test_an_outage_that_cannot_be_provoked_is_transient(connection: Connection, sqlstate: str) -> None:
    """The server sends the code all the same, raised by a block of PL/pgSQL."""
    with pytest.raises(TransientError), transient_errors(connection.info.dsn):
        connection.execute(f"DO $$ BEGIN RAISE 'said so' USING ERRCODE = '{sqlstate}'; END $$")


@on_one_engine
@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        ("SELECT * FROM nobody", "42P01"),
        ("SELECT 1 / 0", "22012"),
        ("SELEC", "42601"),
        ("DO $$ BEGIN RAISE 'no'; END $$", "P0001"),
        ("SET temp_file_limit = 0; SET work_mem = 64; SELECT * FROM generate_series(1, 200000) i ORDER BY -i", "53400"),
        ("DO $$ BEGIN RAISE 'no' USING ERRCODE = '40002'; END $$", "40002"),
        ("DO $$ BEGIN RAISE 'no' USING ERRCODE = '42501'; END $$", "42501"),
        ("DO $$ BEGIN RAISE 'no' USING ERRCODE = '55000'; END $$", "55000"),
    ],
)
def test_an_error_that_a_person_must_correct_is_terminal(connection: Connection, sql: str, sqlstate: str) -> None:
    """It is raised as it is, and does not count as an outage."""
    with pytest.raises(psycopg.Error) as caught, transient_errors(connection.info.dsn):
        connection.execute(sql.encode())
    assert caught.value.sqlstate == sqlstate
    assert not is_outage(caught.value)


@on_one_engine
def test_a_mistake_in_the_program_is_terminal(connection: Connection) -> None:
    """The driver raises it without a SQLSTATE, as it does when a connection is lost."""
    with pytest.raises(psycopg.ProgrammingError) as caught, transient_errors(connection.info.dsn):
        connection.execute("SELECT %s", [])
    assert caught.value.sqlstate is None


@on_one_engine
def test_too_many_connections_are_waited_for(dsn: str, connection: Connection) -> None:
    """The driver gives no SQLSTATE for a connection that the server refuses: each of these errors is transient."""
    connection.execute("CREATE ROLE limited LOGIN CONNECTION LIMIT 0")
    try:
        with pytest.raises(TransientError, match="too many connections"):
            connect(make_conninfo(dsn, user="limited"))
    finally:
        connection.execute("DROP ROLE limited")


def test_the_table_names_errors_of_postgresql() -> None:
    """A code that is mistyped would never be met."""
    for code in TRANSIENT:
        if len(code) == 5:
            assert errors.lookup(code)
    assert outage_of_state("") is None
