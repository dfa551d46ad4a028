"""Queries of the chart page and the candle feeds: symbols, candles in a window, gaps."""

from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import args_row, scalar_row

from candleworks.database.connection import Connection
from candleworks.database.queries import query


class Candle(NamedTuple):
    """`volume` is None where no tick of the bucket had one; `rebuilt` candles contain ticks made from vendor bars.

    `closed`: the bucket is over, and no tick of it is known to be missing. `volume_from` says what the volume follows
    from: `sizes` of trades, or, at least in part, the running total `day_volume`; None without a volume.
    """

    bucket: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    ticks: int
    rebuilt: bool
    closed: bool
    volume_from: str | None


class CandleSeries(NamedTuple):
    """Candles of one symbol and price side; `period` is an interval such as `300 seconds`.

    Days and longer periods begin at midnight of `zone`; None is UTC.
    """

    symbol: str
    period: str
    price: str
    zone: str | None = None


class SymbolGap(NamedTuple):
    """A gap of a feed; `symbol` is None where it affects all symbols of the feed, `ended_at` while it is open.

    `outcome` is the outcome of filling it for the requested symbol: filled, market_closed, empty (the vendor has no
    bars) or failed; None while it was not tried.
    """

    feed: str
    symbol: str | None
    started_at: datetime
    ended_at: datetime | None
    reason: str
    filled_at: datetime | None
    outcome: str | None


class StoredSymbol(NamedTuple):
    """A symbol with candles; what `company` does not know is None.

    `stopped_at` and `stop_reason` are None unless a person has stopped every feed that streams it.
    """

    symbol: str
    name: str | None
    exchange: str | None
    type: str | None
    traded: bool
    quoted: bool
    last_tick: datetime
    stopped_at: datetime | None
    stop_reason: str | None


def charted_symbols(connection: Connection) -> list[StoredSymbol]:
    """Return every symbol that has candles, sorted."""
    with connection.cursor(row_factory=args_row(StoredSymbol)) as cursor:
        return cursor.execute(query("charted_symbols")).fetchall()


def has_trades_and_quotes(connection: Connection, symbol: str) -> tuple[bool, bool]:
    """Whether the symbol has candles of trades, and of quotes."""
    row = connection.execute(query("has_trades_and_quotes"), {"symbol": symbol}).fetchone()
    return (bool(row[0]), bool(row[1])) if row else (False, False)


def has_company(connection: Connection, symbol: str) -> bool:
    """Whether `company` has the symbol, with or without candles."""
    return bool(_value(connection, "has_company", symbol=symbol))


def last_tick(connection: Connection, symbol: str, price: str) -> datetime | None:
    """Return the time of the newest tick of a symbol and price side."""
    time: datetime | None = _value(connection, "last_tick", symbol=symbol, price=price)
    return time


def newest_tick(connection: Connection) -> datetime | None:
    """Return the time of the newest tick of all symbols."""
    time: datetime | None = _value(connection, "newest_tick")
    return time


def candle_bounds(
    connection: Connection, series: CandleSeries, start: datetime | None, stop: datetime | None
) -> tuple[datetime | None, datetime | None]:
    """Return the start of the first bucket and the end of the last one in [start, stop); None: there are no candles."""
    parameters = {**series._asdict(), "start": start, "stop": stop}
    return connection.execute(query("candle_bounds"), parameters).fetchone() or (None, None)


def buckets_before(
    connection: Connection, series: CandleSeries, first: datetime, stop: datetime, buckets: int
) -> datetime:
    """Return the start of so many buckets before `stop`, not before `first`."""
    parameters = {**series._asdict(), "first_start": first, "stop": stop, "buckets": buckets}
    row = connection.execute(query("candles_before"), parameters).fetchone()
    return row[0] if row else first


def candles_between(connection: Connection, series: CandleSeries, start: datetime, stop: datetime) -> list[Candle]:
    """Return the candles of [start, stop), oldest first."""
    parameters = {**series._asdict(), "start": start, "stop": stop}
    with connection.cursor(row_factory=args_row(Candle), binary=True) as cursor:
        return cursor.execute(query("candles_between"), parameters).fetchall()


def volumes_before(
    connection: Connection, series: CandleSeries, start: datetime, stop: datetime | None
) -> dict[datetime, float]:
    """Return how much of the volume of candles of trades in [start, stop) was traded before their first trade.

    It was traded in a gap of the feed that is not filled; candles without such volume are left out.
    """
    parameters = {**series._asdict(), "start": start, "stop": stop}
    return dict(connection.execute(query("volumes_before"), parameters).fetchall())


def gaps_of_symbol(
    connection: Connection, symbol: str, start: datetime | None, stop: datetime | None, limit: int
) -> list[SymbolGap]:
    """Return the newest `limit` gaps that overlap [start, stop) and affect the symbol, newest first.

    Gaps that began at the same time as the oldest are returned too, so there may be more than the limit.
    """
    parameters = {"symbol": symbol, "start": start, "stop": stop, "most": limit}
    with connection.cursor(row_factory=args_row(SymbolGap)) as cursor:
        return cursor.execute(query("gaps_of_symbol"), parameters).fetchall()


def _value(connection: Connection, name: str, **parameters: object) -> Any:
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query(name), parameters).fetchone()
