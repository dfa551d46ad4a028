"""Stores trades: by COPY where they are new, by a merge of multisets where some may be stored already."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import errors, sql

from candleworks.database.connection import Connection
from candleworks.database.copy import COPY_TRADES, encode_trades
from candleworks.database.queries import query
from candleworks.model.trades import MICROSECONDS, Rejection, Trades, microseconds_of, moment_of
from candleworks.model.trading_day import ZoneOf, trading_day
from candleworks.storage.bars import remove_covered_bars
from candleworks.storage.inserted_ticks import (
    TRADE,
    Inserted,
    begin_inserts,
    combined,
    inserted_ticks,
    log_inserts,
    log_ranges,
)

MERGE_TRIES = 5
WEEK_US = 7 * 86_400 * MICROSECONDS


class Position(NamedTuple):
    """The newest stored trade of a symbol, and the state that the next one continues.

    `sharing` trades share `event_us`. `highest_day_volume` is the highest running total that its source has reached on
    that trading day, None when the volume traded before is unknown. `own_day_volume` is that of trades alone where bars
    are above it, None elsewhere.
    """

    event_us: int
    sharing: int
    price: float
    day_volume: float | None
    highest_day_volume: float | None
    own_day_volume: float | None = None


class MergeResult(NamedTuple):
    """The result of merging ticks with stored ones.

    `rejected` are the positions of ticks whose event time has no ordinal left.
    """

    stored: int
    duplicates: int
    rejected: tuple[int, ...] = ()


def no_ordinal_left(resolution_us: int) -> str:
    """Return why a tick is rejected: its event time already has as many ticks as there are ordinals."""
    return f"its symbol already has {resolution_us:,} ticks with its event time"


def merged(connection: Connection, merge: Callable[[], MergeResult]) -> MergeResult:
    """Run a merge as a transaction; repeat it when another process stored ticks of the same event times meanwhile."""
    for attempt in range(1, MERGE_TRIES + 1):
        try:
            with connection.transaction():
                return merge()
        except errors.UniqueViolation:
            if attempt == MERGE_TRIES:
                raise
    raise AssertionError


def staged_extents(connection: Connection, staged: str, resolution: timedelta) -> dict[str, tuple[datetime, datetime]]:
    """Return [start, stop) of the event times of each symbol in a staging table."""
    statement = sql.SQL(query("staged_extents")).format(staged=sql.Identifier(staged))
    rows = connection.execute(statement, {"resolution": resolution}).fetchall()
    return {symbol: (start, stop) for symbol, start, stop in rows}


def insert_staged(
    connection: Connection, statement: str, extents: Mapping[str, tuple[datetime, datetime]], resolution: timedelta
) -> list[tuple[Any, ...]]:
    """Insert what a named query finds to be new in a staging table with these extents; return the query's rows."""
    begin_inserts(connection)
    if not extents:
        return []
    starts, stops = zip(*extents.values(), strict=True)
    bounds = {"start": min(starts), "stop": max(stops), "resolution": resolution}
    return connection.execute(query(statement), bounds).fetchall()


class Day(NamedTuple):
    """A part of a symbol's trading day whose volumes may have changed; `top` is its highest new running total."""

    symbol: str
    start: datetime
    end: datetime
    first: datetime
    last: datetime
    top: float


