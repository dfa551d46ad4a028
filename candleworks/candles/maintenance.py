"""Compression and retention: what `candleworks maintain` does to the database."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from candleworks import clock
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine, engine_of
from candleworks.database.queries import query
from candleworks.model.notices import Progress, silent
from candleworks.settings import Settings
from candleworks.storage.candles import continuous_aggregates
from candleworks.storage.inspection import RelationSize, relation_sizes
from candleworks.storage.process_samples import record_sizes
from candleworks.storage.tick_retention import drop_ticks, prepare_partitions, tick_retention
from candleworks.wording import counted


@dataclass(frozen=True, slots=True)
class Work:
    """What was done to a number of units (chunks, partitions or rows) of a relation, and its sizes before and after."""

    relation: str
    action: str
    units: int
    unit: str
    before: RelationSize
    after: RelationSize

    def __str__(self) -> str:
        return f"{self.action} {counted(self.units, self.unit)}"


def maintain(connection: Connection, settings: Settings, progress: Progress = silent) -> list[Work]:
    """Refresh candles, then drop and compress ticks as configured; return what was done.

    Candles are stored before their ticks are dropped. Safe to repeat, to interrupt, and while ticks come in. Needs a
    connection in autocommit mode. `progress` is called with the number of finished steps, the number of all steps and
    the current step, at the end an empty text.
    """
    steps = [*_retention(connection, settings), *_compression(connection, settings)]
    progress(0, len(steps) + 1, "refreshing candles")
    refresh(connection)
    prepare_partitions(connection, settings)
    record_sizes(connection)
    done = []
    for number, step in enumerate(steps, 1):
        progress(number, len(steps) + 1, f"{step.relation}: old {step.unit}s are being {step.action}")
        done.append(_measured(connection, step))
    progress(len(steps) + 1, len(steps) + 1, "")
    return [work for work in done if work.units]


@dataclass(frozen=True, slots=True)
class _MaintenanceStep:
    relation: str
    action: str
    unit: str
    run: Callable[[], int]


def _retention(connection: Connection, settings: Settings) -> Iterator[_MaintenanceStep]:
    keep = settings.storage.retention_days
    unit = "chunk" if engine_of(connection) is Engine.TIMESCALE else "partition"
    for relation, days in tick_retention(settings).items():
        if days is not None:
            yield _MaintenanceStep(relation, "dropped", unit, partial(drop_ticks, connection, relation, _ago(days)))
    for relation, days in (
        ("rejected_ticks", keep.rejected_ticks),
        ("ingest_stats", keep.ingest_stats),
        ("quality_results", keep.quality_results),
        ("alerts", keep.alerts),
        ("feed_gaps", keep.feed_gaps),
    ):
        if days is not None:
            yield _MaintenanceStep(relation, "deleted", "row", partial(_forget, connection, relation, days))
    yield _MaintenanceStep("import_files", "deleted", "run", partial(_forget_import_runs, connection))


def _forget(connection: Connection, relation: str, days: int) -> int:
    return connection.execute(query(f"forget_{relation}"), {"older_than": _ago(days)}).rowcount


def _forget_import_runs(connection: Connection) -> int:
    return connection.execute(query("forget_import_runs")).rowcount


def _compression(connection: Connection, settings: Settings) -> Iterator[_MaintenanceStep]:
    if engine_of(connection) is not Engine.TIMESCALE:
        return
    after = settings.storage.compress_after_days
    wanted = {"stocks_real_time": after.stocks_real_time, "quotes": after.quotes}
    wanted |= dict.fromkeys((aggregate.relation for aggregate in continuous_aggregates(connection)), after.candles)
    for relation, days in wanted.items():
        if days is not None:
            yield _MaintenanceStep(relation, "compressed", "chunk", partial(_compress, connection, relation, days))


def _compress(connection: Connection, relation: str, days: int) -> int:
    chunks = connection.execute(
        query("chunks_to_compress"), {"relation": relation, "older_than": _ago(days)}
    ).fetchall()
    for (chunk,) in chunks:
        connection.execute(query("compress_chunk"), {"chunk": chunk})
    return len(chunks)


def _measured(connection: Connection, step: _MaintenanceStep) -> Work:
    before = relation_sizes(connection)[step.relation]
    units = step.run()
    after = relation_sizes(connection)[step.relation] if units else before
    return Work(step.relation, step.action, units, step.unit, before, after)


def _ago(days: int) -> datetime:
    return clock.now() - timedelta(days=days)
