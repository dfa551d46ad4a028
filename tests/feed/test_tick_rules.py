"""The rules of identity and volume, whatever comes in whatever order, as they end up in the table."""

import json
import threading
from collections import defaultdict
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candleworks.database.connection import Connection
from candleworks.feed.batcher import Batch
from candleworks.feed.spool_file import QueueEntry
from candleworks.feed.subscriptions import Subscriptions
from candleworks.feed.writer import FeedWriter
from candleworks.model.trades import MICROSECONDS
from candleworks.settings import Ingest

ZONES = {"AAPL": ZoneInfo("America/New_York"), "BTC/USD": ZoneInfo("UTC")}
MIDNIGHT_UTC = int(datetime(2026, 3, 3, tzinfo=UTC).timestamp())
MIDNIGHT_NEW_YORK = MIDNIGHT_UTC + 5 * 3600
RECEIVED_US = (MIDNIGHT_UTC + 20 * 86_400) * MICROSECONDS
EVENT_TIMES = [MIDNIGHT_UTC - 1, MIDNIGHT_UTC, MIDNIGHT_UTC + 1, MIDNIGHT_NEW_YORK - 1, MIDNIGHT_NEW_YORK]
BROKEN = (b"", b'{"event":"price"', b'{"event":"news"}')
FIRST_OF_1990 = 631_152_000
CONNECT, RESTART = "connect", "restart"


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


def frame(symbol: str, event_time: int, price: float, day_volume: float | None) -> bytes:
    event = {"event": "price", "symbol": symbol, "timestamp": event_time, "price": price, "day_volume": day_volume}
    return json.dumps(event).encode()


ticks = st.builds(
    frame,
    st.sampled_from([*ZONES, "TSLA"]),
    st.sampled_from(EVENT_TIMES),
    st.sampled_from([1.0, 2.0]),
    st.none() | st.sampled_from([0.0, 5.0, 10.0, 20.0]),
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
on_the_database = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class Story:
    """Writes batches as a feed's process does, and counts what became of them."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.sent = self.entries = 0
        self.stored = self.duplicates = self.rejected = 0
        self.writer = self.started()

    def started(self) -> FeedWriter:
        self.run = uuid4()
        subscriptions = Subscriptions({name: name for name in ZONES})
        return FeedWriter(self.dsn, "test", subscriptions, ZONES, Ingest(), give_up=threading.Event())

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
        total = self.writer.counters.total
        self.stored += total.stored
        self.duplicates += total.duplicates
        self.rejected += total.rejected
        self.writer.close()


def told(dsn: str, connection: Connection, story: list[list[bytes | str] | str]) -> tuple[Story, list[Row]]:
    connection.execute("TRUNCATE stocks_real_time, rejected_ticks")
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


def by_second(rows: list[Row]) -> dict[tuple[str, int], list[Row]]:
    seconds: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        seconds[row.symbol, row.event_time].append(row)
    return seconds


@given(story=batches)
@on_the_database
def test_every_tick_is_stored_in_the_order_of_its_arrival(
    dsn: str, connection: Connection, story: list[list[bytes]]
) -> None:
    """Without reconnects and restarts nothing is a duplicate: each accepted tick has its row, however late it is."""
    _, rows = told(dsn, connection, story)
    arrived: dict[tuple[str, int], list[tuple[float, float | None]]] = defaultdict(list)
    for text in (text for batch in story for text in batch if text not in BROKEN):
        event = json.loads(text)
        if event["symbol"] in ZONES:
            arrived[event["symbol"], event["timestamp"]].append((event["price"], event["day_volume"]))
    assert {key: [(row.price, row.day_volume) for row in rows] for key, rows in by_second(rows).items()} == arrived


@given(story=troubled)
@on_the_database
def test_the_table_keeps_its_rules_through_reconnects_and_restarts(
    dsn: str, connection: Connection, story: list[list[bytes | str] | str]
) -> None:
    """Ordinals are dense, volumes are those of the stored ticks, and every frame is accounted for, absurd ones too."""
    teller, rows = told(dsn, connection, story)
    for second in by_second(rows).values():
        assert [row.us % MICROSECONDS for row in second] == list(range(len(second)))
    assert [row.volume for row in rows] == volumes_of(rows)
    assert len(rows) == teller.stored
    assert teller.stored + teller.duplicates + teller.rejected == teller.sent
    assert connection.execute("SELECT count(*) FROM rejected_ticks").fetchone() == (teller.rejected,)
