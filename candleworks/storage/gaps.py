"""Closed gaps to be filled, the results of filling them, and trading days whose bars are checked again."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Literal, NamedTuple

from candleworks.database.connection import Connection
from candleworks.database.locks import Lock, try_locked
from candleworks.database.queries import query
from candleworks.model.bars import Spans
from candleworks.model.trades import microseconds_of, moment_of
from candleworks.storage.trades import Day

FillOutcome = Literal["filled", "market_closed", "empty", "failed"]


class Gap(NamedTuple):
    """A closed gap of a feed; with a symbol of None it concerns all symbols of the feed."""

    id: int
    feed: str
    symbol: str | None
    started_at: datetime
    ended_at: datetime
    reason: str


class FillRecord(NamedTuple):
    """The result of filling one symbol of a gap. Bars before `fetched_until` need not be fetched again."""

    gap_id: int
    symbol: str
    outcome: FillOutcome
    bars: int
    fetched_until: datetime | None
    reason: str | None = None


class StreamedSymbol(NamedTuple):
    """A symbol that a feed streams, or streamed until `removed_at`."""

    symbol: str
    removed_at: datetime | None


class Followup(NamedTuple):
    """A trading day with bars from `first` to `last`; `settled` when no later ticks are expected."""

    symbol: str
    day_start: datetime
    day_end: datetime
    first: datetime
    last: datetime
    top: float | None
    settled: bool


def unfilled_gaps(connection: Connection, feed: str | None, symbol: str | None, since: datetime | None) -> list[Gap]:
    """Return the closed gaps that are not filled, oldest first, without those that ended before `since`."""
    rows = connection.execute(query("unfilled_gaps"), {"feed": feed, "symbol": symbol, "since": since}).fetchall()
    return [Gap(*row) for row in rows]


def streamed_symbols(connection: Connection) -> dict[str, list[StreamedSymbol]]:
    """Return the symbols that each feed streams or streamed."""
    streamed: dict[str, list[StreamedSymbol]] = {}
    for feed, *row in connection.execute(query("streamed_symbols")).fetchall():
        streamed.setdefault(feed, []).append(StreamedSymbol(*row))
    return streamed


def fill_records(connection: Connection, gaps: Sequence[Gap]) -> dict[tuple[int, str], FillRecord]:
    """Return the results of filling these gaps, by gap id and symbol."""
    rows = connection.execute(query("fill_records"), {"gaps": [gap.id for gap in gaps]}).fetchall()
    records = [FillRecord(*row) for row in rows]
    return {(record.gap_id, record.symbol): record for record in records}


def save_fill_record(connection: Connection, record: FillRecord, at: datetime) -> None:
    connection.execute(query("save_fill_record"), record._asdict() | {"at": at})


def mark_filled(connection: Connection, gap: Gap, symbols: Sequence[str], at: datetime) -> bool:
    """Mark a gap as filled unless one of its symbols is missing or failed; return whether it was marked."""
    parameters = {"id": gap.id, "symbols": list(symbols), "at": at}
    return bool(connection.execute(query("mark_filled"), parameters).rowcount)


def locked_symbol(connection: Connection, symbol: str) -> AbstractContextManager[bool]:
    """Lock a symbol's gaps for filling; yields False while another session fills them."""
    return try_locked(connection, Lock.FILL_GAPS, symbol)


def fillable_spans(connection: Connection, symbol: str, start: datetime, stop: datetime) -> Spans:
    """Return the parts of [start, stop) that are in the symbol's sessions and within the retention of ticks."""
    parameters = {"symbol": symbol, "start": start, "stop": stop}
    return _spans(connection.execute(query("fillable_spans"), parameters).fetchall())


def market_was_closed(connection: Connection, symbol: str, start: datetime, stop: datetime) -> bool:
    """Return whether [start, stop) is outside of the symbol's sessions."""
    row = connection.execute(query("market_was_closed"), {"symbol": symbol, "start": start, "stop": stop}).fetchone()
    return bool(row and row[0])


def gap_spans(connection: Connection, symbol: str, feeds: Sequence[str], start_us: int, stop_us: int) -> Spans:
    """Return the closed gaps of a symbol on these feeds that touch [start, stop), filled or not.

    There are ticks at the bounds of a gap, so these are excluded.
    """
    parameters = {
        "symbol": symbol,
        "feeds": list(feeds),
        "start": moment_of(start_us),
        "stop": moment_of(stop_us),
    }
    spans = _spans(connection.execute(query("gap_spans"), parameters).fetchall())
    return [(start + 1, stop) for start, stop in spans]


def follow_up(connection: Connection, day: Day) -> None:
    """Schedule another check of a day with new bars."""
    connection.execute(
        query("follow_up"),
        {
            "symbol": day.symbol,
            "day_start": day.start,
            "day_end": day.end,
            "first": day.first,
            "last": day.last,
            "top": day.top,
        },
    )


def read_followups(connection: Connection, now: datetime) -> list[Followup]:
    """Return the days to check again, locked until the end of the transaction, without those locked by others."""
    return [Followup(*row) for row in connection.execute(query("followups"), {"now": now}).fetchall()]


def settle_followup(connection: Connection, found: Followup) -> None:
    connection.execute(query("settle_followup"), {"symbol": found.symbol, "day_start": found.day_start})


def _spans(rows: Sequence[tuple[datetime, datetime]]) -> list[tuple[int, int]]:
    return [(microseconds_of(start), microseconds_of(stop)) for start, stop in rows]
