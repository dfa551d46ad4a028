"""The state of feeds, symbols and candles, cheap enough to be read every few seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from psycopg.rows import class_row

from candleworks.database.connection import Connection
from candleworks.database.queries import query
from candleworks.storage.inspection import LevelState, candle_levels

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class FeedState:
    """One feed. The counts are totals since `since`, null for a feed that never reported: they never fall.

    Lags are those of the last half minute, null without ticks. `gaps_unfilled` are closed and not filled.
    `stopped_at` and `stop_reason` are null unless a person has stopped the feed and nobody has started it since.
    `memory_bytes` is what the feed's process used at its last sample, null unless that was in the last two minutes.
    """

    feed: str
    since: datetime | None
    ticks: int
    batches: int
    reconnects: int
    duplicates: int
    rejected: int
    candles: int
    quotes: int
    duplicate_quotes: int
    rejected_quotes: int
    report_age_seconds: float | None
    spool_depth: int | None
    lag_ms_p50: float | None
    lag_ms_p99: float | None
    gaps_open: int
    gaps_unfilled: int
    stopped_at: datetime | None
    stop_reason: str | None
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class LatestTrade:
    """A symbol's newest trade."""

    symbol: str
    last_tick: datetime
    age_seconds: float


@dataclass(frozen=True, slots=True)
class RefusedSymbol:
    """A symbol that the vendor refused to stream, and its reason."""

    feed: str
    symbol: str
    reason: str | None
    since: datetime


@dataclass(frozen=True)
class Monitoring:
    """One consistent reading; `now` is the database's clock."""

    now: datetime
    database_bytes: int
    feeds: list[FeedState]
    symbols: list[LatestTrade]
    refused: list[RefusedSymbol]
    levels: list[LevelState]


def read_monitoring(connection: Connection) -> Monitoring:
    """Read everything; a symbol costs one index entry, however many ticks it has."""
    now, database_bytes = connection.execute(query("database_state")).fetchone() or (None, None)
    assert now is not None  # noqa: S101 - a query without FROM has one row
    return Monitoring(
        now=now,
        database_bytes=database_bytes,
        feeds=read_feed_states(connection),
        symbols=_rows(connection, LatestTrade, "symbol_states"),
        refused=_rows(connection, RefusedSymbol, "refused_symbols"),
        levels=candle_levels(connection),
    )


def read_feed_states(connection: Connection) -> list[FeedState]:
    """Return every feed that was ever seen."""
    return _rows(connection, FeedState, "feed_states")


def read_status(connection: Connection, feeds: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the state of the platform and of `feeds` (names to symbols), without those that never ran.

    Times are datetimes, ages are seconds.
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


def _rows(connection: Connection, kind: type[Row], name: str) -> list[Row]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(query(name)).fetchall()
