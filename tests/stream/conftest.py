"""Ticks that are stored in various ways, and clients that follow them."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import pytest

from candleworks import clock
from candleworks.candles.reads import Period
from candleworks.database.connection import Connection
from candleworks.storage.inserted_ticks import Inserted, begin_inserts, combined, log_inserts
from candleworks.stream import Event, Hub, SeriesKey, StreamClient, TickTopic, Wanted
from tests.web.browser import until

SECOND = Period("1s", seconds=1)
MINUTE = Period("1m", seconds=60)
PATIENCE_SECONDS = 20
Row = tuple[datetime, str, float, float | None]


class Follower:
    """A client that keeps what it gets."""

    def __init__(self, hub: Hub, wanted: Wanted) -> None:
        self.events: list[Event] = []
        self.hub = hub
        self._ready = threading.Event()
        self.client: StreamClient = hub.join(wanted, self._ready.set)

    def read(self) -> list[Event]:
        """Take what is there."""
        batches, dropped = self.client.take(self.hub.position)
        if dropped:
            self.hub.resume(self.client)
        self.events += [event for batch in batches for event in batch.events]
        return self.events

    def until(self, expected: Callable[[list[Event]], Any], what: str) -> Any:
        """Read until the events are as expected."""
        return until(lambda: expected(self.read()), PATIENCE_SECONDS, what)

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event.data for event in self.events if event.name == name]

    def names(self) -> list[str]:
        return [event.name for event in self.events]

    def candles(self, period: str = "1m") -> dict[float, dict[str, Any]]:
        """The candles as a client has them: of each bucket the one with the highest revision, from snapshots too."""
        found: dict[float, dict[str, Any]] = {}
        for event in self.events:
            for candle in candles_in(event):
                if candle["period"] != period:
                    continue
                if found.get(candle["time"], candle)["revision"] <= candle["revision"]:
                    found[candle["time"]] = candle
        return found


def candles_in(event: Event) -> list[dict[str, Any]]:
    if event.name == "candle":
        return [event.data]
    return list(event.data.get("candles", [])) if event.name == "snapshot" else []


def wanted(
    *symbols: str, periods: Iterable[Period] = (MINUTE,), ticks: bool = True, since: int | None = None
) -> Wanted:
    """All of these symbols' trades."""
    keys = tuple(SeriesKey(symbol, period, "trade") for symbol in symbols for period in periods)
    return Wanted(keys, tuple(TickTopic(symbol, "trade") for symbol in symbols) if ticks else (), since)


@pytest.fixture
def hub(dsn: str) -> Iterator[Hub]:
    with Hub(dsn) as hub:
        yield hub


Follow = Callable[..., Follower]


@pytest.fixture
def follow(hub: Hub) -> Iterator[Follow]:
    """Begin to follow: `follow("AAPL", ...)` returns when the snapshot is there."""
    with contextlib.ExitStack() as stack:

        def follow(*symbols: str, **options: Any) -> Follower:
            follower = Follower(hub, wanted(*symbols, **options))
            stack.callback(hub.leave, follower.client)
            follower.until(lambda events: events, "the beginning")
            return follower

        yield follow


def insert(connection: Connection, rows: Iterable[Row], origin: str = "twelvedata") -> None:
    """Insert trades in one statement, and log them as feeds do."""
    rows = list(rows)
    received_at = clock.now()
    with connection.transaction():
        begin_inserts(connection)
        insert_by_hand(connection, rows, origin, received_at)
        parts = [Inserted(symbol, time, time, 1, received_at, received_at) for time, symbol, *_ in rows]
        log_inserts(connection, "trade", combined(parts))


def insert_by_hand(
    connection: Connection, rows: Iterable[Row], origin: str = "twelvedata", received_at: datetime | None = None
) -> None:
    """Insert trades in one statement, as a person would."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [min(columns[0]), max(columns[0])])
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price, volume, origin, received_at)"
        " SELECT *, %s, %s FROM unnest(%s::timestamptz[], %s::text[], %s::float8[], %s::float8[])",
        [origin, received_at or clock.now(), *columns],
    )


def stored(
    connection: Connection, symbol: str, period: str = "1 minute", price: str = "trade"
) -> list[tuple[Any, ...]]:
    """The candles as SQL says: (time, open, high, low, close, volume, ticks, closed, volume_from)."""
    return connection.execute(
        "SELECT extract(epoch FROM bucket)::bigint, open, high, low, close, volume, ticks, closed, volume_from"
        " FROM ohlc(%s, %s::interval, now() - interval '6 days', now() + interval '1 day', %s) ORDER BY bucket",
        [symbol, period, price],
    ).fetchall()


def shape(candle: dict[str, Any]) -> tuple[Any, ...]:
    names = ("time", "open", "high", "low", "close", "volume", "ticks", "closed", "volume_from")
    return tuple(candle[name] for name in names)
