"""Trades by hand, and what must become of them computed a second time in Python."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from itertools import groupby
from time import sleep
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from candleworks.clock import monotonic
from candleworks.database.connection import Connection
from candleworks.model.quotes import Quotes
from candleworks.model.trades import Rejection, Trades, microseconds_of
from candleworks.storage.live_quotes import LiveQuoteStore
from candleworks.storage.live_tables import LivePart, LiveTables, Recent, Unrecorded, Written
from candleworks.storage.trades import MergeResult, TradeStore

NEW_YORK = ZoneInfo("America/New_York")
ZONES = {"AAPL": NEW_YORK, "BTC/USD": ZoneInfo("UTC")}
RECEIVED = datetime(2022, 10, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Trade(NamedTuple):
    """A trade as a source tells it: its event time without an ordinal."""

    event_time: datetime
    symbol: str
    price: float
    day_volume: float | None = None


def at(moment: str) -> datetime:
    """A UTC time such as 2022-10-19 12:00:00."""
    return datetime.fromisoformat(f"{moment}+00:00")


def trades_of(rows: Iterable[Trade]) -> Trades:
    """Columns for the write path, with ordinals and volumes left open."""
    trades = Trades()
    for row in rows:
        trades.event_us.append(microseconds_of(row.event_time))
        trades.ordinal.append(0)
        trades.symbol.append(row.symbol)
        trades.price.append(row.price)
        trades.day_volume.append(row.day_volume)
        trades.volume.append(None)
        trades.bid.append(None)
        trades.ask.append(None)
        trades.received_us.append(microseconds_of(RECEIVED))
    return trades


def unexpected(rejection: Rejection, refused: str) -> None:
    """Take a rejected tick that the database refuses to record, where it should not."""
    pytest.fail(f"{rejection} was not recorded: {refused}")


class LiveTrades:
    """The live path of a feed that has no quotes."""

    def __init__(self, store: TradeStore, feed: str = "live", unrecorded: Unrecorded = unexpected) -> None:
        self._tables = LiveTables(store, LiveQuoteStore(store.connection, store.origin), feed, Recent(), unrecorded)

    def write(self, trades: Trades, late: Trades | None = None, rejections: Iterable[Rejection] = ()) -> Written:
        part = LivePart(trades, Trades() if late is None else late, list(rejections))
        written = self._tables.write(part, LivePart(Quotes(), Quotes()))
        assert written.quotes == Written()
        return written.trades


class Book:
    """The trades of one database."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.store = TradeStore(connection, "test", ZONES.__getitem__)

    def merge(self, rows: Iterable[Trade], known: Iterable[Trade] = (), store: TradeStore | None = None) -> MergeResult:
        trades = trades_of(rows)
        (store or self.store).prepare(trades.event_us)
        return (store or self.store).merge(trades, trades_of(known))

    def rows(self) -> list[tuple[datetime, str, float, float | None, float | None]]:
        return self.connection.execute(
            "SELECT time, symbol, price, day_volume, volume FROM stocks_real_time ORDER BY symbol, time"
        ).fetchall()

    def stored(self, resolution: timedelta = SECOND) -> list[Trade]:
        """The trades as a source would tell them, in order; raises when an ordinal was left out."""
        found = []
        ordinal = 0
        for time, symbol, price, day_volume, _ in self.rows():
            event_time = time - (time - datetime(1970, 1, 1, tzinfo=UTC)) % resolution
            ordinal = ordinal + 1 if found and found[-1][:2] == (event_time, symbol) else 0
            assert time - event_time == timedelta(microseconds=ordinal), "ordinals are dense"
            found.append(Trade(event_time, symbol, price, day_volume))
        return found

    def assert_volumes_follow(self) -> None:
        """Every stored volume is the increase of the running maximum of its source on its trading day."""
        shared = set(self.connection.execute("SELECT symbol, day_start FROM candleworks.shared_totals").fetchall())
        by_symbol: dict[str, list[Total]] = {}
        for symbol, *row in self.connection.execute(
            "SELECT symbol, time, day_volume, origin FROM stocks_real_time ORDER BY symbol, time"
        ):
            by_symbol.setdefault(symbol, []).append(Total(*row))
        expected = [
            volume
            for symbol, ticks in sorted(by_symbol.items())
            for volume in volumes_of(ticks, ZONES[symbol], {day for name, day in shared if name == symbol})
        ]
        assert [row[4] for row in self.rows()] == expected

    def clear(self) -> None:
        self.connection.execute("DELETE FROM stocks_real_time")


class Total(NamedTuple):
    """A stored trade of one symbol, and whose running total it has."""

    time: datetime
    day_volume: float | None
    source: str


def volumes_of(ticks: Sequence[Total], zone: ZoneInfo, shared: AbstractSet[datetime]) -> list[float | None]:
    """The volume of each trade of one symbol, given in order of time; on `shared` days all sources count the same."""
    volumes: list[float | None] = []
    for day, group in groupby(
        ticks, lambda tick: tick.time.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    ):
        of_day = list(group)
        one = day in shared or fits(of_day)
        highest: dict[str, float] = {}
        from_zero = bool(volumes)
        for _, total, origin in of_day:
            source = "" if one else origin
            before = highest.get(source, 0.0 if from_zero and not highest else None)
            volumes.append(None if total is None or before is None else max(total - before, 0.0))
            if total is not None:
                highest[source] = max(total, highest.get(source, 0.0))
    return volumes


def fits(ticks: Sequence[Total]) -> bool:
    """Whether each total of a file stands between those of the one other source of the day."""
    totals = [tick for tick in ticks if tick.day_volume is not None]
    if len({tick.source for tick in totals}) != 2 or all(tick.source != "file" for tick in totals):
        return False
    for index, (_, total, source) in enumerate(totals):
        if source == "file":
            before = max((t.day_volume or 0.0 for t in totals[:index] if t.source != "file"), default=None)
            later = (t.day_volume or 0.0 for t in totals[index:] if t.source != "file")
            following = next((t for t in later if before is not None and t > before), None)
            if before is None or following is None or not before <= (total or 0.0) <= following:
                return False
    return True


def wait_for_a_lock(connection: Connection, purpose: str) -> None:
    """Return when a connection with that purpose waits for another transaction."""
    deadline = monotonic() + 30
    while not connection.execute(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'",
        [f"candleworks {purpose}"],
    ).fetchone():
        assert monotonic() < deadline
        sleep(0.01)


@pytest.fixture
def book(connection: Connection) -> Book:
    return Book(connection)
