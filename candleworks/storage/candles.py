"""Candles as the database keeps them, on either engine: their levels, how far they are, and what recomputes them."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from psycopg import sql
from psycopg.types.json import Jsonb

from candleworks.database.connection import Connection
from candleworks.database.engine import engine_of
from candleworks.database.locks import Lock, LockTimeoutError, locked
from candleworks.database.queries import query

GRACE = timedelta(seconds=10)  # how long a complete bucket stays live; later ticks are left to the next refresh
NEVER = datetime(1900, 1, 1, tzinfo=UTC)  # older than any tick: the watermark of what was never refreshed
MAX_INSERT_WAIT_MS = 50


class AuditedLevel(NamedTuple):
    """A level of candles: its name in differences (`1m`, `quote 1m`), and its kind's prefix (`quote_`, or empty).

    `ticks` is the relation that the candles follow from.
    """

    label: str
    relation: str
    width: timedelta
    prefix: str
    ticks: str


@dataclass(frozen=True, slots=True)
class CandleDifference:
    """A candle that differs from its ticks. `kind` is wrong, missing (ticks, no candle) or surplus (no ticks)."""

    level: str
    symbol: str
    bucket: datetime
    kind: str
    stored: dict[str, Any] | None
    expected: dict[str, Any] | None


class RefreshedLevel(NamedTuple):
    """One step of a refresh: how many minutes were due, and how many candles of the level changed."""

    level: str
    due: int
    changed: int


class Aggregate(NamedTuple):
    """A continuous aggregate; `on_ticks` is true when it reads the relation `ticks` and not a lower level."""

    relation: str
    label: str
    width: timedelta
    ticks: str
    on_ticks: bool


def levels(connection: Connection) -> dict[str, timedelta]:
    """Return the stored levels and their widths, narrowest first."""
    return dict(connection.execute(query("candle_levels")).fetchall())


def refresh_step(connection: Connection, max_minutes: int) -> list[RefreshedLevel]:
    """Recompute stored candles of at most `max_minutes` changed minutes, on plain PostgreSQL."""
    rows = connection.execute(query("refresh_candles"), {"max_minutes": max_minutes}).fetchall()
    return [RefreshedLevel(*row) for row in rows]


def audit_level(connection: Connection, level: str, start: datetime, stop: datetime) -> list[CandleDifference]:
    """Compare the candles whose buckets start in [start, stop), bounds of the level, with their ticks."""
    rows = connection.execute(query("audit_level"), {"level": level, "start": start, "stop": stop}).fetchall()
    return [CandleDifference(level, *row) for row in rows]


def audited_levels(connection: Connection) -> list[AuditedLevel]:
    """Return all levels of trade and quote candles, narrowest first."""
    return [AuditedLevel(*row) for row in connection.execute(query("audited_levels")).fetchall()]


def audit_days(connection: Connection, start: datetime, stop: datetime) -> list[datetime]:
    """Return the UTC days of [start, stop) that may have ticks or have candles."""
    days = query(f"audit_days_{engine_of(connection)}")
    return [day for (day,) in connection.execute(days, {"start": start, "stop": stop}).fetchall()]


def invalidate(connection: Connection, level: AuditedLevel, differences: Sequence[CandleDifference]) -> None:
    """Mark the minutes of differences as changed, so that the next refresh recomputes them, on plain PostgreSQL."""
    invalidations = sql.Identifier("candleworks", f"{level.prefix}candle_invalidations")
    with connection.cursor() as cursor:
        cursor.executemany(
            sql.SQL("INSERT INTO {} (symbol, bucket) VALUES (%s, %s)").format(invalidations),
            [(difference.symbol, difference.bucket) for difference in differences],
        )


def save_differences(
    connection: Connection, differences: Sequence[CandleDifference], found_at: datetime, repaired_at: datetime | None
) -> None:
    """Record differences in `candle_differences`; `repaired_at` is None where they were not repaired."""
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


def continuous_aggregates(connection: Connection) -> list[Aggregate]:
    """Return the continuous aggregates of candles, lower levels first."""
    return [Aggregate(*row) for row in connection.execute(query("candle_aggregates")).fetchall()]


def refresh_lock(connection: Connection) -> AbstractContextManager[None]:
    """Hold the advisory lock of refreshes, which also excludes retention."""
    return locked(connection, Lock.REFRESH_CANDLES)


@contextmanager
def inserts_excluded(connection: Connection) -> Iterator[bool]:
    """Keep ticks from being inserted; yields False when a running insert did not finish within MAX_INSERT_WAIT_MS."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(connection, Lock.INSERT_TICKS, wait_ms=MAX_INSERT_WAIT_MS))
        except LockTimeoutError:
            yield False
        else:
            yield True


def aggregate_watermark(connection: Connection, relation: str) -> datetime:
    """Return the end of what the aggregate has materialised; NEVER before its first refresh."""
    row = connection.execute(query("aggregate_watermark"), {"relation": relation}).fetchone()
    if row is None:
        raise LookupError(f"{relation} is not a continuous aggregate of this database")
    watermark: datetime = row[0]
    return watermark


def aggregate_progress(connection: Connection, aggregate: Aggregate) -> tuple[datetime | None, datetime | None]:
    """Return how far the aggregate is (None: never refreshed), and the end of its last complete bucket."""
    return connection.execute(query("aggregate_progress"), _parameters(aggregate)).fetchone() or (None, None)


def pending_ranges(connection: Connection, aggregate: Aggregate) -> list[tuple[datetime, datetime]]:
    """Return the ranges that changed since the aggregate materialised them."""
    return connection.execute(query("aggregate_pending"), _parameters(aggregate)).fetchall()


def chunk_ranges(connection: Connection, aggregate: Aggregate) -> list[tuple[datetime, datetime]]:
    """Return the ranges of the chunks of ticks, oldest first."""
    return connection.execute(query("ticks_spans"), {"ticks": aggregate.ticks}).fetchall()


def refresh_range(
    connection: Connection, relation: str, start: datetime | None, stop: datetime, *, force: bool = False
) -> None:
    """Materialise the changed buckets of [start, stop), or with `force` all of them; None: from the beginning."""
    connection.execute(
        query("refresh_aggregate"), {"relation": f"public.{relation}", "start": start, "stop": stop, "force": force}
    )


def log_refreshed(connection: Connection, ticks: str, ranges: Sequence[tuple[datetime, datetime]]) -> None:
    """Log candles of ticks that were computed anew, so that streams send them."""
    if ranges:
        starts, stops = (list(column) for column in zip(*ranges, strict=True))
        connection.execute(query("log_refreshed"), {"ticks": ticks, "starts": starts, "stops": stops})


def count_candles(connection: Connection, aggregate: Aggregate, start: datetime, stop: datetime) -> int:
    """Count the candles whose buckets start in [start, stop)."""
    statement = sql.SQL("SELECT count(*) FROM public.{} WHERE bucket >= %s AND bucket < %s")
    row = connection.execute(statement.format(sql.Identifier(aggregate.relation)), [start, stop]).fetchone()
    return row[0] if row else 0


def retention_horizon(connection: Connection, relation: str) -> datetime | None:
    """Return the time before which retention has dropped the ticks of `relation`; None when it has dropped none."""
    row = connection.execute(query("retention_horizon"), {"relation": relation}).fetchone()
    return row[0] if row else None


def _parameters(aggregate: Aggregate) -> dict[str, object]:
    return {"relation": aggregate.relation, "width": aggregate.width, "ticks": aggregate.ticks, "grace": GRACE}
