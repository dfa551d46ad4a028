"""Candles as the database keeps them, on either engine."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from candleworks.storage.connection import Connection
from candleworks.storage.engine import Engine, engine_of
from candleworks.storage.queries import query

_REFRESH_LOCK = "candleworks.refresh_candles"


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
    of its own, so an interrupted refresh keeps what it has done. On TimescaleDB, which does not tell what it rewrote,
    the newly completed candles are counted.
    """
    changed: Counter[str] = Counter()
    if engine_of(connection) is Engine.TIMESCALE:
        with refresh_lock(connection):
            for relation in continuous_aggregates(connection):
                changed[relation.removeprefix("candles_")] = _refresh_aggregate(connection, relation)
        return changed
    while step := connection.execute(query("refresh_candles")).fetchall():
        changed.update(dict(step))
    return changed


@contextmanager
def refresh_lock(connection: Connection) -> Iterator[None]:
    """Keep TimescaleDB's refreshes, and what must not happen during one, apart from each other."""
    connection.execute("SELECT pg_advisory_lock(hashtext(%s))", [_REFRESH_LOCK])
    try:
        yield
    finally:
        connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", [_REFRESH_LOCK])


def retention_horizon(connection: Connection, relation: str) -> datetime | None:
    """Return the moment before which `relation` has lost its ticks to retention; None when it has them all."""
    row = connection.execute(query("retention_horizon"), {"relation": relation}).fetchone()
    return row[0] if row else None


def continuous_aggregates(connection: Connection) -> Sequence[str]:
    """Name the continuous aggregates, lower levels first."""
    return [name for (name,) in connection.execute(query("continuous_aggregates")).fetchall()]


def _refresh_aggregate(connection: Connection, relation: str) -> int:
    """Refresh what changed since the oldest kept tick, up to the last complete bucket.

    TimescaleDB takes dropped chunks for changed ones: without a start it would delete the candles that outlive their
    ticks. The forming candle is left to the real-time part of the view.
    """
    ticks = "quotes" if relation.startswith("quote_") else "stocks_real_time"
    before = aggregate_watermark(connection, relation)
    connection.execute(
        "CALL public.refresh_continuous_aggregate(%s::regclass, %s::timestamptz, now())",
        [f"public.{relation}", retention_horizon(connection, ticks)],
    )
    count = sql.SQL("SELECT count(*) FROM public.{} WHERE bucket >= %s AND bucket < %s").format(
        sql.Identifier(relation)
    )
    row = connection.execute(count, [before, aggregate_watermark(connection, relation)]).fetchone()
    return row[0] if row else 0


def aggregate_watermark(connection: Connection, relation: str) -> datetime | None:
    """Return the end of what a continuous aggregate has materialised."""
    row = connection.execute(query("aggregate_watermark"), {"relation": relation}).fetchone()
    return row[0] if row else None


def audit_level(connection: Connection, level: str, start: datetime, stop: datetime) -> list[Difference]:
    """Compare the candles whose buckets start in [start, stop), bounds of the level, with their ticks."""
    rows = connection.execute(query("audit_level"), {"level": level, "start": start, "stop": stop}).fetchall()
    return [Difference(level, *row) for row in rows]


def rebuild(connection: Connection, differences: Sequence[Difference]) -> None:
    """Compute the candles of `differences`, and all above them, anew from their ticks."""
    if engine_of(connection) is Engine.TIMESCALE:
        with refresh_lock(connection):
            _force_refresh(connection, differences)
        return
    for difference in differences:
        connection.execute(query("note_minute"), {"symbol": difference.symbol, "bucket": difference.bucket})
    refresh(connection)


def _force_refresh(connection: Connection, differences: Sequence[Difference]) -> None:
    widths = levels(connection)
    for level, width in widths.items():
        # A candle below this level is rebuilt before, and changes the one that holds it.
        buckets = sorted({d.bucket for d in differences if widths[d.level] <= width})
        for bucket in buckets:
            connection.execute(
                query("force_refresh"), {"relation": f"public.candles_{level}", "bucket": bucket, "width": width}
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
