"""The rules of identity and volume, whatever comes in whatever order, as they end up in the table."""

import json
import threading
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import uuid4
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candleworks.database.connection import Connection
from candleworks.database.interruption import ConnectionsInUse
from candleworks.feed.batcher import Batch
from candleworks.feed.spool_file import QueueEntry
from candleworks.feed.subscriptions import Subscriptions
from candleworks.feed.unrecorded import UnrecordedFile
from candleworks.feed.writer import FeedWriter
from candleworks.model.trades import MICROSECONDS
from candleworks.settings import Ingest
from candleworks.storage.live_tables import WrittenBatch

ZONES = {"AAPL": ZoneInfo("America/New_York"), "BTC/USD": ZoneInfo("UTC")}
MIDNIGHT_UTC = int(datetime(2026, 3, 3, tzinfo=UTC).timestamp())
MIDNIGHT_NEW_YORK = MIDNIGHT_UTC + 5 * 3600
RECEIVED_US = (MIDNIGHT_UTC + 20 * 86_400) * MICROSECONDS
EVENT_TIMES = [MIDNIGHT_UTC - 1, MIDNIGHT_UTC, MIDNIGHT_UTC + 1, MIDNIGHT_NEW_YORK - 1, MIDNIGHT_NEW_YORK]
BROKEN = (b"", b'{"event":"price"', b'{"event":"news"}')
FIRST_OF_1990 = 631_152_000
CONNECT, RESTART = "connect", "restart"
Sides = tuple[float | None, float | None]
BOTH: list[Sides] = [(1.0, 1.5), (1.0, 2.0), (1.5, 1.5)]
ONE: list[Sides] = [(None, None), (1.0, None), (None, 1.5)]
BAD: list[Sides] = [(2.0, 1.5), (0.0, 1.5), (1.0, -1.0), (None, 0.0), (1e200, None)]


class Row(NamedTuple):
    symbol: str
    us: int
    price: float
    day_volume: float | None
    volume: float | None

    @property
    def event_time(self) -> int:
        return self.us // MICROSECONDS

    @property
    def date(self) -> object:
        return datetime.fromtimestamp(self.event_time, ZONES[self.symbol]).date()


class Quote(NamedTuple):
    symbol: str
    us: int
    bid: float
    ask: float

    @property
    def event_time(self) -> int:
        return self.us // MICROSECONDS


def frame(symbol: str, event_time: int, price: float, day_volume: float | None, sides: Sides = (None, None)) -> bytes:
    event = {"event": "price", "symbol": symbol, "timestamp": event_time, "price": price, "day_volume": day_volume}
    return json.dumps({**event, "bid": sides[0], "ask": sides[1]}).encode()


