"""Which of the two engines a database runs on: detected, never configured."""

from enum import StrEnum
from typing import NamedTuple

import psycopg

from candleworks.database.connection import Connection

COMMUNITY_LICENCE = "timescale"
OLDEST_VERSION = (2, 28)  # refreshes of one window at once, and drops that leave the candles alone


class Engine(StrEnum):
    """How candles are kept: by TimescaleDB's continuous aggregates, or by our own tables."""

    POSTGRES = "postgres"
    TIMESCALE = "timescale"


class Detected(NamedTuple):
    """An engine and, in one sentence, why it is this one."""

    engine: Engine
    reason: str


def engine_of(connection: Connection) -> Engine:
    """Return the engine that the database was migrated to; LookupError when it was not migrated yet."""
    row = connection.execute(
        "SELECT split_part(name, '/', 1) FROM public.candleworks_migrations WHERE name NOT LIKE 'common/%' LIMIT 1"
    ).fetchone()
    if row is None:
        raise LookupError("the database has no engine before its first migration")
    return Engine(row[0])


def detect(connection: Connection) -> Detected:
    """Tell the best engine that this server can be. Leaves nothing behind."""
    available = connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone()
    if not available:
        return Detected(Engine.POSTGRES, "TimescaleDB is not installed on this server.")
    try:
        preloaded = _preloaded(connection)
    except psycopg.errors.InsufficientPrivilege:
        return Detected(
            Engine.POSTGRES,
            "TimescaleDB is installed, but this role may not see whether it is loaded: grant it pg_read_all_settings.",
        )
    if not preloaded:
        return Detected(
            Engine.POSTGRES,
            "TimescaleDB is installed, but shared_preload_libraries does not name it: add it and restart.",
        )
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET TRANSACTION READ WRITE")  # the session may be for reading; this is rolled back
            if not _installed(connection):
                connection.execute("CREATE EXTENSION timescaledb")
            return _judge(_setting(connection, "timescaledb.license"), _version(connection))
    except psycopg.errors.DuplicateFunction:
        return Detected(
            Engine.POSTGRES, "TimescaleDB is there now, but this database was set up without it and stays so."
        )
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported):
        return Detected(
            Engine.POSTGRES, "TimescaleDB is there, but this role may not create the extension: let a superuser do it."
        )


def licence_lost(connection: Connection) -> str | None:
    """Say what is wrong when a database that was set up with TimescaleDB's full licence runs under another one."""
    licence = _setting(connection, "timescaledb.license")
    if licence == COMMUNITY_LICENCE:
        return None
    return (
        "The database was set up with TimescaleDB under the licence 'timescale', and the server runs under"
        f" {licence!r}: set timescaledb.license = 'timescale' and reload it, because ticks cannot be stored like this."
    )


def _judge(licence: str | None, version: str) -> Detected:
    if licence != COMMUNITY_LICENCE:
        return Detected(
            Engine.POSTGRES,
            f"TimescaleDB runs under the licence {licence!r}, which has no continuous aggregates and no compression:"
            " set timescaledb.license = 'timescale' before the first migration to use them.",
        )
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
        return Detected(
            Engine.POSTGRES, f"TimescaleDB {version} is too old: 2.28 or newer is used, upgrade the extension."
        )
    return Detected(Engine.TIMESCALE, f"TimescaleDB {version} with the licence 'timescale' is there.")


def _version(connection: Connection) -> str:
    row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    return str(row[0]) if row else "0.0"


def _preloaded(connection: Connection) -> bool:
    """Whether the server loads TimescaleDB; where the extension is in use, it does."""
    if _installed(connection):
        return True
    with connection.transaction():
        return "timescaledb" in (_setting(connection, "shared_preload_libraries") or "")


def _installed(connection: Connection) -> bool:
    return connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone() is not None


def _setting(connection: Connection, name: str) -> str | None:
    row = connection.execute("SELECT current_setting(%s, true)", [name]).fetchone()
    return row[0] if row else None
