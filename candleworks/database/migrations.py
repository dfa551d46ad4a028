"""Applies the numbered SQL files of `sql/`, each exactly once, and reports what is pending.

All pending files run in one transaction behind an advisory lock, so that an interrupted run leaves nothing behind and
twenty concurrent runs do the work of one. docs/decisions/0004-migrations.md explains why this is not yoyo.
"""

import hashlib
import logging
import re
from collections.abc import Callable
from typing import NamedTuple

from psycopg import sql

from candleworks.database.adoption import adopt, adoptable, set_aside
from candleworks.database.connection import Connection, connect, describe, transient_errors
from candleworks.database.engine import Engine, detect, engine_of, licence_lost
from candleworks.database.locks import Lock, lock_transaction
from candleworks.database.profiles import ADMIN
from candleworks.database.queries import query, sql_directory
from candleworks.errors import TerminalError
from candleworks.settings import Settings
from candleworks.wording import counted

SHOWN_NAMES = 5

_CREATED_SCHEMA = re.compile(r"^CREATE SCHEMA (\w+);", re.MULTILINE)

_log = logging.getLogger(__name__)


class Migration(NamedTuple):
    """One file of `sql/common` or of an engine's directory."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


class MigrationPlan(NamedTuple):
    """What migrate() would do: the migrations it would apply, and the number of rows of each table it would adopt."""

    pending: list[str]
    adopted: dict[str, int]


def migrate(dsn: str, settings: Settings, report: Callable[[str], None] = _log.info) -> list[str]:
    """Apply pending migrations and return their names in order; idempotent, also when run concurrently.

    Tables that have the names of ours are adopted; `report` takes one sentence about each step of that. Raises
    TerminalError when they cannot be adopted, when the encoding is not UTF8, when a schema of the same name as one of
    ours exists, or when the database was migrated by another build, by a newer version, or by one that cannot be
    upgraded; TransientError when the database is not available.
    """
    with transient_errors(dsn), connect(dsn, "migrate", profile=ADMIN, autocommit=False) as connection:
        check_encoding(connection)
        lock_transaction(connection, Lock.MIGRATIONS)
        engine = chosen_engine(connection)  # first: without its library TimescaleDB lets nothing be created
        connection.execute(
            "CREATE TABLE IF NOT EXISTS public.candleworks_migrations ("
            " name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        pending = pending_migrations(connection, engine)
        if not pending:
            return []
        old_tables = set_aside(connection, [migration.sql for migration in pending])
        for migration in pending:
            connection.execute(
                "SELECT set_config('candleworks.chunk_interval', %s, true)",
                [f"{settings.storage.chunk_interval_days} days"],
            )
            connection.execute(migration.sql)
            connection.execute(
                "INSERT INTO public.candleworks_migrations (name, sha256) VALUES (%s, %s)",
                [migration.name, migration.sha256],
            )
        for sentence in adopt(connection, settings, old_tables):
            report(sentence)
        return [migration.name for migration in pending]


def has_migrations(connection: Connection) -> bool:
    """Whether any migration was ever applied to the database."""
    row = connection.execute("SELECT to_regclass('public.candleworks_migrations')").fetchone()
    return row is not None and row[0] is not None


def pending_migrations(connection: Connection, engine: Engine) -> list[Migration]:
    """Return the pending migrations in order; only reads. Raises TerminalError as migrate() does."""
    applied: dict[str, str] = {}
    if has_migrations(connection):
        applied = dict(connection.execute("SELECT name, sha256 FROM public.candleworks_migrations").fetchall())
    available = read_migrations(engine)
    _check(connection, applied, available)
    pending = [migration for migration in available if migration.name not in applied]
    _check_schemas(connection, pending)
    return pending


def read_migrations(engine: Engine) -> list[Migration]:
    """Return the files of `sql/common` and of the engine, by their number."""
    paths = [path for part in ("common", engine) for path in (sql_directory() / part).glob("*.sql")]
    return [
        Migration(f"{path.parent.name}/{path.stem}", path.read_text()) for path in sorted(paths, key=lambda p: p.name)
    ]


def check_encoding(connection: Connection) -> None:
    """Raise TerminalError unless the encoding is UTF8: symbols and names may contain any character."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise TerminalError(
            f"The encoding of database {describe(connection.info.dsn)} is {encoding}, and UTF8 is required: create a"
            " database with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0, and set CANDLEWORKS_DSN to it."
        )