ticks = st.builds(
    frame,
    st.sampled_from([*ZONES, "TSLA"]),
    st.sampled_from(EVENT_TIMES),
    st.sampled_from([1.0, 2.0]),
    st.none() | st.sampled_from([0.0, 5.0, 10.0, 20.0]),
    st.sampled_from([*BOTH, *BOTH, *ONE, *BAD]),
)
absurd = st.builds(
    frame,
    st.sampled_from([*ZONES]),
    st.sampled_from([*EVENT_TIMES, FIRST_OF_1990]),
    st.sampled_from([1e29, 1e-29]),
    st.none(),
)
frames = st.one_of(ticks, ticks, ticks, st.sampled_from(BROKEN))
batches = st.lists(st.lists(frames, min_size=1, max_size=8), min_size=1, max_size=6)
troubled = st.lists(
    st.lists(st.one_of(frames, frames, absurd, st.just(CONNECT)), min_size=1, max_size=8) | st.just(RESTART),
    min_size=1,
    max_size=8,
)
AnyRow = TypeVar("AnyRow", Row, Quote)
on_the_database = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class Story:
    """Writes batches as a feed's process does, and counts what became of them."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.sent = self.entries = 0
        self.total = WrittenBatch()
        self.writer = self.started()

    def started(self) -> FeedWriter:
        self.run = uuid4()
        subscriptions = Subscriptions({name: name for name in ZONES})
        unrecorded = UnrecordedFile("test", Path("/nowhere"))  # nothing may go there
        return FeedWriter(
            self.dsn,
            "test",
            subscriptions,
            ZONES,
            Ingest(),
            unrecorded,
            give_up=threading.Event(),
            in_use=ConnectionsInUse(),
        )

    def write(self, events: list[bytes | str]) -> None:
        batch = Batch()
        for event in events:
            if isinstance(event, str):
                batch.connections.append(len(batch))
            else:
                batch.frames.append(event)
                batch.received_us.append(RECEIVED_US)
        self.sent += len(batch)
        self.entries += 1
        self.writer.write(QueueEntry(self.run, self.entries, batch))

    def restart(self) -> None:
        self.end()
        self.writer = self.started()

    def end(self) -> None:
        self.total.add(self.writer.counters.total)
        self.writer.close()


def told(dsn: str, connection: Connection, story: list[list[bytes | str] | str]) -> tuple[Story, list[Row]]:
    connection.execute("TRUNCATE stocks_real_time, quotes, rejected_ticks")
    teller = Story(dsn)
    for part in story:
        if isinstance(part, str):
            teller.restart()
        else:
            teller.write(part)
    teller.end()
    found = connection.execute(
        "SELECT symbol, (extract(epoch FROM time) * 1000000)::bigint, price, day_volume, volume"
        " FROM stocks_real_time ORDER BY symbol, time"
    ).fetchall()
    return teller, [Row(*row) for row in found]


def volumes_of(rows: list[Row]) -> list[float | None]:
    """The increase of the running maximum within the trading day, from the stored ticks alone."""
    expected: list[float | None] = []
    highest: dict[tuple[str, object], float] = {}
    first_dates: dict[str, object] = {}
    for row in rows:
        first_dates.setdefault(row.symbol, row.date)
        if row.day_volume is None:
            expected.append(None)
            continue
        day = (row.symbol, row.date)
        before = highest.get(day, None if row.date == first_dates[row.symbol] else 0.0)
        expected.append(None if before is None else max(row.day_volume - before, 0.0))
        highest[day] = max(before or 0.0, row.day_volume)
    return expected


def quotes_in(connection: Connection) -> list[Quote]:
    found = connection.execute(
        "SELECT symbol, (extract(epoch FROM time) * 1000000)::bigint, bid, ask FROM quotes ORDER BY symbol, time"
    ).fetchall()
    return [Quote(*row) for row in found]


def by_second(rows: list[AnyRow]) -> dict[tuple[str, int], list[AnyRow]]:
    seconds: dict[tuple[str, int], list[AnyRow]] = defaultdict(list)
    for row in rows:
        seconds[row.symbol, row.event_time].append(row)
    return seconds


@given(story=batches)
@on_the_database
def test_every_tick_is_stored_in_the_order_of_its_arrival(
    dsn: str, connection: Connection, story: list[list[bytes]]
) -> None:
    """Without reconnects and restarts nothing is a duplicate: each accepted tick has its row, however late it is.

    One with an acceptable bid and ask has its quote.
    """
    _, rows = told(dsn, connection, story)
    arrived: dict[tuple[str, int], list[tuple[float, float | None]]] = defaultdict(list)
    for text in (text for batch in story for text in batch if text not in BROKEN):
        event = json.loads(text)
        if event["symbol"] in ZONES:
            arrived[event["symbol"], event["timestamp"]].append((event["price"], event["day_volume"]))
    assert {key: [(row.price, row.day_volume) for row in rows] for key, rows in by_second(rows).items()} == arrived
    quoted: dict[tuple[str, int], list[Sides]] = defaultdict(list)
    for text in (text for batch in story for text in batch if text not in BROKEN):
        event = json.loads(text)
        if event["symbol"] in ZONES and (event["bid"], event["ask"]) in BOTH:
            quoted[event["symbol"], event["timestamp"]].append((event["bid"], event["ask"]))
    found = by_second(quotes_in(connection))
    assert {key: [(row.bid, row.ask) for row in rows] for key, rows in found.items()} == quoted


@given(story=troubled)
@on_the_database
def test_the_table_keeps_its_rules_through_reconnects_and_restarts(
    dsn: str, connection: Connection, story: list[list[bytes | str] | str]
) -> None:
    """Ordinals are dense, volumes are those of the stored ticks, and every frame is accounted for, absurd ones too.

    So is the quote of every tick that is not rejected.
    """
    teller, rows = told(dsn, connection, story)
    for second in by_second(rows).values():
        assert [row.us % MICROSECONDS for row in second] == list(range(len(second)))
    assert [row.volume for row in rows] == volumes_of(rows)
    trades, quotes = teller.total.trades, teller.total.quotes
    assert len(rows) == trades.stored
    assert trades.stored + trades.duplicates + trades.rejected == teller.sent
    assert connection.execute("SELECT count(*) FROM rejected_ticks").fetchone() == (trades.rejected + quotes.rejected,)
    found = quotes_in(connection)
    for quoted in by_second(found).values():
        assert [quote.us % MICROSECONDS for quote in quoted] == list(range(len(quoted)))
    assert len(found) == quotes.stored
    assert quotes.duplicates <= trades.duplicates
    assert {(quote.bid, quote.ask) for quote in found} <= set(BOTH)
