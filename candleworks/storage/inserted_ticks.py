"""Says in the log of the stream where ticks were inserted, in place of the triggers, which would look at each of them.

docs/decisions/0059-stream.md says who reads the log.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from candleworks.database.connection import Connection
from candleworks.database.queries import query
from candleworks.model.quotes import Quotes
from candleworks.model.trades import Trades, moment_of

TRADE, QUOTE = "trade", "quote"


class Inserted(NamedTuple):
    """Where the ticks of one symbol are that were inserted, and when they were received."""

    symbol: str
    first: datetime
    last: datetime
    ticks: int
    received_first: datetime
    received_last: datetime


def inserted_ticks(ticks: Trades | Quotes) -> list[Inserted]:
    """Return where ticks are."""
    times: dict[str, list[int]] = {}
    received: dict[str, list[int]] = {}
    columns = (ticks.symbol, ticks.event_us, ticks.ordinal, ticks.received_us)
    for symbol, event_us, ordinal, received_us in zip(*columns, strict=True):
        times.setdefault(symbol, []).append(event_us + ordinal)
        received.setdefault(symbol, []).append(received_us)
    return [
        Inserted(symbol, *_bounds(its), len(its), *_bounds(received[symbol])) for symbol, its in sorted(times.items())
    ]


def combined(parts: Iterable[Inserted]) -> list[Inserted]:
    """Return one part per symbol."""
    whole: dict[str, Inserted] = {}
    for part in parts:
        other = whole.get(part.symbol, part)
        whole[part.symbol] = Inserted(
            part.symbol,
            min(part.first, other.first),
            max(part.last, other.last),
            part.ticks + (0 if other is part else other.ticks),
            min(part.received_first, other.received_first),
            max(part.received_last, other.received_last),
        )
    return list(whole.values())


def begin_inserts(connection: Connection) -> None:
    """Let the triggers rest until log_inserts() or log_ranges(), or the end of the transaction."""
    connection.execute(query("begin_inserts"))


def log_inserts(connection: Connection, family: str, parts: Iterable[Inserted]) -> None:
    """Log ticks that were inserted since begin_inserts(), so that streams send them."""
    parts = list(parts)
    _log(
        connection,
        family,
        [part.symbol for part in parts],
        [part.first for part in parts],
        [part.last for part in parts],
        [part.ticks for part in parts],
        min((part.received_first for part in parts), default=None),
        max((part.received_last for part in parts), default=None),
    )


def log_ranges(
    connection: Connection, family: str, spans: Mapping[str, tuple[datetime, datetime]], resolution_us: int
) -> None:
    """Log where many ticks were inserted since begin_inserts(), from each symbol's first to its last event time."""
    behind = timedelta(microseconds=resolution_us - 1)
    _log(
        connection,
        family,
        list(spans),
        [first for first, _ in spans.values()],
        [last + behind for _, last in spans.values()],
        None,
        None,
        None,
    )


def log_moments(connection: Connection, family: str, symbol: str, moments: Sequence[datetime]) -> None:
    """Log the range of ticks of one symbol that were inserted since begin_inserts()."""
    log_ranges(connection, family, {symbol: (min(moments), max(moments))} if moments else {}, 1)


def _log(connection: Connection, *values: object) -> None:
    names = ("family", "symbols", "firsts", "lasts", "counts", "received_first", "received_last")
    connection.execute(query("log_inserts"), dict(zip(names, values, strict=True)))


def _bounds(times_us: list[int]) -> tuple[datetime, datetime]:
    return moment_of(min(times_us)), moment_of(max(times_us))
