"""Which commands may change a database's schema, and what the others say instead."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from candleworks.database.connection import Connection, connect, describe
from candleworks.database.engine import Engine
from candleworks.database.migrations import migrate, read_migrations, require_schema
from candleworks.runtime.database import create_if_empty
from candleworks.settings import load_settings
from tests.cli.conftest import Invoke

on_one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)

READERS = (
    "status",
    "alerts list",
    "alerts show 1",
    "alerts recipients",
    "export candles_1m",
    "rejected list",
)
WRITERS = (
    "check", "candles audit", "candles refresh", "maintain", "fill-gaps --dry-run", "sync-companies", "reader",
    "alerts ack 1", "import nothing.csv", "serve --duration 1 --port 8119",
)  # fmt: skip
MANUAL = "storage: {migrate: manual}\n"
RELATIONS = """
    SELECT n.nspname, c.relname, c.relkind::text, c.relfilenode
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema') ORDER BY 1, 2
"""


@pytest.fixture
def old_tables(empty_dsn: str, engine: Engine) -> Iterator[Connection]:
    """A database that somebody set up by the tutorial, with a row."""
    with connect(empty_dsn, "tutorial") as connection:
        if engine is Engine.TIMESCALE:
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        connection.execute(
            "CREATE TABLE stocks_real_time"
            " (time timestamptz NOT NULL, symbol text NOT NULL, price float8, day_volume int)"
        )
        connection.execute("INSERT INTO stocks_real_time VALUES ('2026-11-02 15:00Z', 'AAPL', 1.5, 10)")
        yield connection


@pytest.fixture
def older(dsn: str, connection: Connection) -> str:
    """A database that lacks the newest migration."""
    connection.execute("DELETE FROM candleworks_migrations WHERE name = 'common/0026_dashboards_operations'")
    return dsn


@pytest.fixture
def auditor(connection: Connection, dsn: str) -> Iterator[str]:
    """The connection string of a role that may read everything, and writes nothing by default."""
    name = f"auditor_{connection.info.dbname}"
    connection.execute(
        f"CREATE ROLE {name} LOGIN; GRANT pg_read_all_data TO {name};"
        f" ALTER ROLE {name} SET default_transaction_read_only = on"
    )
    yield make_conninfo(dsn, user=name)
    connection.execute(f"DROP ROLE {name}")


def test_no_command_but_three_changes_a_database_of_the_tutorial(
    invoke: Invoke, old_tables: Connection, empty_dsn: str
) -> None:
    """Each says what to run; the tables keep their names, rows and files, and nothing else comes about."""
    before = old_tables.execute(RELATIONS).fetchall()
    refusal = f"Database {describe(empty_dsn)} has no candleworks schema: run `candleworks migrate`.\n"
    for command in (*READERS, *WRITERS):
        assert invoke(*command.split(), CANDLEWORKS_DSN=empty_dsn) == (1, "", refusal), command
    assert old_tables.execute(RELATIONS).fetchall() == before


@on_one_engine
def test_an_older_database_is_left_to_migrate(invoke: Invoke, older: str, connection: Connection) -> None:
    """A newer client never migrates production unasked."""
    refusal = (
        f"The schema of database {describe(older)} is out of date, 1 migration is pending"
        " (common/0026_dashboards_operations): run `candleworks migrate`.\n"
    )
    for command in (*READERS, *WRITERS):
        assert invoke(*command.split(), CANDLEWORKS_DSN=older) == (1, "", refusal), command
    assert connection.execute("SELECT count(*) FROM candleworks_migrations").fetchone() == (
        len(read_migrations(Engine.POSTGRES)) - 1,
    )


@on_one_engine
def test_a_newer_database_is_refused_by_readers(invoke: Invoke, dsn: str, connection: Connection) -> None:
    """They would misread it."""
    connection.execute("INSERT INTO candleworks_migrations (name, sha256) VALUES ('common/9999_future', 'x')")
    ended = invoke("status", CANDLEWORKS_DSN=dsn)
    assert ended.status == 1
    assert ended.errors == (
        f"Database {describe(dsn)} was migrated by a newer version of candleworks, which added"
        " common/9999_future: upgrade candleworks.\n"
    )


def test_the_right_to_read_suffices_for_commands_that_read(invoke: Invoke, auditor: str, tmp_path: Path) -> None:
    """Also where the server lets the role write nothing."""
    for command in ("status", "status --json", "doctor --json", "alerts list", "alerts recipients", "rejected list"):
        ended = invoke(*command.split(), CANDLEWORKS_DSN=auditor)
        assert (ended.status, ended.errors) == (0, ""), command
    output = tmp_path / "candles.csv"
    assert invoke("export", "candles_1m", "-o", str(output), CANDLEWORKS_DSN=auditor).status == 0
    assert output.read_text().startswith('"bucket","symbol",')


def test_reading_a_fresh_home_makes_no_database(invoke: Invoke, tmp_path: Path) -> None:
    """It says how to get one."""
    refusal = (
        f"There is no database in {tmp_path / 'home'} yet: run `candleworks up` or `candleworks import FILE`, or set"
        " CANDLEWORKS_DSN.\n"
    )
    for command in (*READERS, "check", "candles refresh", "serve", "maintain"):
        assert invoke(*command.split()) == (1, "", refusal), command
    dry = invoke("migrate", "--dry-run")
    assert dry == (0, f"There is no database in {tmp_path / 'home'} yet: `candleworks migrate` would create one.\n", "")
    assert not (tmp_path / "home").exists()


@on_one_engine
@pytest.mark.parametrize("command", ["ingest --duration 1", "up --no-prefect --duration 1"])
def test_migrating_can_be_left_to_migrate_alone(
    invoke: Invoke, older: str, tmp_path: Path, command: str, unused_ports: dict[str, int]
) -> None:
    """With storage.migrate: manual the other two refuse as well, and name it."""
    (tmp_path / "candleworks.yaml").write_text(MANUAL)
    ended = invoke(*command.split(), CANDLEWORKS_DSN=older, CANDLEWORKS_FEED_URL="ws://127.0.0.1:9", **unused_ports)
    assert ended.status == 1
    assert "1 migration is pending (common/0026_dashboards_operations): run `candleworks migrate`.\n" in ended.errors


@pytest.fixture
def unused_ports() -> dict[str, int]:
    return {"CANDLEWORKS_WEB_PORT": 8118, "CANDLEWORKS_PREFECT_PORT": 8117}


def test_a_dry_run_tells_and_changes_nothing(invoke: Invoke, old_tables: Connection, empty_dsn: str) -> None:
    """Not even the table of migrations comes about."""
    before = old_tables.execute(RELATIONS).fetchall()
    ended = invoke("migrate", "--dry-run", CANDLEWORKS_DSN=empty_dsn)
    assert (ended.status, ended.errors) == (0, "")
    lines = ended.output.splitlines()
    assert lines[0] == "would apply common/0001_schema"
    assert lines[-2:] == [
        "would adopt 1 row of stocks_real_time and rename it to stocks_real_time_before_candleworks",
        f"Nothing was changed in {describe(empty_dsn)}.",
    ]
    assert old_tables.execute(RELATIONS).fetchall() == before
    pending = [line.removeprefix("would apply ") for line in lines[:-2]]
    assert migrate(empty_dsn, load_settings({})) == pending


def test_a_dry_run_names_what_is_in_the_way(invoke: Invoke, old_tables: Connection, empty_dsn: str) -> None:
    """As the real one would."""
    old_tables.execute("CREATE VIEW candles_1m AS SELECT 1")
    ended = invoke("migrate", "--dry-run", CANDLEWORKS_DSN=empty_dsn)
    assert (ended.status, ended.output) == (1, "")
    assert "candleworks needs the name candles_1m" in ended.errors


@on_one_engine
def test_an_empty_embedded_database_is_set_up_by_what_writes(empty_dsn: str) -> None:
    """It is nobody else's; an empty database on a server of one's own is not."""
    told: list[str] = []
    create_if_empty(empty_dsn, load_settings({"CANDLEWORKS_DSN": empty_dsn}), "embedded", told.append)
    assert told == []
    create_if_empty(empty_dsn, load_settings({}), "embedded", told.append)
    assert told[0].startswith(f"Applied {len(read_migrations(Engine.POSTGRES))} migrations to {describe(empty_dsn)}:")
    with connect(empty_dsn) as connection:
        require_schema(connection)


def test_a_database_without_unicode_is_refused(invoke: Invoke, server_dsn: str) -> None:
    """In one sentence that says what to do; symbols and names may have any letter."""
    with connect(server_dsn) as admin:
        admin.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
        try:
            dsn = make_conninfo(server_dsn, dbname="ascii")
            refusal = (
                f"The encoding of database {describe(dsn)} is SQL_ASCII, and UTF8 is required: create a database with"
                " CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0, and set CANDLEWORKS_DSN to it.\n"
            )
            for arguments in (["migrate"], ["migrate", "--dry-run"]):
                assert invoke(*arguments, CANDLEWORKS_DSN=dsn) == (1, "", refusal)
        finally:
            admin.execute("DROP DATABASE ascii WITH (FORCE)")


def test_every_connection_speaks_unicode(server_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the server or the environment would choose."""
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with connect(server_dsn) as connection:
        assert connection.execute("SELECT '株' || current_setting('client_encoding')").fetchone() == ("株UTF8",)


def test_migrating_makes_no_role(empty_dsn: str) -> None:
    """Roles belong to the whole server: candleworks_reader is made when it is asked for."""
    with connect(empty_dsn) as admin:
        roles = admin.execute("SELECT rolname FROM pg_roles ORDER BY 1").fetchall()
        migrate(empty_dsn, load_settings({}))
        assert admin.execute("SELECT rolname FROM pg_roles ORDER BY 1").fetchall() == roles
