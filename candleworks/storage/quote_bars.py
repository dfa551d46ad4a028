"""Bars of bid and ask: those that wait for their other side, and the quotes that stand for whole ones."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from candleworks.database.connection import Connection
from candleworks.database.queries import query
from candleworks.model.trades import microseconds_of, moment_of

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
    """One of the quotes that stand for a bar."""

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
    """Keep sides of bars, COLUMNS or those of one side; return the beginnings of the bars to which they added one."""
    missing = [None] * len(starts_us)
    values = {name: list(columns.get(name, missing)) for name in COLUMNS}
    parameters = {"symbol": symbol, "width": timedelta(microseconds=interval_us), "starts": _moments(starts_us)}
    rows = connection.execute(query("keep_quote_bars"), {**parameters, **values, "received_at": received_at}).fetchall()
    return {microseconds_of(start) for (start,) in rows}


def taken_quote_intervals(connection: Connection, symbol: str, span: tuple[int, int], interval_us: int) -> set[int]:
    """Return which intervals of [start, stop) hold quotes, or bars as short as these or shorter."""
    bounds = {"start": moment_of(span[0]), "stop": moment_of(span[1]), "width": timedelta(microseconds=interval_us)}
    rows = connection.execute(query("taken_quote_intervals"), {"symbol": symbol, **bounds}).fetchall()
    return {microseconds_of(start) for (start,) in rows}


def whole_quote_bars(connection: Connection, symbol: str, starts_us: Sequence[int], interval_us: int) -> list[QuoteBar]:
    """Return those bars, in order, that have both sides and are not stored as quotes."""
    parameters = {"symbol": symbol, "width": timedelta(microseconds=interval_us), "starts": _moments(starts_us)}
    rows = connection.execute(query("whole_quote_bars"), parameters).fetchall()
    return [QuoteBar(microseconds_of(start), *prices) for start, *prices in rows]


def insert_bar_quotes(
    connection: Connection,
    symbol: str,
    quotes: Sequence[BarQuote],
    starts_us: Sequence[int],
    interval_us: int,
    received_at: datetime,
) -> None:
    """Store the quotes of bars, and that they are stored."""
    connection.execute(
        query("insert_bar_quotes"),
        {
            "symbol": symbol,
            "times": _moments([quote.time_us for quote in quotes]),
            "bids": [quote.bid for quote in quotes],
            "asks": [quote.ask for quote in quotes],
            "bid_volumes": [quote.bid_volume for quote in quotes],
            "ask_volumes": [quote.ask_volume for quote in quotes],
            "received_at": received_at,
        },
    )
    parameters = {"symbol": symbol, "width": timedelta(microseconds=interval_us), "starts": _moments(starts_us)}
    connection.execute(query("mark_quote_bars"), parameters)


def remove_quote_bars(
    connection: Connection, spans: Sequence[tuple[str, datetime, datetime]], wider_than_us: int | None = None
) -> None:
    """Remove the bars around (symbol, first, last) that hold quotes by now, or all that are wider than given."""
    if not spans:
        return
    symbols, firsts, lasts = (list(column) for column in zip(*spans, strict=True))
    wider = None if wider_than_us is None else timedelta(microseconds=wider_than_us)
    parameters = {"symbols": symbols, "firsts": firsts, "lasts": lasts, "wider_than": wider}
    for symbol, start, stop in connection.execute(query("remove_quote_bars"), parameters).fetchall():
        # Never prepared: a plan that does not know the symbol decompresses all symbols of a chunk.
        bounds = {"symbol": symbol, "start": start, "stop": stop}
        connection.execute(query("delete_quotes_of_bar"), bounds, prepare=False)


def _moments(times_us: Sequence[int]) -> list[datetime]:
    return [moment_of(us) for us in times_us]
