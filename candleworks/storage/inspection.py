"""The state of the database: engine, sizes, compression, and how far candles are stored."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import sql

from candleworks import clock
from candleworks.database.connection import Connection
from candleworks.database.engine import DetectedEngine, Engine, detect, engine_of
from candleworks.database.queries import query
from candleworks.storage.candles import (
    GRACE,
    NEVER,
    aggregate_watermark,
    continuous_aggregates,
    count_due_ranges,
    levels,
)

TABLES = (
    "stocks_real_time",
    "quotes",
    "daily_bars",
    "company",
    "rejected_ticks",
    "ingest_stats",
    "import_files",
    "feed_gaps",
    "quality_results",
    "alerts",
)


@dataclass(frozen=True, slots=True)
class RelationSize:
    """Bytes with indexes; the last two are of the compressed part, null where nothing is compressed."""

    name: str
    bytes: int
    bytes_before_compression: int | None
    bytes_after_compression: int | None

    @property
    def ratio(self) -> float | None:
        """The compression ratio of the compressed part."""
        if not self.bytes_before_compression or not self.bytes_after_compression:
            return None
        return self.bytes_before_compression / self.bytes_after_compression


@dataclass(frozen=True, slots=True)
class LevelState:
    """Up to where a level's candles are stored (null: none), and how long a complete candle has been waiting for that.

    The lag is that of the oldest, from its end or the arrival of its first tick, whichever was later; 0: none waits.
    Incomplete candles are computed when they are read, and never lag.
    """

    level: str
    watermark: datetime | None
    lag_seconds: float


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of inspect(). `pending` is the number of changed minutes (TimescaleDB: ranges) to be refreshed."""

    server_version: str
    engine: Engine
    engine_reason: str
    timescaledb_version: str | None
    timescaledb_licence: str | None
    relations: list[RelationSize]
    levels: list[LevelState]
    pending: int


def inspect(connection: Connection) -> Inspection:
    """Inspect a migrated database."""
    engine, reason = engine_and_reason(connection)
    return Inspection(
        server_version=_value(connection, "SHOW server_version"),
        engine=engine,
        engine_reason=reason,
        timescaledb_version=_value(connection, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"),
        timescaledb_licence=_value(connection, "SELECT current_setting('timescaledb.license', true)"),
        relations=sorted(relation_sizes(connection).values(), key=lambda relation: _natural(relation.name)),
        levels=candle_levels(connection),
        pending=(
            count_due_ranges(connection)
            if engine is Engine.TIMESCALE
            else _value(connection, query("count_pending_minutes"))
        ),
    )


def engine_and_reason(connection: Connection) -> DetectedEngine:
    """Return the engine of a migrated database, and why it is this one."""
    engine, detected = engine_of(connection), detect(connection)
    if detected.engine is engine:
        return detected
    return DetectedEngine(
        engine, f"{detected.reason} This database was created with the engine {engine!s}, which does not change."
    )


def relation_sizes(connection: Connection) -> dict[str, RelationSize]:
    """Return the sizes of the public relations that exist, by name."""
    rows = connection.execute(query(f"relation_sizes_{engine_of(connection)}"), {"tables": list(TABLES)}).fetchall()
    return {row[0]: RelationSize(*row) for row in rows}


def _natural(name: str) -> tuple[str, float]:
    """Return a key that sorts candle levels by width."""
    match = re.fullmatch(r"(?:tick_)?(.*candles_)(\d+)([mhd])", name)
    if not match:
        return name, 0
    return match[1], int(match[2]) * {"m": 1, "h": 60, "d": 1440}[match[3]]


def candle_levels(connection: Connection, until: datetime | None = None) -> list[LevelState]:
    """Return the state of each level, lower levels first; `until` replaces the current time."""
    timescale = engine_of(connection) is Engine.TIMESCALE
    now = until or clock.now()
    aggregates = {a.label: a.relation for a in continuous_aggregates(connection)} if timescale else {}
    states = []
    for level, width in levels(connection).items():
        if timescale:
            watermark = _materialised_until(connection, aggregates[level])
        else:
            watermark = _stored_until(connection, level, width, now)
        due = _due_since(connection, watermark or NEVER, width, now)
        states.append(LevelState(level, watermark, max(0.0, (now - due).total_seconds()) if due else 0.0))
    return states


def _due_since(connection: Connection, watermark: datetime, width: timedelta, now: datetime) -> datetime | None:
    """Return since when the oldest complete candle waits to be stored; None where none does."""
    parameters = {"watermark": watermark, "width": width, "until": now - GRACE}
    row = connection.execute(query("due_since"), parameters).fetchone()
    return row[0] if row else None


def _materialised_until(connection: Connection, relation: str) -> datetime | None:
    watermark = aggregate_watermark(connection, relation)
    return None if watermark == NEVER else watermark


def _stored_until(connection: Connection, level: str, width: timedelta, now: datetime) -> datetime | None:
    """Read the symbols of the newest stored day one by one: there is no index by bucket alone."""
    stored = sql.Identifier("candleworks", f"stored_{level}")
    statement = sql.SQL(query("newest_stored_bucket")).format(stored=stored)
    row = connection.execute(statement, {"until": now}).fetchone()
    return row[0] + width if row and row[0] else None


def _value(connection: Connection, statement: Any) -> Any:
    row = connection.execute(statement).fetchone()
    return row[0] if row else None
