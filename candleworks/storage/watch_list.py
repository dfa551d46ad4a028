"""Queries of the watch list: the newest price of every symbol, its previous close, and when markets are open."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg.rows import args_row

from candleworks.database.connection import Connection
from candleworks.database.queries import query


class WatchedSymbol(NamedTuple):
    """A symbol with its newest tick; what `company` does not know is None.

    `price` is the bid of a symbol without trades. `calendar` is None where no calendars are stored, and `day_end`, the
    end of its previous trading day, where no earlier session is known. `stopped_at` and `stop_reason` are None unless a
    person has stopped every feed that streams it.
    """

    symbol: str
    name: str | None
    exchange: str | None
    type: str | None
    traded: bool
    quoted: bool
    calendar: str | None
    time: datetime
    price: float
    day_end: datetime | None
    stopped_at: datetime | None
    stop_reason: str | None


class ArrivedPrice(NamedTuple):
    """The newest tick of a symbol among those that arrived lately; `traded`: it is a trade, else a bid."""

    symbol: str
    time: datetime
    price: float
    traded: bool


class MarketHours(NamedTuple):
    """A calendar: its zone, whether it is open, and its last close, next open and next close within ten days."""

    calendar: str
    zone: str
    open: bool
    closed_at: datetime | None
    opens_at: datetime | None
    closes_at: datetime | None


def watched_symbols(connection: Connection, since: datetime | None) -> list[WatchedSymbol]:
    """Return every symbol that has a candle since a time, sorted; None: of all times."""
    with connection.cursor(row_factory=args_row(WatchedSymbol), binary=True) as cursor:
        return cursor.execute(query("watched_symbols"), {"since": since}).fetchall()


def arrived_prices(connection: Connection, arrived: datetime, start: datetime) -> list[ArrivedPrice]:
    """Return the newest of the ticks that arrived since `arrived` and have an event time since `start`, by symbol."""
    with connection.cursor(row_factory=args_row(ArrivedPrice), binary=True) as cursor:
        return cursor.execute(query("arrived_prices"), {"arrived": arrived, "from": start}).fetchall()


def previous_closes(connection: Connection, symbols: Sequence[str], day_end: datetime) -> dict[str, float | None]:
    """Return the last price of symbols before a trading day ended; None where there is none within 30 days."""
    parameters = {"symbols": list(symbols), "day_end": day_end}
    return dict(connection.execute(query("previous_closes"), parameters).fetchall())


def market_hours(connection: Connection) -> list[MarketHours]:
    """Return the hours of every stored calendar around now."""
    with connection.cursor(row_factory=args_row(MarketHours)) as cursor:
        return cursor.execute(query("market_hours")).fetchall()
