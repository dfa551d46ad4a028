"""Which of the two engines a database runs on: detected, never configured."""

from enum import StrEnum
from typing import NamedTuple

import psycopg

from candleworks.storage.connection import Connection


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
    preloaded = _setting(connection, "shared_preload_libraries") or ""
    available = connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone()
    if not available:
        return Detected(Engine.POSTGRES, "TimescaleDB is not installed on this server.")
    if "timescaledb" not in preloaded:
        return Detected(
            Engine.POSTGRES,
            "TimescaleDB is installed, but shared_preload_libraries does not name it: add it and restart.",
        )
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            licence = _setting(connection, "timescaledb.license")
    except psycopg.errors.InsufficientPrivilege:
        return Detected(Engine.POSTGRES, "TimescaleDB is there, but this role may not create the extension.")
    if licence != "timescale":
        return Detected(
            Engine.POSTGRES,
            f"TimescaleDB runs under the licence {licence!r}, which has no continuous aggregates and no compression:"
            " set timescaledb.license = 'timescale' to use them.",
        )
    return Detected(Engine.TIMESCALE, "TimescaleDB with the licence 'timescale' is there.")


def _setting(connection: Connection, name: str) -> str | None:
    row = connection.execute("SELECT current_setting(%s, true)", [name]).fetchone()
    return row[0] if row else None
