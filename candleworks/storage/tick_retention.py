"""Prepares partitions of ticks, and drops old ones by whole chunks or partitions, after their candles are stored."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from psycopg import errors, sql

from candleworks import clock
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine, engine_of
from candleworks.database.queries import query
from candleworks.settings import Settings
from candleworks.storage.candles import refresh_lock

LOCK_TIMEOUT = "5s"  # how long a drop waits for transactions that use the ticks

PREPARED = timedelta(days=91)  # before now, for ticks that come by somebody's own SQL

_log = logging.getLogger(__name__)


def tick_retention(settings: Settings) -> dict[str, int | None]:
    """Return how many days the ticks of each table are kept; None: for ever."""
    keep = settings.storage.retention_days
    return {"stocks_real_time": keep.stocks_real_time, "quotes": keep.quotes}


def prepare_partitions(connection: Connection, settings: Settings) -> None:
    """Create the partitions of a quarter of a year before and after now that do not exist, except those to be dropped.

    Writers of candleworks create what else they need. TimescaleDB creates chunks by itself.
    """
    for relation, days in tick_retention(settings).items():
        before = PREPARED if days is None else min(PREPARED, timedelta(days=days))
        connection.execute(query("prepare_partitions"), {"relation": relation, "start": clock.now() - before})


def drop_ticks(connection: Connection, relation: str, older_than: datetime) -> int:
    """Drop the chunks or partitions of `relation` that end before `older_than`; return how many.

    Needs a connection in autocommit mode. A partition that a transaction still uses after five seconds is left to the
    next call, with a warning.
    """
    if engine_of(connection) is Engine.POSTGRES:
        return _drop_partitions(connection, relation, older_than)
    with refresh_lock(connection):
        row = connection.execute(query("drop_ticks"), {"relation": relation, "older_than": older_than}).fetchone()
    return row[0] if row else 0


def _drop_partitions(connection: Connection, relation: str, older_than: datetime) -> int:
    bounds = {"relation": relation, "older_than": older_than}
    partitions = connection.execute(query("old_partitions"), bounds).fetchall()
    with _lock_timeout(connection):
        for dropped, (partition, stop, state) in enumerate(partitions):
            try:
                _drop_partition(connection, relation, partition, stop, state)
            except errors.LockNotAvailable:
                _log.warning(
                    "The ticks in candleworks.%s are still used by a transaction that began before they were to be"
                    " dropped: the next `candleworks maintain` drops them.",
                    partition,
                )
                return dropped
    return len(partitions)


def _drop_partition(connection: Connection, relation: str, partition: str, stop: datetime, state: str) -> None:
    """Drop a partition, from the step on that an interrupted drop has reached."""
    names = {"table": sql.Identifier("public", relation), "partition": sql.Identifier("candleworks", partition)}
    if state == "attached":
        connection.execute(query("close_partition"), {"relation": relation, "partition": partition, "stop": stop})
        connection.execute(sql.SQL(query("detach_partition")).format(**names))
    elif state == "detaching":
        connection.execute(sql.SQL(query("finalize_detach")).format(**names))
    connection.execute(sql.SQL(query("drop_partition")).format(**names))


@contextmanager
def _lock_timeout(connection: Connection) -> Iterator[None]:
    connection.execute("SELECT set_config('lock_timeout', %s, false)", [LOCK_TIMEOUT])
    try:
        yield
    finally:
        connection.execute("RESET lock_timeout")
