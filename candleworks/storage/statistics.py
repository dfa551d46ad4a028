"""`ingest_stats`: one row per feed and ten seconds."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from candleworks.storage.connection import Connection
from candleworks.storage.queries import query


@dataclass(frozen=True, slots=True)
class IngestStats:
    """What a feed did in the ten seconds from `at`. Lags are from arrival to commit, null while no tick came."""

    feed: str
    at: datetime
    ticks: int
    batches: int
    lag_ms_p50: float | None
    lag_ms_p99: float | None
    lag_ms_max: float | None
    spool_depth: int
    reconnects: int
    duplicates: int
    rejected: int


def save_ingest_stats(connection: Connection, stats: IngestStats) -> None:
    """Write the row, replacing what it said before."""
    connection.execute(query("save_ingest_stats"), asdict(stats))


def read_status(connection: Connection) -> dict[str, Any]:
    """Return the state of the platform as plain values; times are datetimes, sizes bytes, ages seconds."""
    with connection.cursor() as cursor:
        row = cursor.execute(query("platform_status")).fetchone()
        names = [column.name for column in cursor.description or ()]
        status = dict(zip(names, row or (), strict=True))
        cursor.execute(query("feed_status"))
        names = [column.name for column in cursor.description or ()]
        status["feeds"] = [dict(zip(names, feed, strict=True)) for feed in cursor.fetchall()]
    return status