@dataclass(frozen=True)
class TradeStore:
    """Writes trades of one origin through one connection.

    `resolution_us` is the resolution of the vendor's event times: ordinals count within it. `zone_of` returns the zone
    whose dates are a symbol's trading days.
    """

    connection: Connection
    origin: str
    zone_of: ZoneOf
    resolution_us: int = MICROSECONDS

    def prepare(self, event_times_us: Sequence[int]) -> None:
        """Create partitions for trades of these times; call it outside the transaction that writes them."""
        weeks = sorted({event_time // WEEK_US for event_time in event_times_us})
        for week in weeks:
            first = moment_of(week * WEEK_US)
            self.connection.execute(
                "SELECT candleworks.prepare_ticks(%s, %s)", [first, first + timedelta(days=7, microseconds=-1)]
            )

    def rejection(self, trades: Trades, index: int, reason: str) -> Rejection:
        """Return the rejection of a trade that the database refused, as the values that would have been stored."""
        values = (
            f"symbol={trades.symbol[index]} event_time={moment_of(trades.event_us[index]).isoformat()}"
            f" price={trades.price[index]!r} day_volume={trades.day_volume[index]!r}"
            f" bid={trades.bid[index]!r} ask={trades.ask[index]!r}"
        )
        return Rejection(trades.received_us[index], reason, values, "trade")

    def copy(self, trades: Trades) -> None:
        """Insert trades that are new; UniqueViolation when one of them is not."""
        begin_inserts(self.connection)
        self.copy_encoded(encode_trades(trades, self.origin))
        log_inserts(self.connection, TRADE, inserted_ticks(trades))

    def copy_encoded(self, stream: bytes) -> None:
        """Insert an encoded COPY stream of trades that are new; UniqueViolation when one of them is not."""
        with self.connection.cursor() as cursor, cursor.copy(COPY_TRADES) as copy:
            copy.write(stream)

    def copy_all(self, streams: Iterable[bytes], spans: Mapping[str, tuple[datetime, datetime]]) -> bool:
        """Insert encoded COPY streams, all of them, or none and return False when one of their trades is stored.

        `spans` are the first and last event time of each symbol.
        """
        try:
            with self.connection.transaction():
                begin_inserts(self.connection)
                for stream in streams:
                    self.copy_encoded(stream)
                log_ranges(self.connection, TRADE, spans, self.resolution_us)
        except errors.UniqueViolation:
            return False
        return True

    def merge(self, trades: Trades, known: Trades) -> MergeResult:
        """Insert the trades that are not stored yet, with ordinals after the stored ones.

        `known` are trades of the same event times that this process stored earlier, so that a repeated price within one
        event time is distinguished from a repeated delivery. Volumes around the inserted trades are recomputed. Runs
        in a transaction of its own or as part of the caller's.
        """
        return merged(self.connection, lambda: self._merge(trades, known))

    def _merge(self, trades: Trades, known: Trades) -> MergeResult:
        self._stage(trades, known)
        return self._settle(len(trades))

    def merge_staged(self, stage: Callable[[], int]) -> MergeResult:
        """Merge trades that `stage` copies into staged_trades; it returns how many of them are not known."""
        return merged(self.connection, lambda: self._merge_staged(stage))

    def _merge_staged(self, stage: Callable[[], int]) -> MergeResult:
        self.connection.execute(query("create_staging"))
        self.connection.execute("TRUNCATE staged_trades")  # of an earlier merge in the same transaction
        count = stage()
        return self._settle(count)

    def _settle(self, count: int) -> MergeResult:
        extents = staged_extents(self.connection, "staged_trades", self._resolution)
        oldest = self.oldest(set(extents))
        rows = insert_staged(self.connection, "insert_surplus", extents, self._resolution)
        inserted = [row for row in rows if row[6]]
        parts = [Inserted(row[0], row[3], row[4], *row[6:9]) for row in inserted]
        log_inserts(self.connection, TRADE, combined(parts))
        days = [Day(*row[:6]) for row in rows if row[5] is not None]
        days += self.replace_bars([(row[0], row[3], row[4]) for row in inserted])
        for symbol, _, _, first, *_ in inserted:
            days += self._first_day(symbol, oldest.get(symbol), first)
        self.recompute_volumes(days)
        stored = sum(row[6] for row in inserted)
        rejected = tuple(position for row in rows if row[0] is None for position in row[9])
        return MergeResult(stored, count - stored - len(rejected), rejected)

    def recompute_first_days(self, earliest: dict[str, datetime], oldest: dict[str, datetime]) -> None:
        """Recompute the day that was each symbol's first, now that there are trades from `earliest` on before it."""
        days: list[Day] = []
        for symbol, first in earliest.items():
            days += self._first_day(symbol, oldest.get(symbol), first)
        self.recompute_volumes(days)

    def _first_day(self, symbol: str, oldest: datetime | None, inserted: datetime) -> list[Day]:
        """Return the day that was the first, and whose first volume is known now that older trades precede it."""
        if oldest is None:
            return []
        start, end = trading_day(oldest, self.zone_of(symbol))
        return [Day(symbol, start, end, start, end, float("inf"))] if inserted < start else []

    def replace_bars(self, spans: Sequence[tuple[str, datetime, datetime]]) -> list[Day]:
        """Remove bars of minutes that have ticks now; return the days whose volumes have to be recomputed.

        `spans` are (symbol, first, last), the minutes to check.
        """
        days = []
        for symbol, time, total in remove_covered_bars(self.connection, spans):
            start, end = trading_day(time, self.zone_of(symbol))
            days.append(Day(symbol, start, end, time, time, 0.0 if total is None else total))
        return days

    def recompute_volumes(self, days: Iterable[Day]) -> None:
        """Recompute volumes; days that are given several times are recomputed once, for the union of their ranges."""
        distinct: dict[tuple[str, datetime], Day] = {}
        for day in days:
            known = distinct.get((day.symbol, day.start), day)
            distinct[day.symbol, day.start] = day._replace(
                first=min(known.first, day.first), last=max(known.last, day.last), top=max(known.top, day.top)
            )
        if distinct:
            names = ("symbols", "day_starts", "day_ends", "firsts", "lasts", "tops")
            columns = (list(column) for column in zip(*distinct.values(), strict=True))
            parameters = {"origin": self.origin, **dict(zip(names, columns, strict=True))}
            self.connection.execute(query("recompute_volumes"), parameters)

    def oldest(self, symbols: set[str]) -> dict[str, datetime]:
        """Return the time of each symbol's first stored trade."""
        return dict(self.connection.execute(query("oldest_trades"), {"symbols": sorted(symbols)}).fetchall())

    def _stage(self, trades: Trades, known: Trades) -> None:
        self.connection.execute(query("create_staging"))
        self.connection.execute("DELETE FROM staged_trades")  # of an earlier merge in the caller's transaction
        with self.connection.cursor() as cursor, cursor.copy("COPY staged_trades FROM STDIN") as copy:
            for part, is_known in ((known, True), (trades, False)):
                for index in range(len(part)):
                    copy.write_row(self._staged_row(part, index, is_known=is_known, offset=len(known)))

    def _staged_row(self, trades: Trades, index: int, *, is_known: bool, offset: int) -> list[object]:
        event_time = moment_of(trades.event_us[index])
        symbol = trades.symbol[index]
        return [
            index - offset if is_known else index,
            is_known,
            event_time,
            symbol,
            trades.price[index],
            trades.day_volume[index],
            trades.volume[index] if trades.day_volume[index] is None else None,
            trades.bid[index],
            trades.ask[index],
            moment_of(trades.received_us[index]),
            self.origin,
            *trading_day(event_time, self.zone_of(symbol)),
        ]

    def positions(self, symbols: Sequence[str]) -> dict[str, Position]:
        """Return the position of each symbol; symbols without trades are left out."""
        rows = self.connection.execute(
            query("last_positions"), {"symbols": list(symbols), "resolution": self._resolution}
        ).fetchall()
        return {
            symbol: Position(microseconds_of(event_time), count, price, day_volume, *self._totals(symbol, event_time))
            for symbol, event_time, price, day_volume, count in rows
        }

    def _totals(self, symbol: str, event_time: datetime) -> tuple[float | None, float | None]:
        start, end = trading_day(event_time, self.zone_of(symbol))
        parameters = {"symbol": symbol, "day_start": start, "day_end": end, "origin": self.origin}
        highest, own = self.connection.execute(query("continued_total"), parameters).fetchone() or (None, None)
        return highest, own

    def prices_around(self, symbol: str, event_us: int) -> list[float]:
        """Return the stored prices above 0 next to an event time: the last before it and the first after it."""
        parameters = {"symbol": symbol, "event_time": moment_of(event_us), "resolution": self._resolution}
        return [price for (price,) in self.connection.execute(query("prices_around"), parameters).fetchall()]

    @property
    def no_ordinal_left(self) -> str:
        """Why a trade is rejected whose event time has no ordinal left."""
        return no_ordinal_left(self.resolution_us)

    @property
    def _resolution(self) -> timedelta:
        return timedelta(microseconds=self.resolution_us)
