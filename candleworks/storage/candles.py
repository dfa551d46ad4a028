"""Candles as the database keeps them, on either engine."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import sql
from psycopg.types.json import Jsonb

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine, engine_of
from candleworks.database.queries import query
from candleworks.storage.aggregates import rebuild_buckets, refresh_aggregates

MAX_MINUTES = 20_000  # in one step of a refresh


class AuditedLevel(NamedTuple):
    """A level of trade or quote candles, and what differences call it: `1m`, `quote 1m`."""

    label: str
    relation: str
    width: timedelta


@dataclass(frozen=True, slots=True)
class Difference:
    """A candle that is not what its ticks say. `kind` is wrong, missing (ticks, no candle) or surplus (no ticks)."""

    level: str
    symbol: str
    bucket: datetime
    kind: str
    stored: dict[str, Any] | None
    expected: dict[str, Any] | None


def levels(connection: Connection) -> dict[str, timedelta]:
    """Return the stored levels and their widths, narrowest first."""
    return dict(connection.execute(query("candle_levels")).fetchall())


def refresh(connection: Connection) -> Counter[str]:
    """Bring all candles that are out of date up to date, from the bottom level up; return how many changed per level.

    Safe while ticks come in and while others refresh. Needs a connection in autocommit mode: each step is a transaction
    of its own, so an interrupted refresh keeps what it has done. What is noted after its last step began is left to the
    next refresh, because a stream of ticks would keep this one busy for ever. On TimescaleDB, which does not tell
    what it rewrote, the newly completed candles are counted.
    """
    if engine_of(connection) is Engine.TIMESCALE:
        return refresh_aggregates(connection)
    changed: Counter[str] = Counter()
    while True:
        step = connection.execute(query("refresh_candles"), {"max_minutes": MAX_MINUTES}).fetchall()
        changed.update({level: count for level, _, count in step})
        if all(due < MAX_MINUTES for _, due, _ in step):
            return changed


def audit_level(connection: Connection, level: str, start: datetime, stop: datetime) -> list[Difference]:
    """Compare the candles whose buckets start in [start, stop), bounds of the level, with their ticks."""
    rows = connection.execute(query("audit_level"), {"level": level, "start": start, "stop": stop}).fetchall()
    return [Difference(level, *row) for row in rows]


def audited_levels(connection: Connection) -> list[AuditedLevel]:
    """Return all levels of trade and quote candles, narrowest first."""
    return [AuditedLevel(*row) for row in connection.execute(query("audited_levels")).fetchall()]


def rebuild(connection: Connection, differences: Sequence[Difference]) -> None:
    """Compute the candles of `differences`, and all above them, anew from their ticks."""
    timescale = engine_of(connection) is Engine.TIMESCALE
    for level in audited_levels(connection):
        found = [d for d in differences if d.level == level.label]
        if timescale and found:
            rebuild_buckets(connection, level.relation, sorted({d.bucket for d in found}), level.width)
            refresh(connection)
        elif found:
            _note(connection, level, found)
    refresh(connection)


def _note(connection: Connection, level: AuditedLevel, differences: Sequence[Difference]) -> None:
    """Have the next refresh compute the candles above a minute of each difference, on plain PostgreSQL."""
    notes = sql.Identifier("candleworks", level.relation.split("candles_")[0] + "candle_invalidations")
    with connection.cursor() as cursor:
        cursor.executemany(
            sql.SQL("INSERT INTO {} (symbol, bucket) VALUES (%s, %s)").format(notes),
            [(difference.symbol, difference.bucket) for difference in differences],
        )


def save_differences(
    connection: Connection, differences: Sequence[Difference], found_at: datetime, repaired_at: datetime | None
) -> None:
    """Keep the differences for later; `repaired_at` is None where they were left as they are."""
    with connection.cursor() as cursor:
        cursor.executemany(
            query("save_difference"),
            [
                {
                    "found_at": found_at,
                    "level": difference.level,
                    "symbol": difference.symbol,
                    "bucket": difference.bucket,
                    "kind": difference.kind,
                    "stored": Jsonb(difference.stored),
                    "expected": Jsonb(difference.expected),
                    "repaired_at": repaired_at,
                }
                for difference in differences
            ],
        )


def audit_days(connection: Connection, start: datetime, stop: datetime) -> list[datetime]:
    """Return the UTC days of [start, stop) that may have ticks or have candles."""
    days = query(f"audit_days_{engine_of(connection)}")
    return [day for (day,) in connection.execute(days, {"start": start, "stop": stop}).fetchall()]
