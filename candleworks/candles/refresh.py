"""Brings stored candles up to date with their ticks, on either engine.

The rules for TimescaleDB's continuous aggregates were measured with version 2.29
(docs/decisions/0008-refresh-on-timescaledb.md). One call per changed range instead of one over all of them: 100
scattered late ticks take 1.2 s instead of 19.9 s. Never past the last complete bucket: that would freeze the forming
candle. Never before the retention horizon: that would delete the candles of dropped ticks. Never beside an insert:
TimescaleDB can lose its invalidation.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine, engine_of
from candleworks.storage.candles import (
    Aggregate,
    CandleDifference,
    aggregate_progress,
    aggregate_watermark,
    audited_levels,
    chunk_ranges,
    continuous_aggregates,
    count_candles,
    inserts_excluded,
    invalidate,
    log_refreshed,
    pending_ranges,
    refresh_lock,
    refresh_range,
    refresh_step,
    retention_horizon,
)

MAX_MINUTES = 20_000  # in one step of a refresh
FIRST_STEP = timedelta(days=10)  # history is refreshed oldest first, in steps that each commit


def refresh(connection: Connection) -> Counter[str]:
    """Refresh all candles that are out of date, from the bottom level up; return how many changed per level.

    Safe while ticks come in and while others refresh. Needs a connection in autocommit mode: each step is a transaction
    of its own, so an interrupted refresh keeps what it has done. Ticks that come after its last step began are left to
    the next refresh, because a stream of ticks would keep this one busy forever. TimescaleDB does not report what it
    rewrote: there the newly completed candles are counted.
    """
    if engine_of(connection) is Engine.TIMESCALE:
        return _refresh_aggregates(connection)
    changed: Counter[str] = Counter()
    while True:
        step = refresh_step(connection, MAX_MINUTES)
        changed.update({refreshed.level: refreshed.changed for refreshed in step})
        if all(refreshed.due < MAX_MINUTES for refreshed in step):
            return changed


def rebuild(connection: Connection, differences: Sequence[CandleDifference]) -> None:
    """Recompute the candles of `differences`, and all levels above them, from their ticks."""
    timescale = engine_of(connection) is Engine.TIMESCALE
    for level in audited_levels(connection):
        found = [difference for difference in differences if difference.level == level.label]
        if timescale and found:
            _rebuild_buckets(connection, level.relation, sorted({each.bucket for each in found}), level.width)
            refresh(connection)
        elif found:
            invalidate(connection, level, found)
    refresh(connection)
    _log_rebuilt(connection, differences)


def _log_rebuilt(connection: Connection, differences: Sequence[CandleDifference]) -> None:
    ranges: defaultdict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    widths = {level.label: (level.ticks, level.width) for level in audited_levels(connection)}
    for difference in differences:
        ticks, width = widths[difference.level]
        ranges[ticks].append((difference.bucket, difference.bucket + width))
    for ticks, its in ranges.items():
        log_refreshed(connection, ticks, its)


def _rebuild_buckets(connection: Connection, relation: str, buckets: list[datetime], width: timedelta) -> None:
    """Recompute buckets whether they were invalidated or not; the levels above follow with a refresh.

    Buckets that were not stored yet follow from the level below: to store a forming one would freeze it.
    """
    with refresh_lock(connection):
        stored = aggregate_watermark(connection, relation)
        for bucket in buckets:
            if bucket + width <= stored:
                refresh_range(connection, relation, bucket, bucket + width, force=True)


def _refresh_aggregates(connection: Connection) -> Counter[str]:
    completed: Counter[str] = Counter()
    with refresh_lock(connection), ExitStack() as refreshed:
        for aggregate in continuous_aggregates(connection):
            before = aggregate_watermark(connection, aggregate.relation)
            ranges = _refresh_aggregate(connection, aggregate)
            if aggregate.on_ticks:  # also when an upper level fails
                refreshed.callback(log_refreshed, connection, aggregate.ticks, ranges)
            after = aggregate_watermark(connection, aggregate.relation)
            if before != after:
                completed[aggregate.label] = count_candles(connection, aggregate, before, after)
    return completed


def _refresh_aggregate(connection: Connection, aggregate: Aggregate) -> list[tuple[datetime, datetime]]:
    """Refresh one level, and return the ranges that it had before and that are computed anew."""
    reached, end = aggregate_progress(connection, aggregate)
    # Upper levels are computed from candles, which outlive their ticks.
    horizon = retention_horizon(connection, aggregate.ticks) if aggregate.on_ticks else None
    again: list[tuple[datetime, datetime]] = []
    if end is None:
        return again
    if reached is None:
        chunks = chunk_ranges(connection, aggregate)
        if chunks:
            begin = chunks[0][0]
            _refresh_tail(connection, aggregate, max(begin, horizon or begin), end, None if horizon else begin)
        return again
    for start, stop in pending_ranges(connection, aggregate):
        first, last = max(start, horizon or start), min(stop, end)
        if last - first >= aggregate.width:
            refresh_range(connection, aggregate.relation, first, last)
            again.append((first, last))
    _refresh_tail(connection, aggregate, max(reached, horizon or reached), end, None)
    return again


def _refresh_tail(
    connection: Connection, aggregate: Aggregate, start: datetime, end: datetime, begin: datetime | None
) -> None:
    """Advance to `end` in bounded steps; a level on ticks advances only while no ticks are being inserted.

    When an insert is running, the next refresh advances; until then the views compute the missing candles from ticks.
    A step includes the time without chunks before it: ten empty years in steps took a minute.
    """
    chunks = chunk_ranges(connection, aggregate) if end - start > FIRST_STEP else [(start, end)]
    while start < end:
        ticks_from = next((max(first, start) for first, last in chunks if last > start), end)
        stop = min(ticks_from + FIRST_STEP, end)
        if stop - start < aggregate.width:
            return
        # The very first step starts at the beginning of time, so that nothing before it stays invalidated.
        first_or_none = None if start == begin else start
        if aggregate.on_ticks:
            with inserts_excluded(connection) as excluded:
                if not excluded:
                    return
                refresh_range(connection, aggregate.relation, first_or_none, stop)
        else:
            refresh_range(connection, aggregate.relation, first_or_none, stop)
        start = stop
