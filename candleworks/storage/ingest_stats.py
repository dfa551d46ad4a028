"""`ingest_stats`: one row per feed and ten seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from candleworks.database.connection import Connection
from candleworks.database.queries import query

_RUN = str(uuid4())


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
    candles: int


def save_ingest_stats(connection: Connection, stats: IngestStats) -> None:
    """Write the row, replacing what it said before."""
    connection.execute(query("save_ingest_stats"), asdict(stats) | {"run": _RUN})


def read_status(connection: Connection, feeds: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the state of the platform and of `feeds` (name to symbols), those that never ran left out.

    Times are datetimes, ages seconds.
    """
    pairs = [(feed, symbol) for feed, symbols in feeds.items() for symbol in symbols or (None,)]
    with connection.cursor() as cursor:
        row = cursor.execute(query("platform_status")).fetchone()
        names = [column.name for column in cursor.description or ()]
        status = dict(zip(names, row or (), strict=True))
        names_and_symbols = {"feeds": [feed for feed, _ in pairs], "symbols": [symbol for _, symbol in pairs]}
        cursor.execute(query("feed_status"), names_and_symbols)
        names = [column.name for column in cursor.description or ()]
        status["feeds"] = [dict(zip(names, feed, strict=True)) for feed in cursor.fetchall()]
    return status
