"""Stores trades: by COPY where they are new, by comparing multisets where they may meet stored ones."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from psycopg import errors

from candleworks.database.connection import Connection
from candleworks.database.copy import COPY_TRADES, encode_trades
from candleworks.database.queries import query
from candleworks.model.trades import MICROSECONDS, Trades, microseconds_of, moment_of
from candleworks.model.trading_day import trading_day
from candleworks.storage.bars import remove_covered_bars

MERGE_TRIES = 5
WEEK_US = 7 * 86_400 * MICROSECONDS

ZoneOf = Callable[[str], ZoneInfo]


class Position(NamedTuple):
    """Where a symbol stands in the table: its newest trade, and what the next one is counted from.

    `sharing` trades share `stamp_us`. `highest_day_volume` is what the next running total of that trading day is
    compared with; None when what was traded before is unknown.
    """

    stamp_us: int
    sharing: int
    price: float
    day_volume: float | None
    highest_day_volume: float | None


class Meeting(NamedTuple):
    """What became of trades that met stored ones.

    `refused` are the positions of those whose stamp is shared by more trades than it has microseconds.
    """

    stored: int
    duplicates: int
    refused: tuple[int, ...] = ()


def merged(connection: Connection, merge: Callable[[], Meeting]) -> Meeting:
    """Run a merge as a transaction; again where somebody stored ticks of its stamps between its look and its insert."""
    for attempt in range(1, MERGE_TRIES + 1):
        try:
            with connection.transaction():
                return merge()
        except errors.UniqueViolation:
            if attempt == MERGE_TRIES:
                raise
    raise AssertionError


class Day(NamedTuple):
    """A stretch of a symbol's trading day whose volumes may have changed; `top` is its highest new running total."""

    symbol: str
    start: datetime
    end: datetime
    first: datetime
    last: datetime
    top: float


