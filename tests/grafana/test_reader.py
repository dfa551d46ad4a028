"""The role that Grafana reads with: it reads what is public, and nothing else."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo

from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.database.migrations import migrate
from candleworks.database.reader_role import READER, address_of, set_up_reader
from candleworks.errors import TerminalError
from candleworks.settings import load_settings
from tests.conftest import clone

# Everything in the schema public that belongs to us.
PUBLIC = """
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')
"""
WRITES = (
    "INSERT INTO stocks_real_time (time, symbol, price) VALUES (now(), 'A', 1)",
    "INSERT INTO quotes (time, symbol, bid, ask) VALUES (now(), 'A', 1, 2)",
    "DELETE FROM feed_gaps",
    "UPDATE company SET name = 'x'",
    "TRUNCATE rejected_ticks",
    "CREATE TABLE public.mine (id integer)",
    "CREATE TABLE dashboards.mine (id integer)",
    "DROP TABLE company",
    "ALTER TABLE quotes DISABLE TRIGGER ALL",
    "SELECT candleworks.prepare_ticks('2030-01-01', '2030-01-01')",
    "SELECT acknowledge_alert(1, 'me')",
    "ALTER ROLE candleworks_reader CREATEROLE",
)
# On TimescaleDB there are no partitions to be prepared, so nothing happens there.
HARMLESS = {Engine.TIMESCALE: {"SELECT candleworks.prepare_ticks('2030-01-01', '2030-01-01')"}, Engine.POSTGRES: set()}


@pytest.fixture(scope="module")
def dsn(server_dsn: str, template: str) -> Iterator[str]:
    """One database for all of these tests: most of them must change nothing."""
    with clone(server_dsn, template) as dsn:
        with connect(dsn) as connection:
            set_up_reader(connection)
        yield dsn


@pytest.fixture
def reader(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, user=READER, autocommit=True) as connection:
        yield connection


def test_the_reader_reads_every_public_relation(connection: Connection, reader: Connection) -> None:
    """Whoever adds a relation adds it to candleworks.readable."""
    for (relation,) in connection.execute(PUBLIC).fetchall():
        reader.execute(f"SELECT * FROM public.{relation} LIMIT 1").fetchall()


def test_the_reader_reads_new_ticks(connection: Connection, reader: Connection) -> None:
    """Also where a partition or chunk came after the rights were given."""
    connection.execute("SELECT candleworks.prepare_ticks(now(), now())")
    connection.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (now(), 'A', 1)")
    assert reader.execute("SELECT price FROM stocks_real_time").fetchall() == [(1.0,)]
    assert reader.execute("SELECT close FROM candles_1d").fetchall() == [(1.0,)]


BLOCKING = (
    "SELECT pg_advisory_lock(716480003, hashtext('twelvedata'))",
    "SELECT pg_try_advisory_lock(716480005, 0)",
    "SELECT pg_advisory_xact_lock(716480013, 0)",
    "SELECT pg_try_advisory_lock_shared(1)",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "CREATE TEMPORARY TABLE mine (id integer)",
    "DO $$ BEGIN LOCK TABLE stocks_real_time IN SHARE MODE; END $$",
)


@pytest.mark.parametrize("statement", BLOCKING)
def test_the_reader_can_be_in_nobodys_way(reader: Connection, statement: str) -> None:
    """It takes no lock that a feed or a refresh would wait for, and fills no disk, read-only or not."""
    reader.execute("SET default_transaction_read_only = off")
    with pytest.raises(errors.InsufficientPrivilege):
        reader.execute(statement)


def test_other_roles_keep_what_the_reader_lost(connection: Connection, dsn: str) -> None:
    """Those that exist when the reader is made, and those that exist when that is repeated."""
    connection.execute("CREATE ROLE other_tenant LOGIN")
    try:
        set_up_reader(connection)
        with psycopg.connect(dsn, user="other_tenant", autocommit=True) as tenant:
            assert tenant.execute("SELECT pg_try_advisory_lock(1)").fetchone() == (True,)
            tenant.execute("CREATE TEMPORARY TABLE mine (id integer)")
    finally:
        connection.execute("DROP OWNED BY other_tenant")
        connection.execute("DROP ROLE other_tenant")


@pytest.mark.parametrize("statement", WRITES)
def test_the_reader_changes_nothing(reader: Connection, statement: str, engine: Engine) -> None:
    """Neither by default nor after it has asked to be allowed to write."""
    if statement in HARMLESS[engine]:
        pytest.skip("does nothing on this engine")
    with pytest.raises((errors.ReadOnlySqlTransaction, errors.InsufficientPrivilege)):
        reader.execute(statement)
    reader.execute("SET default_transaction_read_only = off")
    with pytest.raises(errors.InsufficientPrivilege):
        reader.execute(statement)


@pytest.mark.parametrize(
    "relation", ["candleworks.retention_horizons", "candleworks.readable", "candleworks.feed_marks", "pg_authid"]
)
def test_the_reader_sees_nothing_private(reader: Connection, relation: str) -> None:
    """What is behind the public relations stays closed."""
    with pytest.raises(errors.InsufficientPrivilege):
        reader.execute(f"SELECT * FROM {relation}")


def test_somebody_elses_table_stays_theirs(connection: Connection, reader: Connection) -> None:
    """A database may hold more than ours, in the schema public, too."""
    connection.execute("CREATE TABLE public.salaries (person text)")
    set_up_reader(connection)
    with pytest.raises(errors.InsufficientPrivilege):
        reader.execute("SELECT * FROM public.salaries")


def test_the_reader_cannot_keep_the_server_busy(reader: Connection) -> None:
    """Statements end, transactions do not stay open, and connections are few."""
    settings = {name: reader.execute(f"SHOW {name}").fetchall()[0][0] for name in (
        "statement_timeout", "idle_in_transaction_session_timeout", "default_transaction_read_only", "jit"
    )}  # fmt: skip
    assert settings == {
        "statement_timeout": "15s",
        "idle_in_transaction_session_timeout": "1min",
        "default_transaction_read_only": "on",
        "jit": "off",
    }
    assert reader.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", [READER]).fetchall() == [(20,)]


def test_the_password_reaches_the_server_hashed(connection: Connection) -> None:
    """What logs and statistics of statements keep is no password; setting it again changes it."""
    set_up_reader(connection, "pass'word $HOME")
    stored = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"
    ((first,),) = connection.execute(stored, [READER]).fetchall()
    assert first.startswith("SCRAM-SHA-256$")
    set_up_reader(connection, "another one")
    ((second,),) = connection.execute(stored, [READER]).fetchall()
    assert second != first
    connection.execute(f"ALTER ROLE {READER} PASSWORD NULL")


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_without_the_right_to_make_roles_the_rest_is_made(server_dsn: str) -> None:
    """On somebody's managed server: who asks for the role is told what is missing, everything else is there."""
    with connect(server_dsn) as admin:
        admin.execute("CREATE ROLE ordinary LOGIN")
        admin.execute("CREATE DATABASE ordinary OWNER ordinary")
        admin.execute(f"ALTER ROLE {READER} RENAME TO candleworks_reader_away" if _exists(admin) else "SELECT 1")
        said: list[str] = []
        dsn = make_conninfo(server_dsn, dbname="ordinary", user="ordinary")
        try:
            migrate(dsn, load_settings({}), said.append)
            sentence = (
                "The role candleworks_reader for dashboards was not made, because ordinary may not create roles: let an"
                " administrator run CREATE ROLE candleworks_reader LOGIN, then run candleworks reader."
            )
            assert said == []
            with connect(dsn) as owner, pytest.raises(TerminalError) as refused:
                set_up_reader(owner)
            assert str(refused.value) == sentence
            admin.execute(f"CREATE ROLE {READER} LOGIN")
            with connect(dsn) as owner:
                set_up_reader(owner)
                with pytest.raises(
                    TerminalError, match="Permission denied to set the password of candleworks_reader as ordinary"
                ):
                    set_up_reader(owner, "secret")
            with psycopg.connect(dsn, user=READER, autocommit=True) as reader:
                assert reader.execute("SELECT * FROM candles_1m").fetchall() == []
        finally:
            admin.execute("DROP DATABASE ordinary WITH (FORCE)")
            admin.execute(f"DROP ROLE IF EXISTS {READER}")
            if admin.execute("SELECT FROM pg_roles WHERE rolname = 'candleworks_reader_away'").rowcount:
                admin.execute(f"ALTER ROLE candleworks_reader_away RENAME TO {READER}")
            admin.execute("DROP ROLE ordinary")


def _exists(admin: Connection) -> bool:
    return admin.execute("SELECT FROM pg_roles WHERE rolname = %s", [READER]).rowcount > 0


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://postgres@/candleworks?host=/home/me/.candleworks/postgres",
         ("/home/me/.candleworks/postgres", "candleworks", "disable")),
        ("postgresql://me:x@db.example:6543/market", ("db.example:6543", "market", "require")),
        ("postgresql://me@127.0.0.1/market", ("127.0.0.1:5432", "market", "disable")),
        ("postgresql://me@[::1]:1/market?sslmode=prefer", ("[::1]:1", "market", "disable")),
        ("postgresql://me@db/market?sslmode=verify-full", ("db:5432", "market", "verify-full")),
    ],
)  # fmt: skip
def test_a_connection_string_is_told_in_grafanas_words(dsn: str, expected: tuple[str, str, str]) -> None:
    """Host and port in one, a socket by its directory, and never an sslmode that Grafana does not know."""
    assert address_of(dsn) == expected
