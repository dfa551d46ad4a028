"""The two engines, one of which every database runs on: detected, never configured."""

from enum import StrEnum
from typing import NamedTuple

import psycopg

from candleworks.database.connection import Connection

COMMUNITY_LICENCE = "timescale"
OLDEST_VERSION = (2, 28)  # refreshes one window at once, and keeps candles when chunks are dropped


class Engine(StrEnum):
    """Where candles are stored: in TimescaleDB's continuous aggregates, or in our own tables."""

    POSTGRES = "postgres"
    TIMESCALE = "timescale"


class DetectedEngine(NamedTuple):
    """An engine, and one sentence that explains the choice."""

    engine: Engine
    reason: str


def engine_of(connection: Connection) -> Engine:
    """Return the engine of a migrated database; LookupError before the first migration."""
    row = connection.execute(
        "SELECT split_part(name, '/', 1) FROM public.candleworks_migrations WHERE name NOT LIKE 'common/%' LIMIT 1"
    ).fetchone()
    if row is None:
        raise LookupError("the database has no engine before its first migration")
    return Engine(row[0])


def detect(connection: Connection) -> DetectedEngine:
    """Return the best engine that this server supports. Leaves nothing behind."""
    available = connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone()
    if not available:
        return DetectedEngine(Engine.POSTGRES, "TimescaleDB is not installed on this server.")
    try:
        preloaded = _preloaded(connection)
    except psycopg.errors.InsufficientPrivilege:
        return DetectedEngine(
            Engine.POSTGRES,
            "TimescaleDB is installed, but this role cannot see whether it is loaded: grant it pg_read_all_settings.",
        )
    if not preloaded:
        return DetectedEngine(
            Engine.POSTGRES,
            "TimescaleDB is installed but not loaded: add it to shared_preload_libraries and restart the server.",
        )
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET TRANSACTION READ WRITE")  # the session may be for reading; this is rolled back
            if not _installed(connection):
                connection.execute("CREATE EXTENSION timescaledb")
            return _suitable_engine(_setting(connection, "timescaledb.license"), _version(connection))
    except psycopg.errors.DuplicateFunction:
        return DetectedEngine(
            Engine.POSTGRES,
            "TimescaleDB is available now, but this database was created without it and stays on plain PostgreSQL.",
        )
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported):
        return DetectedEngine(
            Engine.POSTGRES,
            "TimescaleDB is available, but this role must not create the extension: have a superuser create it.",
        )


def licence_lost(connection: Connection) -> str | None:
    """Return an error message when a database with hypertables runs without TimescaleDB's licence, else None."""
    licence = _setting(connection, "timescaledb.license")
    if licence == COMMUNITY_LICENCE:
        return None
    if licence is None:
        return (
            "The database was created with TimescaleDB, which the server has not loaded: add timescaledb to"
            " shared_preload_libraries and restart the server; for the embedded server set CANDLEWORKS_TIMESCALEDB."
        )
    return (
        "The database was created with TimescaleDB under the licence 'timescale', and the server now runs under"
        f" {licence!r}, which cannot store ticks: set timescaledb.license = 'timescale' and reload the server."
    )


def _suitable_engine(licence: str | None, version: str) -> DetectedEngine:
    if licence != COMMUNITY_LICENCE:
        return DetectedEngine(
            Engine.POSTGRES,
            f"TimescaleDB runs under the licence {licence!r}, which lacks continuous aggregates and compression:"
            " set timescaledb.license = 'timescale' before the first migration to use them.",
        )
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
        return DetectedEngine(
            Engine.POSTGRES, f"TimescaleDB {version} is too old: upgrade the extension to 2.28 or newer."
        )
    return DetectedEngine(Engine.TIMESCALE, f"TimescaleDB {version} with the licence 'timescale' is available.")


def _version(connection: Connection) -> str:
    row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    return str(row[0]) if row else "0.0"


def _preloaded(connection: Connection) -> bool:
    """Whether the server loads TimescaleDB, which it does where the extension exists."""
    if _installed(connection):
        return True
    with connection.transaction():
        return "timescaledb" in (_setting(connection, "shared_preload_libraries") or "")


def _installed(connection: Connection) -> bool:
    return connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone() is not None


def _setting(connection: Connection, name: str) -> str | None:
    row = connection.execute("SELECT current_setting(%s, true)", [name]).fetchone()
    return row[0] if row else None
