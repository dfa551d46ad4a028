"""Queries of the watch list: the newest price of every symbol, its previous close, and when markets are open."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg.rows import args_row

from candleworks.database.connection import Connection
from candleworks.database.queries import query


class NewestPrice(NamedTuple):
    """The newest tick of a symbol, or its newest daily candle; `traded`: of its trades, else a bid."""

    symbol: str
    time: datetime
    price: float
    traded: bool


class SymbolFacts(NamedTuple):
    """What is known of a symbol; None for what is not.

    `day_end` is when its previous trading day ended. `stopped_at` and `stop_reason` are None unless a person has
    stopped every feed that streams it.
    """

    symbol: str
    name: str | None
    exchange: str | None
    type: str | None
    calendar: str | None
    day_end: datetime | None
    stopped_at: datetime | None
    stop_reason: str | None


class MarketHours(NamedTuple):
    """A calendar: its zone, whether it is open, and its last close, next open and next close within ten days."""

    calendar: str
    zone: str
    open: bool
    closed_at: datetime | None
    opens_at: datetime | None
    closes_at: datetime | None


def newest_ticks(connection: Connection, since: datetime) -> list[NewestPrice]:
    """Return the newest trade and the newest quote since a time of every symbol that has one."""
    return _prices(connection, "newest_ticks", since=since)


def newest_candles(connection: Connection, before: datetime) -> list[NewestPrice]:
    """Return the newest daily candle of trades and of quotes before a time of every symbol that has one."""
    return _prices(connection, "newest_candles", before=before)


def arrived_ticks(connection: Connection, arrived: datetime, since: datetime) -> list[NewestPrice]:
    """Return the newest tick of each symbol, of those that arrived since `arrived` with an event time since `since`."""
    return _prices(connection, "arrived_ticks", arrived=arrived, since=since)


def symbol_facts(connection: Connection, times: dict[str, datetime]) -> list[SymbolFacts]:
    """Return what is known of symbols, each at the time of its newest tick."""
    parameters = {"symbols": list(times), "times": list(times.values())}
    with connection.cursor(row_factory=args_row(SymbolFacts), binary=True) as cursor:
        return cursor.execute(query("symbol_facts"), parameters).fetchall()


def previous_closes(
    connection: Connection, symbols: Sequence[str], day_end: datetime, *, traded: bool
) -> dict[str, float]:
    """Return the last trade, or bid, of symbols before a trading day ended; without those that have none in a week."""
    parameters = {"symbols": list(symbols), "day_end": day_end}
    return dict(connection.execute(query("previous_closes" if traded else "previous_bids"), parameters).fetchall())


def market_hours(connection: Connection) -> list[MarketHours]:
    """Return the hours of every stored calendar around now."""
    with connection.cursor(row_factory=args_row(MarketHours)) as cursor:
        return cursor.execute(query("market_hours")).fetchall()


def _prices(connection: Connection, name: str, **parameters: datetime) -> list[NewestPrice]:
    with connection.cursor(row_factory=args_row(NewestPrice), binary=True) as cursor:
        return cursor.execute(query(name), parameters).fetchall()
