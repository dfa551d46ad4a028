"""Brings stored candles up to date with their ticks, on either engine.

The rules for TimescaleDB's continuous aggregates were measured with version 2.29
(docs/decisions/0008-refresh-on-timescaledb.md). One call per changed range instead of one over all of them: 100
scattered late ticks take 1.2 s instead of 19.9 s. Never past the last complete bucket: that would freeze the forming
candle. Never where ticks were dropped: that would delete their candles (docs/decisions/0067-dropped-ticks.md). Never
beside an insert: TimescaleDB can lose its invalidation.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine, engine_of
from candleworks.model.notices import Progress, silent
from candleworks.storage.candles import (
    Aggregate,
    AuditedLevel,
    CandleDifference,
    aggregate_progress,
    aggregate_watermark,
    audited_levels,
    chunk_ranges,
    continuous_aggregates,
    count_candles,
    count_pending_notes,
    due_ranges,
    inserts_excluded,
    invalidate,
    kept_ranges,
    log_refreshed,
    record_tick_parts,
    refresh_lock,
    refresh_range,
    refresh_step,
)

MAX_MINUTES = 20_000  # in one step of a refresh
_LOWEST = ("1m", "quote 1m")
_PARTS = 100  # of a level's refresh, for its progress
_TICKS_WEIGHT = 5  # how much longer a level on ticks takes than one on candles
FIRST_STEP = timedelta(days=10)  # history is refreshed oldest first, in steps that each commit
# What a refresh counts: TimescaleDB does not report which of the candles that it computed are other ones than before.
REFRESHED = {Engine.POSTGRES: "changed", Engine.TIMESCALE: "refreshed"}


def refresh(connection: Connection, progress: Progress = silent) -> Counter[str]:
    """Refresh all candles that are out of date, from the bottom level up; return how many REFRESHED says, per level.

    Safe while ticks come in and while others refresh. Needs a connection in autocommit mode: each step is a transaction
    of its own, so an interrupted refresh keeps what it has done. Ticks that come after its last step began are left to
    the next refresh, because a stream of ticks would keep this one busy forever. Candles whose ticks were dropped stay
    as they are. `progress` is called after each step.
    """
    if engine_of(connection) is Engine.TIMESCALE:
        return _refresh_aggregates(connection, progress)
    changed: Counter[str] = Counter()
    done = wanted = 0
    while True:
        step = refresh_step(connection, MAX_MINUTES)
        changed.update({refreshed.level: refreshed.changed for refreshed in step})
        done += sum(refreshed.due for refreshed in step if refreshed.level in _LOWEST)
        if all(refreshed.due < MAX_MINUTES for refreshed in step):
            progress(done, done, "")
            return changed
        if progress is not silent:
            wanted = wanted or done + count_pending_notes(connection)  # once
            progress(done, max(wanted, done), "minutes")


def rebuild(connection: Connection, differences: Sequence[CandleDifference]) -> None:
    """Recompute the candles of `differences`, and all levels above them, from their ticks."""
    timescale = engine_of(connection) is Engine.TIMESCALE
    for level in audited_levels(connection):
        found = [difference for difference in differences if difference.level == level.label]
        if timescale and found:
            _rebuild_buckets(connection, level, sorted({each.bucket for each in found}))
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


def _rebuild_buckets(connection: Connection, level: AuditedLevel, buckets: list[datetime]) -> None:
    """Recompute buckets whether they were invalidated or not; the levels above follow with a refresh.

    Buckets that were not stored yet follow from the level below: to store a forming one would freeze it.
    """
    aggregates = {aggregate.relation: aggregate for aggregate in continuous_aggregates(connection)}
    with refresh_lock(connection):
        stored = aggregate_watermark(connection, level.relation)
        for bucket in buckets:
            if bucket + level.width <= stored:
                _refresh_kept(connection, aggregates[level.relation], bucket, bucket + level.width, force=True)


@dataclass(frozen=True, slots=True)
class _Share:
    """The share of one level in the progress of a refresh of all of them."""

    progress: Progress
    before: int
    weight: int
    whole: int
    label: str

    def report(self, fraction: float) -> None:
        self.progress(self.before + int(self.weight * fraction), self.whole, self.label)


def _shares(aggregates: Sequence[Aggregate], progress: Progress) -> list[_Share]:
    weights = [_PARTS * (_TICKS_WEIGHT if aggregate.on_ticks else 1) for aggregate in aggregates]
    return [
        _Share(progress, sum(weights[:number]), weights[number], sum(weights), aggregate.label)
        for number, aggregate in enumerate(aggregates)
    ]


def _refresh_aggregates(connection: Connection, progress: Progress) -> Counter[str]:
    counts: Counter[str] = Counter()
    with refresh_lock(connection), ExitStack() as refreshed:
        record_tick_parts(connection)
        aggregates = continuous_aggregates(connection)
        for aggregate, share in zip(aggregates, _shares(aggregates, progress), strict=True):
            before = aggregate_watermark(connection, aggregate.relation)
            ranges = _refresh_aggregate(connection, aggregate, share)
            if aggregate.on_ticks:  # also when an upper level fails
                refreshed.callback(log_refreshed, connection, aggregate.ticks, ranges)
            after = aggregate_watermark(connection, aggregate.relation)
            if before != after:
                ranges = [*ranges, (before, after)]
            if ranges:
                counts[aggregate.label] = count_candles(connection, aggregate, ranges)
    progress(1, 1, "")
    return +counts


def _refresh_aggregate(connection: Connection, aggregate: Aggregate, share: _Share) -> list[tuple[datetime, datetime]]:
    """Refresh one level, and return the ranges that it had before and that are computed anew."""
    reached, end = aggregate_progress(connection, aggregate)
    if end is None:
        return []
    if reached is None:
        chunks = chunk_ranges(connection, aggregate)
        if chunks:
            _refresh_tail(connection, aggregate, chunks[0][0], end, chunks[0][0], share)
        return []
    again = due_ranges(connection, aggregate, end)
    for number, (first, last) in enumerate(again):
        share.report(number / len(again))
        _refresh_kept(connection, aggregate, first, last)
    _refresh_tail(connection, aggregate, reached, end, None, share)
    return again


def _refresh_tail(
    connection: Connection, aggregate: Aggregate, start: datetime, end: datetime, begin: datetime | None, share: _Share
) -> None:
    """Advance to `end` in bounded steps; a level on ticks advances only while no ticks are being inserted.

    When an insert is running, the next refresh advances; until then the views compute the missing candles from ticks.
    A step includes the time without chunks before it: ten empty years in steps took a minute.
    """
    chunks = chunk_ranges(connection, aggregate) if end - start > FIRST_STEP else [(start, end)]
    first_start = start
    while start < end:
        share.report((start - first_start) / (end - first_start))
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
                _refresh_kept(connection, aggregate, first_or_none, stop)
        else:
            _refresh_kept(connection, aggregate, first_or_none, stop)
        start = stop


def _refresh_kept(
    connection: Connection, aggregate: Aggregate, start: datetime | None, stop: datetime, *, force: bool = False
) -> None:
    """Refresh what of [start, stop) has not lost its ticks, asked just before: somebody may drop them at any time."""
    for first, last in kept_ranges(connection, aggregate, start, stop):
        if first is None or last - first >= aggregate.width:
            refresh_range(connection, aggregate.relation, first, last, force=force)