def chosen_engine(connection: Connection) -> Engine:
    """Return the engine of a migrated database, which never changes, else the best one available."""
    if not has_migrations(connection):
        return detect(connection).engine
    try:
        engine = engine_of(connection)
    except LookupError:
        return detect(connection).engine
    if engine is Engine.TIMESCALE and (problem := licence_lost(connection)):
        raise TerminalError(problem)
    return engine


def require_schema(connection: Connection) -> None:
    """Raise TerminalError unless the schema is that of this version; only reads."""
    database = describe(connection.info.dsn)
    if not has_migrations(connection):
        raise TerminalError(f"Database {database} has no candleworks schema: run `candleworks migrate`.")
    if pending := [migration.name for migration in pending_migrations(connection, engine_of(connection))]:
        raise TerminalError(
            f"The schema of database {database} is out of date, {count_migrations(pending)}"
            f" {'is' if len(pending) == 1 else 'are'} pending ({listed(pending)}): run `candleworks migrate`."
        )


def is_empty(connection: Connection) -> bool:
    """Whether the database has no relations yet."""
    row = connection.execute(query("database_is_empty")).fetchone()
    return row is not None and bool(row[0])


def plan_migration(dsn: str) -> MigrationPlan:
    """Return what migrate() would do, without changing anything; raises TerminalError as it does."""
    with connect(dsn, "migrate --dry-run", profile=ADMIN) as connection:
        check_encoding(connection)
        engine = chosen_engine(connection)
        with connection.transaction():
            connection.execute("SET TRANSACTION READ ONLY")
            pending = pending_migrations(connection, engine)
            tables = adoptable(connection, [migration.sql for migration in pending])
            adopted = {table: _count_rows(connection, table) for table in sorted(tables, reverse=True)}
    return MigrationPlan([migration.name for migration in pending], adopted)


def count_migrations(names: list[str]) -> str:
    return counted(len(names), "migration")


def listed(names: list[str]) -> str:
    """Return all names where they are few, else the first and the last one."""
    return ", ".join(names) if len(names) <= SHOWN_NAMES else f"{names[0]} to {names[-1]}"


def _count_rows(connection: Connection, table: str) -> int:
    statement = sql.SQL(query("count_rows")).format(table=sql.Identifier(table))
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


def _check_schemas(connection: Connection, pending: list[Migration]) -> None:
    """Raise TerminalError when a schema exists that a pending migration creates."""
    created = [name for migration in pending for name in _CREATED_SCHEMA.findall(migration.sql)]
    existing = connection.execute(query("existing_schemas"), {"names": created}).fetchall()
    for (name,) in existing:
        raise TerminalError(
            f"Database {describe(connection.info.dsn)} has a schema {name} that no migration of candleworks created:"
            f" rename it with ALTER SCHEMA {name} RENAME TO {name}_other, or use another database."
        )


def _check(connection: Connection, applied: dict[str, str], available: list[Migration]) -> None:
    known = {migration.name: migration.sha256 for migration in available}
    unknown = sorted(applied.keys() - known)
    database = describe(connection.info.dsn)
    if unknown and known.keys() <= applied.keys():
        raise TerminalError(
            f"Database {database} was migrated by a newer version of candleworks, which added {unknown[0]}:"
            " upgrade candleworks."
        )
    if unknown:
        raise TerminalError(
            f"Database {database} was migrated by an earlier version of candleworks, which cannot be upgraded: export"
            " its ticks with that version's `candleworks export`, and import them into a new database."
        )
    for name, sha256 in applied.items():
        if known[name] != sha256:
            raise TerminalError(
                f"Database {database} was migrated by another build of candleworks, whose migration {name} differs from"
                " that of this version: run that build, or carry the ticks over into a new database"
                f" (docs/how-to/upgrade.md); if sql/{name}.sql was edited here, restore it."
            )
