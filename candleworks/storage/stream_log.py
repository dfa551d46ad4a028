"""Follows the log of what was committed, and reads the ticks and candles that its rows point to.

docs/decisions/0059-stream.md says how the log is written.
"""

import select
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import NamedTuple

from psycopg.rows import args_row

from candleworks.database.connection import Connection, connect, describe
from candleworks.database.profiles import WEB
from candleworks.database.queries import query
from candleworks.errors import TransientError
from candleworks.model.trades import moment_of
from candleworks.storage.read_pool import explained_reads

ALL_SYMBOLS = ""


class LogRow(NamedTuple):
    """What one statement changed: `changed` is trade, quote or gap, `firsts` and `lasts` are the bounds per symbol.

    `counts` are the numbers of inserted ticks, which were received between `received_first` and `received_last`; None
    for other changes. `removed`: ticks may be gone. The symbol ALL_SYMBOLS stands for all of them.
    """

    position: int
    committed_at: datetime
    changed: str
    removed: bool
    symbols: list[str]
    firsts: list[datetime]
    lasts: list[datetime]
    counts: list[int] | None
    received_first: datetime | None
    received_last: datetime | None


class LogBounds(NamedTuple):
    """The oldest and the newest position that the log has; 0 while it is empty, as it is after a crash."""

    oldest: int
    newest: int

    def follows(self, position: int) -> bool:
        """Whether the log still has everything that came after a position."""
        return 0 < self.oldest <= position + 1 and position <= self.newest


class TickRange(NamedTuple):
    """Where the ticks of one symbol are that a statement inserted."""

    symbol: str
    first: datetime
    last: datetime
    received_first: datetime
    received_last: datetime


class StreamedTick(NamedTuple):
    """A trade with its volume, or the bid of a quote; `other` is the bid of the trade, or the ask of the quote.

    `live` ticks are neither from a file nor from a bar. `totalled`: the trade has a running total of its trading day.
    """

    us: int
    live: bool
    of_bar: bool
    price: float
    volume: float | None
    other: float | None
    other_volume: float | None
    totalled: bool


class SideCandle(NamedTuple):
    """A candle of one price side."""

    price: str
    bucket_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    ticks: int
    rebuilt: bool
    closed: bool
    volume_from: str | None


class SeriesRead(NamedTuple):
    """Candles, oldest first, as of a position of the log, at which the symbol's newest tick was at `newest_us`."""

    position: int
    newest_us: int | None
    candles: list[SideCandle]


class StreamSource:
    """One connection that waits for commits, and reads what they changed.

    Raises TransientError while the database is unavailable, and TerminalError where it has no stream.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Connection | None = None

    def open(self) -> None:
        """Connect and listen; what is committed from now on wakes wait()."""
        if self._connection is None:
            connection = connect(self._dsn, "stream", profile=WEB)
            with self._explained():
                connection.execute(query("listen_stream"))
            self._connection = connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def wait(self, seconds: float, other: int) -> None:
        """Return when something was committed, when the file descriptor `other` can be read, or after so long."""
        connection = self._connected
        with self._explained():
            if not list(connection.notifies(timeout=0)):
                select.select([connection.fileno(), other], [], [], seconds)
                list(connection.notifies(timeout=0))

    def bounds(self) -> LogBounds:
        with self._explained():
            row = self._connected.execute(query("stream_bounds")).fetchone()
        return LogBounds(*row) if row else LogBounds(0, 0)

    def since(self, position: int, most: int) -> list[LogRow]:
        """Return what was committed after a position, oldest first, at most so many rows."""
        with self._explained(), self._connected.cursor(row_factory=args_row(LogRow), binary=True) as cursor:
            return cursor.execute(query("stream_since"), {"after": position, "most": most}).fetchall()

    def ticks(self, family: str, ranges: Sequence[TickRange]) -> list[list[StreamedTick]]:
        """Return the ticks of each range, in order; those that were removed meanwhile are missing."""
        if not ranges:
            return []
        symbols, firsts, lasts, received_firsts, received_lasts = (list(c) for c in zip(*ranges, strict=True))
        parameters = {
            "symbols": symbols,
            "firsts": firsts,
            "lasts": lasts,
            "received_firsts": received_firsts,
            "received_lasts": received_lasts,
            "first": min(firsts),
            "last": max(lasts),
        }
        found: list[list[StreamedTick]] = [[] for _ in ranges]
        name = "streamed_trades" if family == "trade" else "streamed_quotes"
        with self._explained(), self._connected.cursor(binary=True) as cursor:
            # Not prepared: a generic plan looks into all partitions.
            for number, *values in cursor.execute(query(name), parameters, prepare=False):
                found[number - 1].append(StreamedTick(*values))
        return found

    def newest_tick(self, family: str, symbol: str) -> StreamedTick | None:
        name = "newest_trade" if family == "trade" else "newest_quote"
        with self._explained():
            row = self._connected.execute(query(name), {"symbol": symbol}).fetchone()
        return StreamedTick(row[0], True, False, *row[1:]) if row else None

    def newest_candles(self, symbol: str, period: str, prices: Sequence[str]) -> SeriesRead:
        """Return the two newest candles of each price side."""
        return self._series("newest_series_candles", {"symbol": symbol, "period": period, "prices": list(prices)})

    def candles(self, symbol: str, period: str, prices: Sequence[str], start_us: int, stop_us: int) -> SeriesRead:
        """Return the candles of [start, stop)."""
        bounds = {"start": moment_of(start_us), "stop": moment_of(stop_us)}
        return self._series("series_candles", {"symbol": symbol, "period": period, "prices": list(prices), **bounds})

    def closed(self, buckets: Sequence[tuple[str, int, int]]) -> list[int]:
        """Return the indexes of those of the buckets, (symbol, start, stop), that are closed."""
        symbols, starts, stops = (list(column) for column in zip(*buckets, strict=True))
        parameters = {"symbols": symbols, "starts": _moments(starts), "stops": _moments(stops)}
        with self._explained():
            return [number - 1 for (number,) in self._connected.execute(query("closed_buckets"), parameters)]

    def _series(self, name: str, parameters: dict[str, object]) -> SeriesRead:
        with self._explained(), self._connected.cursor(binary=True) as cursor:
            rows = cursor.execute(query(name), parameters).fetchall()
        candles = [SideCandle(*row[2:]) for row in rows if row[3] is not None]
        return SeriesRead(rows[0][0], rows[0][1], candles)

    @property
    def _connected(self) -> Connection:
        if self._connection is None:
            raise TransientError(f"The database {describe(self._dsn)} is not connected: try again later.")
        return self._connection

    def _explained(self) -> AbstractContextManager[None]:
        return explained_reads(self._dsn, "stream")


def _moments(times_us: Sequence[int]) -> list[datetime]:
    return [moment_of(us) for us in times_us]
