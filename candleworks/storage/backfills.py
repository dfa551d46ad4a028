"""`backfills`: how far the history of each symbol has been loaded."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from psycopg.rows import args_row, class_row

from candleworks.database.connection import Connection
from candleworks.database.locks import Lock, try_locked
from candleworks.database.queries import query
from candleworks.model.bars import LIVE_ORIGIN, Bar, Spans
from candleworks.model.trades import microseconds_of, moment_of

BackfillOutcome = Literal["loading", "waiting", "complete", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class BackfillRecord:
    """The history of one symbol; the columns of the table say what is what."""

    feed: str
    symbol: str
    wanted_from: datetime
    streamed_from: datetime | None = None
    fetched_from: datetime | None = None
    fetched_until: datetime | None = None
    bars: int = 0
    outcome: BackfillOutcome = "loading"
    reason: str | None = None
    attempts: int = 0
    retry_at: datetime | None = None
    named: bool = False
    daily_wanted_from: datetime | None = None
    daily_from: datetime | None = None
    daily_bars: int = 0


class UnfinishedBackfill(NamedTuple):
    """A history that is not complete; `fetched_from` and `daily_from` are None while nothing is loaded.

    `daily_wanted_from` is None where no daily bars are wanted.
    """

    feed: str
    symbol: str
    wanted_from: datetime
    fetched_from: datetime | None
    outcome: BackfillOutcome
    reason: str | None
    daily_wanted_from: datetime | None
    daily_from: datetime | None


class WantedHistory(NamedTuple):
    """Where the histories of a feed begin: minutes, and the days before them; None: none are wanted."""

    minutes_from: datetime | None
    days_from: datetime | None


def backfill_records(connection: Connection, feed: str) -> dict[str, BackfillRecord]:
    """Return the records of a feed by symbol."""
    cursor = connection.cursor(row_factory=class_row(BackfillRecord))
    return {record.symbol: record for record in cursor.execute(query("backfill_records"), {"feed": feed})}


def save_backfill(connection: Connection, record: BackfillRecord, at: datetime) -> None:
    connection.execute(query("save_backfill"), asdict(record) | {"at": at})


def save_daily_bars(connection: Connection, record: BackfillRecord, bars: Sequence[Bar], at: datetime) -> None:
    """Store daily bars, whose time is the midnight of their date."""
    parameters = {
        "symbol": record.symbol,
        "feed": record.feed,
        "at": at,
        "buckets": [moment_of(bar.minute_us) for bar in bars],
        "opens": [bar.open for bar in bars],
        "highs": [bar.high for bar in bars],
        "lows": [bar.low for bar in bars],
        "closes": [bar.close for bar in bars],
        "volumes": [bar.volume for bar in bars],
    }
    connection.execute(query("save_daily_bars"), parameters)


def analyze_daily_bars(connection: Connection) -> None:
    connection.execute(query("analyze_daily_bars"))


def due_backfills(
    connection: Connection, feed: str, symbols: Sequence[str], wanted: WantedHistory, now: datetime
) -> list[str]:
    """Return those of the symbols with something left to load, or to look up, that may be tried now.

    The names of companies are looked up also where no history is wanted.
    """
    parameters = {
        "feed": feed,
        "symbols": list(symbols),
        "wanted_from": wanted.minutes_from,
        "daily_from": wanted.days_from,
        "now": now,
    }
    return [symbol for (symbol,) in connection.execute(query("due_backfills"), parameters).fetchall()]


def unfinished_backfills(connection: Connection) -> list[UnfinishedBackfill]:
    cursor = connection.cursor(row_factory=args_row(UnfinishedBackfill))
    return cursor.execute(query("unfinished_backfills")).fetchall()


def first_streamed(connection: Connection, symbol: str, since: datetime | None) -> datetime | None:
    """Return the time of the first streamed tick from `since` on."""
    parameters = {"symbol": symbol, "since": since, "live": LIVE_ORIGIN}
    row = connection.execute(query("first_streamed"), parameters).fetchone()
    return row[0] if row else None


def ticks_kept_from(connection: Connection) -> datetime | None:
    """Return the time before which retention has dropped the ticks; None: nothing was dropped."""
    row = connection.execute(query("ticks_kept_from")).fetchone()
    return row[0] if row else None


def gap_minutes(connection: Connection, symbol: str, start: datetime, stop: datetime) -> Spans:
    """Return the minutes of [start, stop) that the symbol's gaps touch, filled or not; spans may overlap."""
    rows = connection.execute(query("gaps_touching"), {"symbol": symbol, "start": start, "stop": stop}).fetchall()
    return [(microseconds_of(first), microseconds_of(after)) for first, after in rows]


def count_due_fills(connection: Connection) -> int:
    """Return how many requests gaps need that nobody has tried to fill yet."""
    row = connection.execute(query("count_due_fills")).fetchone()
    return int(row[0]) if row else 0


def locked_feed_history(connection: Connection, feed: str) -> AbstractContextManager[bool]:
    """Lock the loading of a feed's history; yields False while another session has it."""
    return try_locked(connection, Lock.BACKFILL, feed)
