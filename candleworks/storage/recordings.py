"""Stored trades to be replayed, and the databases that replays write to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from candleworks.database.connection import Connection, connect, describe
from candleworks.database.connection_string import read_connection_string
from candleworks.database.profiles import ADMIN
from candleworks.database.queries import query
from candleworks.errors import UsageError
from candleworks.model.trades import microseconds_of

ROWS_AT_ONCE = 20_000
MAINTENANCE_DATABASE = "postgres"


class RecordedTrade(NamedTuple):
    """`time_us` is in microseconds since 1970; values that were not recorded are None."""

    time_us: int
    symbol: str
    price: float
    day_volume: float | None
    bid: float | None
    ask: float | None


@dataclass(frozen=True, slots=True)
class Received:
    """Counts of what a feed did with the ticks sent to it."""

    stored: int = 0
    duplicates: int = 0
    rejected: int = 0

    def __sub__(self, before: "Received") -> "Received":
        return Received(
            self.stored - before.stored, self.duplicates - before.duplicates, self.rejected - before.rejected
        )

    @property
    def total(self) -> int:
        return self.stored + self.duplicates + self.rejected


def recorded_trades(
    connection: Connection, symbols: Sequence[str], start: datetime, stop: datetime
) -> Iterator[RecordedTrade]:
    """Yield trades of [start, stop) by symbol, in order of time; no symbols: all that have candles there."""
    bounds = {"start": start, "stop": stop}
    chosen = list(symbols) or [row[0] for row in connection.execute(query("traded_symbols"), bounds).fetchall()]
    for symbol in chosen:
        with connection.transaction(), connection.cursor("recorded", binary=True) as cursor:
            cursor.itersize = ROWS_AT_ONCE
            cursor.execute(query("recorded_trades"), bounds | {"symbol": symbol})
            for row in cursor:
                yield RecordedTrade(*row)


def check_for_replays(connection: Connection) -> None:
    """Raise UsageError unless this database is empty or was filled by replays alone."""
    row = connection.execute(query("holds_more_than_replays")).fetchone()
    if row and row[0]:
        raise UsageError(
            f"The database {describe(connection.info.dsn)} contains more than replays: name another one with --into, so"
            " that this one is not changed."
        )


def newest_trade(connection: Connection, symbols: Sequence[str]) -> tuple[datetime, str] | None:
    """Return the newest stored trade's time and symbol."""
    row = connection.execute(query("newest_of_symbols"), {"symbols": list(symbols)}).fetchone()
    return (row[0], row[1]) if row else None


def newest_second(connection: Connection, symbols: Sequence[str]) -> list[RecordedTrade]:
    """Return the trades of each symbol's newest stored second, without quotes, with that second as their time."""
    rows = connection.execute(query("newest_second"), {"symbols": list(symbols)}).fetchall()
    return [
        RecordedTrade(microseconds_of(second), symbol, price, volume, None, None)
        for symbol, second, price, volume in rows
    ]


def empty_database(dsn: str) -> None:
    """Drop the database, with its connections, and create it again."""
    name = read_connection_string(dsn)["dbname"]
    with connect(make_conninfo(dsn, dbname=MAINTENANCE_DATABASE), "replay", profile=ADMIN) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))


def begin_replay(
    connection: Connection, feed: str, source: str, first: datetime, last: datetime, shifted_by: timedelta
) -> int:
    """Record a replay, which marks this as a database of replays; return its number."""
    values = {"feed": feed, "source": source, "first": first, "last": last, "shifted_by": shifted_by}
    row = connection.execute(query("begin_feed_replay"), values).fetchone()
    return int(row[0]) if row else 0


def end_replay(connection: Connection, number: int, sent: int, received: Received) -> None:
    """Record the result of a replay."""
    counts = {
        "sent": sent,
        "stored": received.stored,
        "duplicates": received.duplicates,
        "rejected": received.rejected,
    }
    connection.execute(query("end_feed_replay"), counts | {"id": number})


def received_by(connection: Connection, feed: str) -> Received:
    """Return the feed's counts since it was first seen."""
    row = connection.execute(query("ingest_total"), {"feed": feed}).fetchone()
    return Received(*row) if row else Received()