@dataclass(frozen=True)
class TradeStore:
    """Writes trades of one origin through one connection.

    `resolution_us` is the step of the vendor's stamps: ordinals count within it. `zone_of` tells the zone whose dates
    are a symbol's trading days.
    """

    connection: Connection
    origin: str
    zone_of: ZoneOf
    resolution_us: int = MICROSECONDS

    def prepare(self, stamps_us: Sequence[int]) -> None:
        """Make room for trades of these moments; call it outside the transaction that writes them."""
        weeks = sorted({stamp // WEEK_US for stamp in stamps_us})
        for week in weeks:
            first = moment_of(week * WEEK_US)
            self.connection.execute(
                "SELECT candleworks.prepare_ticks(%s, %s)", [first, first + timedelta(days=7, microseconds=-1)]
            )

    def copy(self, trades: Trades) -> None:
        """Insert trades that are new; UniqueViolation when one of them is not."""
        self.copy_encoded(encode_trades(trades, self.origin))

    def copy_encoded(self, stream: bytes) -> None:
        """Insert an encoded COPY stream of trades that are new; UniqueViolation when one of them is not."""
        with self.connection.cursor() as cursor, cursor.copy(COPY_TRADES) as copy:
            copy.write(stream)

    def copy_all(self, streams: Iterable[bytes]) -> bool:
        """Insert encoded COPY streams, all of them, or none and return False when one of their trades is stored."""
        try:
            with self.connection.transaction():
                for stream in streams:
                    self.copy_encoded(stream)
        except errors.UniqueViolation:
            return False
        return True

    def any_within(self, spans: Mapping[str, tuple[datetime, datetime]]) -> bool:
        """Whether any symbol has a stored trade in its own range [start, stop)."""
        starts, stops = zip(*spans.values(), strict=True)
        found = self.connection.execute(
            query("any_trade_within"), {"symbols": list(spans), "starts": list(starts), "stops": list(stops)}
        ).fetchone()
        return bool(found and found[0])

    def merge(self, trades: Trades, known: Trades) -> Meeting:
        """Insert those trades that the table does not have yet, behind those it has.

        `known` are trades of the same stamps that this process stored earlier, so that a repeated price within one
        stamp is told from a repeated delivery. Volumes around the inserted trades are computed anew. Runs in a
        transaction of its own or as a part of the caller's.
        """
        return merged(self.connection, lambda: self._merge(trades, known))

    def _merge(self, trades: Trades, known: Trades) -> Meeting:
        oldest = self.oldest(set(trades.symbol))
        self._stage(trades, known)
        return self._settle(oldest, len(trades))

    def merge_staged(self, stage: Callable[[], int]) -> Meeting:
        """Do the same with trades that `stage` copies into staged_trades; it returns how many of them are not known."""
        return merged(self.connection, lambda: self._merge_staged(stage))

    def _merge_staged(self, stage: Callable[[], int]) -> Meeting:
        self.connection.execute(query("create_staging"))
        self.connection.execute("DELETE FROM staged_trades")  # of an earlier merge in the caller's transaction
        self.connection.execute("TRUNCATE staged_trades")  # the transaction may have merged before
        count = stage()
        symbols = self.connection.execute("SELECT DISTINCT symbol FROM staged_trades").fetchall()
        return self._settle(self.oldest({symbol for (symbol,) in symbols}), count)

    def _settle(self, oldest: Mapping[str, datetime], count: int) -> Meeting:
        rows = self.connection.execute(query("insert_surplus"), {"resolution": self._resolution}).fetchall()
        inserted = [row for row in rows if row[0] is not None]
        days = [Day(*row[:6]) for row in inserted if row[5] is not None]
        days += self.replace_bars([(row[0], row[3], row[4]) for row in inserted])
        for symbol, _, _, first, *_ in inserted:
            days += self._first_day(symbol, oldest.get(symbol), first)
        self.recompute_volumes(days)
        stored = sum(row[6] for row in inserted)
        refused = tuple(position for row in rows if row[0] is None for position in row[7])
        return Meeting(stored, count - stored - len(refused), refused)

    def heal_first_days(self, earliest: dict[str, datetime], oldest: dict[str, datetime]) -> None:
        """Recompute each symbol's formerly first known day, now that trades from `earliest` on stand before it."""
        days: list[Day] = []
        for symbol, first in earliest.items():
            days += self._first_day(symbol, oldest.get(symbol), first)
        self.recompute_volumes(days)

    def _first_day(self, symbol: str, oldest: datetime | None, inserted: datetime) -> list[Day]:
        """Name the day whose first running total stops being unknown because older trades came before it."""
        if oldest is None:
            return []
        start, end = trading_day(oldest, self.zone_of(symbol))
        return [Day(symbol, start, end, start, end, float("inf"))] if inserted < start else []

    def replace_bars(self, spans: Sequence[tuple[str, datetime, datetime]]) -> list[Day]:
        """Remove the bars of minutes that other ticks cover by now; return the days whose volumes are to be recomputed.

        Looked at are the minutes of (symbol, first, last).
        """
        days = []
        for symbol, time, total in remove_covered_bars(self.connection, spans):
            start, end = trading_day(time, self.zone_of(symbol))
            days.append(Day(symbol, start, end, time, time, 0.0 if total is None else total))
        return days

    def recompute_volumes(self, days: Iterable[Day]) -> None:
        """Recompute each day once, as widely as its mentions together."""
        distinct: dict[tuple[str, datetime], Day] = {}
        for day in days:
            known = distinct.get((day.symbol, day.start), day)
            distinct[day.symbol, day.start] = day._replace(
                first=min(known.first, day.first), last=max(known.last, day.last), top=max(known.top, day.top)
            )
        if distinct:
            names = ("symbols", "day_starts", "day_ends", "firsts", "lasts", "tops")
            columns = (list(column) for column in zip(*distinct.values(), strict=True))
            self.connection.execute(query("recompute_volumes"), dict(zip(names, columns, strict=True)))

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
        stamp = moment_of(trades.stamp_us[index])
        symbol = trades.symbol[index]
        return [
            index - offset if is_known else index,
            is_known,
            stamp,
            symbol,
            trades.price[index],
            trades.day_volume[index],
            trades.volume[index] if trades.day_volume[index] is None else None,
            trades.bid[index],
            trades.ask[index],
            moment_of(trades.received_us[index]),
            self.origin,
            *trading_day(stamp, self.zone_of(symbol)),
        ]

    def positions(self, symbols: Sequence[str]) -> dict[str, Position]:
        """Return where each of the symbols stands; symbols without trades are left out."""
        rows = self.connection.execute(
            query("last_positions"), {"symbols": list(symbols), "resolution": self._resolution}
        ).fetchall()
        return {
            symbol: Position(microseconds_of(stamp), count, price, day_volume, self._highest(symbol, stamp))
            for symbol, stamp, price, day_volume, count in rows
        }

    def _highest(self, symbol: str, stamp: datetime) -> float | None:
        start, end = trading_day(stamp, self.zone_of(symbol))
        found = self.connection.execute(
            query("highest_day_volume"), {"symbol": symbol, "day_start": start, "day_end": end}
        ).fetchone()
        return found[0] if found else None

    def prices_around(self, symbol: str, stamp_us: int) -> list[float]:
        """Return the stored prices above 0 next to a stamp: the last one before it and the first one after it."""
        parameters = {"symbol": symbol, "event_time": moment_of(stamp_us), "resolution": self._resolution}
        return [price for (price,) in self.connection.execute(query("prices_around"), parameters).fetchall()]

    @property
    def crowded(self) -> str:
        """Why a trade is refused that comes after as many of its stamp as there are ordinals."""
        return f"{self.resolution_us:,} ticks of its symbol share its stamp already"

    @property
    def _resolution(self) -> timedelta:
        return timedelta(microseconds=self.resolution_us)
