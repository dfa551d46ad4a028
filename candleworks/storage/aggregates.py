"""TimescaleDB's continuous aggregates: refreshed where they changed, and only there.

What decides the shape of this, measured with TimescaleDB 2.29 (docs/decisions/0008-refresh-on-timescaledb.md):
one call per changed range instead of one over all of them (100 scattered late ticks: 1.2 s instead of 19.9 s); never
past the last complete bucket, which would freeze the forming candle; never before the retention horizon, which would
delete the candles of dropped ticks; and never beside an insert, whose note TimescaleDB can lose.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from psycopg import sql

from candleworks.database.connection import Connection
from candleworks.database.locks import Lock, LockTimeoutError, locked
from candleworks.database.queries import query

GRACE = timedelta(
    seconds=10
)  # a bucket stays live for so long after its end; later ticks are notes for the next refresh
NEVER = datetime(1900, 1, 1, tzinfo=UTC)  # older than any tick: the watermark of what was never refreshed
FIRST_STEP = timedelta(days=10)  # history is refreshed oldest first in steps that each commit
MAX_INSERT_WAIT_MS = 50


class Aggregate(NamedTuple):
    """A continuous aggregate; `on_ticks` tells that it reads `ticks` itself and not a lower level."""

    relation: str
    label: str
    width: timedelta
    ticks: str
    on_ticks: bool


def continuous_aggregates(connection: Connection) -> list[Aggregate]:
    """Return our aggregates, lower levels first."""
    return [Aggregate(*row) for row in connection.execute(query("candle_aggregates")).fetchall()]


def refresh_lock(connection: Connection) -> AbstractContextManager[None]:
    """Keep refreshes, and what must not happen during one, apart from each other."""
    return locked(connection, Lock.REFRESH_CANDLES)


def refresh_aggregates(connection: Connection) -> Counter[str]:
    """Bring every aggregate up to date; return how many candles were newly completed, by label."""
    completed: Counter[str] = Counter()
    with refresh_lock(connection):
        for aggregate in continuous_aggregates(connection):
            before = aggregate_watermark(connection, aggregate.relation)
            _refresh(connection, aggregate)
            after = aggregate_watermark(connection, aggregate.relation)
            if before != after:
                completed[aggregate.label] = _count(connection, aggregate, before, after)
    return completed


def rebuild_buckets(connection: Connection, relation: str, buckets: list[datetime], width: timedelta) -> None:
    """Compute buckets anew, whether they are noted as changed or not; the levels above follow by a refresh."""
    with refresh_lock(connection):
        for bucket in buckets:
            _call(connection, relation, bucket, bucket + width, force=True)


def aggregate_watermark(connection: Connection, relation: str) -> datetime:
    """Return the end of what the aggregate has materialised; NEVER before its first refresh."""
    row = connection.execute(query("aggregate_watermark"), {"relation": relation}).fetchone()
    if row is None:
        raise LookupError(f"{relation} is no continuous aggregate of this database")
    watermark: datetime = row[0]
    return watermark


def retention_horizon(connection: Connection, relation: str) -> datetime | None:
    """Return the moment before which `relation` has lost its ticks to retention; None when it has them all."""
    row = connection.execute(query("retention_horizon"), {"relation": relation}).fetchone()
    return row[0] if row else None


def _refresh(connection: Connection, aggregate: Aggregate) -> None:
    parameters = {"relation": aggregate.relation, "width": aggregate.width, "ticks": aggregate.ticks, "grace": GRACE}
    row = connection.execute(query("aggregate_progress"), parameters).fetchone()
    reached, end = row or (None, None)
    # Upper levels are computed from candles, which outlive their ticks.
    horizon = retention_horizon(connection, aggregate.ticks) if aggregate.on_ticks else None
    if reached is None:
        spans = _ticks_spans(connection, aggregate)
        if spans and end is not None:
            begin = spans[0][0]
            _refresh_tail(connection, aggregate, max(begin, horizon or begin), end, None if horizon else begin)
        return
    for start, stop in connection.execute(query("aggregate_pending"), parameters).fetchall():
        _refresh_window(connection, aggregate, max(start, horizon or start), min(stop, end))
    _refresh_tail(connection, aggregate, max(reached, horizon or reached), end, None)


def _ticks_spans(connection: Connection, aggregate: Aggregate) -> list[tuple[datetime, datetime]]:
    """Return where there are chunks of ticks, oldest first."""
    return connection.execute(query("ticks_spans"), {"ticks": aggregate.ticks}).fetchall()


def _refresh_window(connection: Connection, aggregate: Aggregate, start: datetime, stop: datetime) -> None:
    if stop - start >= aggregate.width:
        _call(connection, aggregate.relation, start, stop, force=False)


def _refresh_tail(
    connection: Connection, aggregate: Aggregate, start: datetime, end: datetime, begin: datetime | None
) -> None:
    """Advance to `end` in bounded steps; a level on ticks waits for a moment in which none is being inserted.

    A step takes the years without chunks that lie before it along: ten empty years in steps took a minute.
    """
    spans = _ticks_spans(connection, aggregate) if end - start > FIRST_STEP else [(start, end)]
    while start < end:
        ticks_from = next((max(first, start) for first, last in spans if last > start), end)
        stop = min(ticks_from + FIRST_STEP, end)
        if stop - start < aggregate.width:
            return
        # The first step of all reaches back for ever, so that nothing before it stays noted as changed.
        window = (None if start == begin else start, stop)
        if aggregate.on_ticks:
            with _no_inserts(connection) as quiet:
                if not quiet:
                    return
                _call(connection, aggregate.relation, *window, force=False)
        else:
            _call(connection, aggregate.relation, *window, force=False)
        start = stop


@contextmanager
def _no_inserts(connection: Connection) -> Iterator[bool]:
    """Keep ticks from being inserted; yields False when a long insert is running, whose end is not worth waiting for.

    Until the next try the real-time part of the views shows what the aggregates lack.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(connection, Lock.INSERT_TICKS, wait_ms=MAX_INSERT_WAIT_MS))
        except LockTimeoutError:
            yield False
        else:
            yield True


def _call(connection: Connection, relation: str, start: datetime | None, stop: datetime, *, force: bool) -> None:
    connection.execute(
        query("refresh_aggregate"), {"relation": f"public.{relation}", "start": start, "stop": stop, "force": force}
    )


def _count(connection: Connection, aggregate: Aggregate, start: datetime, stop: datetime) -> int:
    statement = sql.SQL("SELECT count(*) FROM public.{} WHERE bucket >= %s AND bucket < %s")
    row = connection.execute(statement.format(sql.Identifier(aggregate.relation)), [start, stop]).fetchone()
    return row[0] if row else 0
