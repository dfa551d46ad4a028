"""Stores quotes: by COPY, by a merge of multisets, and as the ticks of bars of bid and ask."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg import errors

from candleworks.database.connection import Connection
from candleworks.database.copy import COPY_QUOTES
from candleworks.database.queries import query
from candleworks.model.trades import microseconds_of, moment_of
from candleworks.storage.inserted_ticks import QUOTE, Inserted, begin_inserts, log_inserts, log_moments, log_ranges
from candleworks.storage.trades import WEEK_US, MergeResult, insert_staged, merged, staged_extents

SIDES = ("bid", "ask")
COLUMNS = tuple(f"{side}_{name}" for side in SIDES for name in ("open", "high", "low", "close", "volume"))


class QuoteBar(NamedTuple):
    """A bar with both sides; volumes may be unknown."""

    start_us: int
    bid_open: float
    bid_high: float
    bid_low: float
    bid_close: float
    bid_volume: float | None
    ask_open: float
    ask_high: float
    ask_low: float
    ask_close: float
    ask_volume: float | None

    @property
    def is_crossed(self) -> bool:
        """Whether an ask is below its bid."""
        bids = (self.bid_open, self.bid_high, self.bid_low, self.bid_close)
        asks = (self.ask_open, self.ask_high, self.ask_low, self.ask_close)
        return any(ask < bid for bid, ask in zip(bids, asks, strict=True))


class BarQuote(NamedTuple):
    """One of the quotes that represent a bar."""

    time_us: int
    bid: float
    ask: float
    bid_volume: float | None = None
    ask_volume: float | None = None


def keep_quote_bars(
    connection: Connection,
    symbol: str,
    starts_us: Sequence[int],
    interval_us: int,
    columns: Mapping[str, Sequence[float | None]],
    received_at: datetime,
) -> set[int]:
    """Keep sides of bars, all COLUMNS or those of one side; return the start times of the bars that got a new side."""
    missing = [None] * len(starts_us)
    values = {name: list(columns.get(name, missing)) for name in COLUMNS}
    parameters = {"symbol": symbol, "width": timedelta(microseconds=interval_us), "starts": _times(starts_us)}
    rows = connection.execute(query("keep_quote_bars"), {**parameters, **values, "received_at": received_at}).fetchall()
    return {microseconds_of(start) for (start,) in rows}


def taken_quote_intervals(connection: Connection, symbol: str, span: tuple[int, int], interval_us: int) -> set[int]:
    """Return the intervals of [start, stop) that have quotes, or bars that are not longer."""
    bounds = {"start": moment_of(span[0]), "stop": moment_of(span[1]), "width": timedelta(microseconds=interval_us)}
    rows = connection.execute(query("taken_quote_intervals"), {"symbol": symbol, **bounds}).fetchall()
    return {microseconds_of(start) for (start,) in rows}


def complete_quote_bars(
    connection: Connection, symbol: str, starts_us: Sequence[int], interval_us: int
) -> list[QuoteBar]:
    """Return the bars, in order, that have both sides and are not stored as quotes yet."""
    parameters = {"symbol": symbol, "width": timedelta(microseconds=interval_us), "starts": _times(starts_us)}
    rows = connection.execute(query("complete_quote_bars"), parameters).fetchall()
    return [QuoteBar(microseconds_of(start), *prices) for start, *prices in rows]


def insert_bar_quotes(
    connection: Connection,
    symbol: str,
    quotes: Sequence[BarQuote],
    starts_us: Sequence[int],
    interval_us: int,
    received_at: datetime,
) -> None:
    """Store the quotes of bars, and mark the bars as stored."""
    times = _times([quote.time_us for quote in quotes])
    begin_inserts(connection)
    connection.execute(
        query("insert_bar_quotes"),
        {
            "symbol": symbol,
            "times": times,
            "bids": [quote.bid for quote in quotes],
            "asks": [quote.ask for quote in quotes],
            "bid_volumes": [quote.bid_volume for quote in quotes],
            "ask_volumes": [quote.ask_volume for quote in quotes],
            "received_at": received_at,
        },
    )
    log_moments(connection, QUOTE, symbol, times)
    parameters = {"symbol": symbol, "width": timedelta(microseconds=interval_us), "starts": _times(starts_us)}
    connection.execute(query("mark_quote_bars"), parameters)


def remove_quote_bars(
    connection: Connection, spans: Sequence[tuple[str, datetime, datetime]], wider_than_us: int | None = None
) -> None:
    """Remove the bars around (symbol, first, last) that have quotes now, or all bars that are wider than given."""
    if not spans:
        return
    symbols, firsts, lasts = (list(column) for column in zip(*spans, strict=True))
    wider = None if wider_than_us is None else timedelta(microseconds=wider_than_us)
    parameters = {"symbols": symbols, "firsts": firsts, "lasts": lasts, "wider_than": wider}
    for symbol, start, stop in connection.execute(query("remove_quote_bars"), parameters).fetchall():
        # Not prepared: a generic plan decompresses all symbols of a chunk.
        bounds = {"symbol": symbol, "start": start, "stop": stop}
        connection.execute(query("delete_quotes_of_bar"), bounds, prepare=False)


def _times(times_us: Sequence[int]) -> list[datetime]:
    return [moment_of(us) for us in times_us]


class QuotePosition(NamedTuple):
    """The newest stored quote of a symbol; `sharing` quotes share `event_us`."""

    event_us: int
    sharing: int
    bid: float
    ask: float


@dataclass(frozen=True)
class QuoteStore:
    """Writes quotes through one connection; ordinals count within `resolution_us`, that of the vendor's event times."""

    connection: Connection
    resolution_us: int

    def prepare(self, event_times_us: Sequence[int]) -> None:
        """Create partitions for quotes of these times; call it outside the transaction that writes them."""
        for week in sorted({event_time // WEEK_US for event_time in event_times_us}):
            first = moment_of(week * WEEK_US)
            self.connection.execute(
                "SELECT candleworks.prepare_quotes(%s, %s)", [first, first + timedelta(days=7, microseconds=-1)]
            )

    def within(self, spans: Mapping[str, tuple[datetime, datetime]]) -> set[str]:
        """Return the symbols that have a stored quote in their own range [start, stop)."""
        starts, stops = zip(*spans.values(), strict=True)
        found = self.connection.execute(
            query("quotes_within"), {"symbols": list(spans), "starts": list(starts), "stops": list(stops)}
        ).fetchall()
        return {symbol for (symbol,) in found}

    def copy_all(self, streams: Iterable[bytes], spans: Mapping[str, tuple[datetime, datetime]]) -> bool:
        """Insert COPY streams, all of them, or none and return False when one of their quotes is stored.

        `spans` are the first and last event time of each symbol.
        """
        try:
            with self.connection.transaction(), self.connection.cursor() as cursor:
                begin_inserts(self.connection)
                for stream in streams:
                    with cursor.copy(COPY_QUOTES) as copy:
                        copy.write(stream)
                log_ranges(self.connection, QUOTE, spans, self.resolution_us)
        except errors.UniqueViolation:
            return False
        return True

    def positions(self, symbols: Sequence[str]) -> dict[str, QuotePosition]:
        """Return the position of each symbol; symbols without quotes are left out."""
        parameters = {"symbols": list(symbols), "resolution": self._resolution}
        rows = self.connection.execute(query("last_quote_positions"), parameters).fetchall()
        return {symbol: QuotePosition(microseconds_of(event_time), *rest) for symbol, event_time, *rest in rows}

    def replace_bars(self, spans: Mapping[str, tuple[datetime, datetime]]) -> None:
        """Remove the bars around stored quotes of each symbol's range."""
        remove_quote_bars(self.connection, [(symbol, first, last) for symbol, (first, last) in spans.items()])

    def merge_staged(self, stage: Callable[[], int]) -> MergeResult:
        """Insert the quotes that are not stored yet, with ordinals after the stored ones.

        `stage` copies them into staged_quotes, together with known ones of the same event times that this process
        stored earlier, and returns how many are not known.
        """
        return merged(self.connection, lambda: self._merge_staged(stage))

    def _merge_staged(self, stage: Callable[[], int]) -> MergeResult:
        self.connection.execute(query("create_quote_staging"))
        self.connection.execute("TRUNCATE staged_quotes")  # of an earlier merge in the same transaction
        count = stage()
        extents = staged_extents(self.connection, "staged_quotes", self._resolution)
        rows = insert_staged(self.connection, "insert_surplus_quotes", extents, self._resolution)
        inserted = [Inserted(*row[:6]) for row in rows if row[0] is not None]
        log_inserts(self.connection, QUOTE, inserted)
        self.replace_bars(extents)
        stored = sum(part.ticks for part in inserted)
        rejected = tuple(position for row in rows if row[0] is None for position in row[6])
        return MergeResult(stored, count - stored - len(rejected), rejected)

    @property
    def _resolution(self) -> timedelta:
        return timedelta(microseconds=self.resolution_us)
