"""Candles as the database keeps them, on either engine: their levels, how far they are, and what recomputes them."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from psycopg import sql
from psycopg.types.json import Jsonb

from candleworks.database.connection import Connection
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


def count_pending_notes(connection: Connection) -> int:
    """Count the minutes whose candles are due for a refresh, on plain PostgreSQL; some may be counted twice."""
    row = connection.execute(query("count_pending_notes")).fetchone()
    return row[0] if row else 0


def audit_level(connection: Connection, level: str, start: datetime, stop: datetime) -> list[CandleDifference]:
    """Compare the candles whose buckets start in [start, stop), bounds of the level, with their ticks."""
    rows = connection.execute(query("audit_level"), {"level": level, "start": start, "stop": stop}).fetchall()
    return [CandleDifference(level, *row) for row in rows]


def audited_levels(connection: Connection) -> list[AuditedLevel]:
    """Return all levels of trade and quote candles, narrowest first."""
    return [AuditedLevel(*row) for row in connection.execute(query("audited_levels")).fetchall()]


def audit_days(connection: Connection, start: datetime, stop: datetime) -> list[datetime]:
    """Return the UTC days of [start, stop) that have ticks or candles; not those whose ticks were dropped."""
    days = connection.execute(query("audit_days"), {"start": start, "stop": stop}).fetchall()
    return [day for day, has_candles in days if has_candles or _has_ticks(connection, day)]


def _has_ticks(connection: Connection, day: datetime) -> bool:
    bounds = {"start": day, "stop": day + timedelta(days=1)}
    tables = {level.ticks for level in audited_levels(connection)}
    statements = [sql.SQL(query("has_ticks")).format(ticks=sql.Identifier("public", table)) for table in sorted(tables)]
    return any(connection.execute(statement, bounds).fetchone() == (True,) for statement in statements)


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


def due_ranges(connection: Connection, aggregate: Aggregate, end: datetime) -> list[tuple[datetime, datetime]]:
    """Return the ranges before `end` that changed since the aggregate materialised them, without dropped ticks."""
    found = connection.execute(query("aggregate_pending"), _parameters(aggregate)).fetchall()
    ranges = [(start, min(stop, end)) for start, stop in found]
    return [(start, stop) for start, stop in ranges if stop - start >= aggregate.width]


def count_due_ranges(connection: Connection) -> int:
    """Return the number of ranges that the next refresh will compute anew, of all continuous aggregates of candles."""
    count = 0
    for aggregate in continuous_aggregates(connection):
        reached, end = aggregate_progress(connection, aggregate)
        if reached is not None and end is not None:
            count += len(due_ranges(connection, aggregate, end))
    return count


def kept_ranges(
    connection: Connection, aggregate: Aggregate, start: datetime | None, stop: datetime
) -> list[tuple[datetime | None, datetime]]:
    """Return what of [start, stop) an aggregate can be computed from: not where ticks were dropped, if it is on ticks.

    A null start is the beginning of time.
    """
    if not aggregate.on_ticks:
        return [(start, stop)]
    bounds = {"ticks": aggregate.ticks, "start": start, "stop": stop}
    return connection.execute(query("kept_ranges"), bounds).fetchall()


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


def count_candles(connection: Connection, aggregate: Aggregate, ranges: Sequence[tuple[datetime, datetime]]) -> int:
    """Count the candles whose buckets start in the ranges, which do not overlap."""
    starts, stops = (list(column) for column in zip(*ranges, strict=True))
    statement = sql.SQL(query("count_candles")).format(candles=sql.Identifier("public", aggregate.relation))
    row = connection.execute(statement, {"starts": starts, "stops": stops}).fetchone()
    return row[0] if row else 0


def record_tick_parts(connection: Connection) -> None:
    """Record the chunks or partitions of ticks there are, and which of those that were there have been dropped."""
    connection.execute(query("record_tick_parts"))


def dropped_until(connection: Connection, relation: str, first: datetime, last: datetime | None) -> datetime | None:
    """Return the end of the newest ticks of `relation` in [first, last] that were dropped; None where none were."""
    bounds = {"relation": relation, "first": first, "last": last}
    row = connection.execute(query("dropped_until"), bounds).fetchone()
    return row[0] if row else None


def _parameters(aggregate: Aggregate) -> dict[str, object]:
    return aggregate._asdict() | {"grace": GRACE}
