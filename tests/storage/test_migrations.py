"""The database's schema comes into being once and whole, whoever else tries at the same time."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from candleworks.clock import monotonic
from candleworks.database.connection import Connection, connect, describe
from candleworks.database.engine import Engine
from candleworks.database.locks import Lock, lock_transaction
from candleworks.database.migrations import migrate, plan_migration, read_migrations
from candleworks.errors import TerminalError
from candleworks.settings import load_settings
from tests.conftest import clone
from tests.storage.conftest import wait_for_a_lock

PATIENCE_SECONDS = 60
MIGRATE = """
import sys
from candleworks.settings import load_settings
from candleworks.database.migrations import migrate
print("ready", flush=True)
sys.stdin.readline()
print(*migrate(sys.argv[1], load_settings({})))
"""
SCHEMA = """
SELECT 'relation', n.nspname, c.relname, c.relkind::text,
    coalesce(pg_get_viewdef(c.oid), (
        SELECT string_agg(format('%s %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
    ))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('public', 'candleworks')
UNION ALL
SELECT 'function', n.nspname, p.oid::regprocedure::text, p.prokind::text, p.prosrc
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname IN ('public', 'candleworks')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
ORDER BY 1, 2, 3, 4
"""

only_postgres = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


@pytest.fixture
def empty_dsn(server_dsn: str) -> Iterator[str]:
    """A database in which nothing was made yet."""
    with clone(server_dsn, "template0") as dsn:
        yield dsn


def start(dsn: str) -> subprocess.Popen[str]:
    """A process that stands ready to migrate and waits for a line."""
    return subprocess.Popen(
        [sys.executable, "-c", MIGRATE, make_conninfo(dsn, application_name="migrating")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def schema(dsn: str) -> list[tuple[object, ...]]:
    with connect(dsn) as connection:
        return connection.execute(SCHEMA).fetchall()


def test_migrating_twice_is_harmless(dsn: str) -> None:
    """The second time there is nothing to do, and nothing changes."""
    before = schema(dsn)
    assert migrate(dsn, load_settings({})) == []
    assert schema(dsn) == before


def test_an_empty_database_gets_every_file_once_and_in_order(empty_dsn: str, engine: Engine) -> None:
    """Common files and those of the engine, by number; each is noted with what it was."""
    applied = migrate(empty_dsn, load_settings({}))
    available = read_migrations(engine)
    assert applied == [migration.name for migration in available]
    assert [name.split("/")[1] for name in applied] == sorted(name.split("/")[1] for name in applied)
    with connect(empty_dsn) as connection:
        noted = connection.execute("SELECT name, sha256 FROM candleworks_migrations").fetchall()
    assert dict(noted) == {migration.name: migration.sha256 for migration in available}


@only_postgres
def test_twenty_processes_at_once_do_the_work_of_one(empty_dsn: str, dsn: str) -> None:
    """Each of them succeeds, one of them applies everything, and the schema is the usual one."""
    processes = [start(empty_dsn) for _ in range(20)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=PATIENCE_SECONDS) for process in processes]
    assert [process.returncode for process in processes] == [0] * 20, outputs
    applied = [output.split() for output, _ in outputs if output.strip()]
    assert applied == [[migration.name for migration in read_migrations(Engine.POSTGRES)]]
    assert schema(empty_dsn) == schema(dsn)


@only_postgres
@pytest.mark.parametrize("victim", ["its backend", "the process"])
def test_a_migration_that_is_killed_leaves_nothing(empty_dsn: str, dsn: str, victim: str) -> None:
    """Killed half way through the files, by the server or by kill -9; the next run starts from the beginning."""
    process = start(empty_dsn)
    with connect(empty_dsn) as observer, connect(empty_dsn, autocommit=False) as blocker:
        blocker.execute(
            "CREATE TABLE public.import_files ()"
        )  # an uncommitted table that a file in the middle waits for
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        wait_for_a_lock(observer, "migrate")
        if victim == "the process":
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE_SECONDS)
        else:
            _terminate(observer)
        blocker.rollback()
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode != 0, errors
        _wait_until_gone(observer)
    assert schema(empty_dsn) == []
    assert len(migrate(empty_dsn, load_settings({}))) > 5
    assert schema(empty_dsn) == schema(dsn)


def _terminate(connection: Connection) -> None:
    connection.execute(
        "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE application_name = 'candleworks migrate'"
    )


def _wait_until_gone(connection: Connection) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    while connection.execute(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'candleworks migrate' AND datname = current_database()"
    ).fetchone():
        assert monotonic() < deadline
        sleep(0.01)


@only_postgres
def test_a_file_that_fails_takes_all_others_back(empty_dsn: str) -> None:
    """What stands in the way is reported, and a database that is half done does not come about."""
    with connect(empty_dsn) as connection:
        connection.execute(
            "CREATE FUNCTION public.ohlc(text, interval, timestamptz, timestamptz, text) RETURNS int"
            " LANGUAGE sql RETURN 1"
        )
    before = schema(empty_dsn)
    with pytest.raises(psycopg.errors.DuplicateFunction):
        migrate(empty_dsn, load_settings({}))
    assert schema(empty_dsn) == before


def test_a_database_of_another_build_is_refused(dsn: str, connection: Connection) -> None:
    """The database was made by another text than the one that lies there now; nobody is blamed for it."""
    connection.execute("UPDATE candleworks_migrations SET sha256 = 'other' WHERE name = 'common/0010_company'")
    with pytest.raises(TerminalError) as caught:
        migrate(dsn, load_settings({}))
    assert str(caught.value) == (
        f"Database {describe(connection.info.dsn)} was migrated by another build of candleworks, whose migration"
        " common/0010_company differs from that of this version: run that build, or carry the ticks over into a new"
        " database (docs/how-to/upgrade.md); if sql/common/0010_company.sql was edited here, restore it."
    )


@only_postgres
@pytest.mark.parametrize("name", ["candleworks", "dashboards", "indicators"])
def test_a_schema_of_somebody_else_is_left_alone(empty_dsn: str, name: str) -> None:
    """It is named with the statement that makes room, by the dry run too; after it the migration goes through."""
    with connect(empty_dsn) as connection:
        connection.execute(f"CREATE SCHEMA {name} CREATE TABLE theirs (n int)")
        expected = (
            f"Database {describe(connection.info.dsn)} has a schema {name} that no migration of candleworks created:"
            f" rename it with ALTER SCHEMA {name} RENAME TO {name}_other, or use another database."
        )
        for attempt in (plan_migration, lambda dsn: migrate(dsn, load_settings({}))):
            with pytest.raises(TerminalError) as caught:
                attempt(empty_dsn)
            assert str(caught.value) == expected
        connection.execute(f"ALTER SCHEMA {name} RENAME TO {name}_other")
        migrate(empty_dsn, load_settings({}))
        assert connection.execute(f"SELECT count(*) FROM {name}_other.theirs").fetchone() == (0,)


def test_a_database_of_a_newer_version_is_refused(dsn: str, connection: Connection) -> None:
    """An older program does not touch what it does not know."""
    connection.execute("INSERT INTO candleworks_migrations (name, sha256) VALUES ('common/9999_future', 'x')")
    with pytest.raises(TerminalError) as caught:
        migrate(dsn, load_settings({}))
    assert str(caught.value) == (
        f"Database {describe(connection.info.dsn)} was migrated by a newer version of candleworks, which added"
        " common/9999_future: upgrade candleworks."
    )


def test_a_database_of_an_earlier_baseline_is_refused(dsn: str, connection: Connection) -> None:
    """Its migrations were replaced, so that nothing leads from its schema to this one."""
    connection.execute("UPDATE candleworks_migrations SET sha256 = 'other' WHERE name = 'common/0001_schema'")
    connection.execute("DELETE FROM candleworks_migrations WHERE name = 'common/0009_candle_views'")
    connection.execute("INSERT INTO candleworks_migrations (name, sha256) VALUES ('common/0006_candle_views', 'x')")
    with pytest.raises(TerminalError) as caught:
        migrate(dsn, load_settings({}))
    assert str(caught.value) == (
        f"Database {describe(connection.info.dsn)} was migrated by an earlier version of candleworks, which cannot be"
        " upgraded: export its ticks with that version's `candleworks export`, and import them into a new database."
    )


def test_files_are_numbered_without_holes(engine: Engine) -> None:
    """Of each number there is one file, or one for each engine."""
    numbers = [int(migration.name.split("/")[1][:4]) for migration in read_migrations(engine)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [name.split("/")[1] for name, _ in read_migrations(Engine.POSTGRES)] == [
        name.split("/")[1] for name, _ in read_migrations(Engine.TIMESCALE)
    ]


@only_postgres
def test_a_migration_waits_for_another_one(empty_dsn: str) -> None:
    """The second one finds the work done."""
    with (
        ThreadPoolExecutor(1) as executor,
        connect(empty_dsn, autocommit=False) as first,
        connect(empty_dsn) as observer,
    ):
        lock_transaction(first, Lock.MIGRATIONS)
        second = executor.submit(migrate, empty_dsn, load_settings({}))
        wait_for_a_lock(observer, "migrate")
        assert schema(empty_dsn) == []
        first.rollback()
        assert len(second.result(timeout=PATIENCE_SECONDS)) > 5


def test_a_reader_of_days_goes_on_reading_them(empty_dsn: str, engine: Engine) -> None:
    """Its rights were granted before there were daily bars, which ohlc() reads with them."""
    migrations = read_migrations(engine)
    earlier = [migration for migration in migrations if migration.name.partition("/")[2] < "0029"]
    with connect(empty_dsn, "test") as connection:
        if engine is Engine.TIMESCALE:
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        connection.execute("CREATE TABLE candleworks_migrations (name text PRIMARY KEY, sha256 text NOT NULL,"
                           " applied_at timestamptz NOT NULL DEFAULT now())")  # fmt: skip
        connection.execute("SELECT set_config('candleworks.chunk_interval', '1 day', false)")
        for migration in earlier:
            connection.execute(migration.sql)
            connection.execute("INSERT INTO candleworks_migrations VALUES (%s, %s)", [migration.name, migration.sha256])
        role = f"reader_of_days_{engine}"
        connection.execute(f"CREATE ROLE {role}")
        connection.execute(f"GRANT SELECT ON candles_1d TO {role}")
        try:
            assert migrate(empty_dsn, load_settings({})) == [migration.name for migration in migrations[len(earlier) :]]
            connection.execute(
                "INSERT INTO daily_bars VALUES ('A', '2020-01-01 00:00:00+00', 1, 1, 1, 1, 1, 'f', now())"
            )
            connection.execute(f"SET ROLE {role}")
            assert connection.execute("SELECT close FROM ohlc('A', '1 day', NULL, NULL)").fetchall() == [(1.0,)]
            connection.execute("RESET ROLE")
            connection.execute(f"REVOKE SELECT ON tick_candles_1d, daily_bars FROM {role}")
            connection.execute(f"SET ROLE {role}")
            assert connection.execute("SELECT close FROM ohlc('A', '1 day', NULL, NULL)").fetchall() == [(1.0,)]
        finally:
            connection.execute("RESET ROLE")
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")
