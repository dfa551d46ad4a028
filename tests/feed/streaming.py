"""An ingest that runs beside the test, and what it should have stored."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from candleworks.database.connection import Connection
from candleworks.feed.background import SettingsUpdates
from candleworks.feed.service import ingest
from candleworks.model.notices import Notice
from candleworks.settings import Feed, Settings

PATIENCE_SECONDS = 30


class Trade(NamedTuple):
    symbol: str
    event_time: int
    price: float
    day_volume: float | None


class Quote(NamedTuple):
    symbol: str
    event_time: int
    bid: float
    ask: float


class Ingest:
    """The service of one feed in a thread of its own; `notices` are those it sent."""

    def __init__(self, settings: Settings, dsn: str) -> None:
        self._settings = settings
        self._dsn = dsn
        self.notices: list[Notice] = []
        self._ready = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="ingest")

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(PATIENCE_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - it is raised again in the test's thread
            self._error = error

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._updates: SettingsUpdates = asyncio.Queue()
        self._ready.set()
        await ingest(
            self._settings,
            self._settings.feeds[0],
            self._dsn,
            stop=self._stop,
            notify=self.notices.append,
            updates=self._updates,
        )

    def follow(self, *symbols: object) -> None:
        """Tell it of a new configuration with these symbols."""
        feed = Feed.model_validate({"symbols": symbols})
        settings = self._settings.model_copy(update={"feeds": (feed,)})
        self._loop.call_soon_threadsafe(self._updates.put_nowait, settings)

    def wait(self) -> None:
        """Wait for its end, and raise what ended it, once."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()
        error, self._error = self._error, None
        if error:
            raise error

    def stop(self) -> None:
        """Tell it to stop, wait for its end, and raise what ended it."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self.wait()


@contextmanager
def streaming(settings: Settings, feed_url: str, *symbols: object, **changes: Any) -> Iterator[Ingest]:
    """Stream for the length of a `with` block; `changes` are keys of the section `ingest`."""
    chosen = settings.model_copy(
        update={
            "feed_url": feed_url,
            "feeds": (Feed.model_validate({"symbols": symbols}),),
            "ingest": settings.ingest.model_copy(update=changes),
        }
    )
    assert settings.dsn
    running = Ingest(chosen, settings.dsn.get_secret_value())
    running.start()
    try:
        yield running
    finally:
        running.stop()


def until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Ask again and again until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def price(event_time: int, value: float = 1.0, symbol: str = "AAPL", day_volume: float | None = None) -> bytes:
    event = {"event": "price", "symbol": symbol, "timestamp": event_time, "price": value, "day_volume": day_volume}
    return json.dumps(event, separators=(",", ":")).encode()


def count(connection: Connection) -> int:
    """How many ticks are stored, without those of bars."""
    row = connection.execute("SELECT count(*) FROM stocks_real_time WHERE origin <> 'bar'").fetchone()
    assert row
    return int(row[0])


def stored(connection: Connection) -> Counter[Trade]:
    """What is stored, how often, without bars; each second's ordinals are found to be dense on the way."""
    return Counter(Trade(*row) for row in _dense_rows(connection, "stocks_real_time", "price", "day_volume"))


def stored_quotes(connection: Connection) -> Counter[Quote]:
    """The same of quotes."""
    return Counter(Quote(*row) for row in _dense_rows(connection, "quotes", "bid", "ask"))


def _dense_rows(connection: Connection, table: str, *columns: str) -> list[tuple[Any, ...]]:
    rows = connection.execute(
        f"SELECT symbol, extract(epoch FROM date_trunc('second', time))::bigint, {', '.join(columns)},"
        f" extract(microseconds FROM time)::bigint % 1000000 FROM {table} WHERE origin <> 'bar' ORDER BY symbol, time"
    ).fetchall()
    seconds: Counter[tuple[str, int]] = Counter()
    for symbol, event_time, *_, ordinal in rows:
        assert ordinal == seconds[symbol, event_time], f"{symbol} at {event_time} misses an ordinal before {ordinal}"
        seconds[symbol, event_time] += 1
    return [row[:-1] for row in rows]


def rejected(connection: Connection) -> list[tuple[str, str]]:
    """Reasons and payloads in the order of their arrival."""
    return connection.execute("SELECT reason, payload FROM rejected_ticks ORDER BY id").fetchall()


def counted(connection: Connection, column: str) -> int:
    """The sum of a column of ingest_stats."""
    row = connection.execute(f"SELECT coalesce(sum({column}), 0)::bigint FROM ingest_stats").fetchone()
    assert row
    return int(row[0])


class Sent(NamedTuple):
    """A price event that the simulator sent."""

    connection: int
    snapshot: bool
    trade: Trade
    quote: Quote | None = None


def read_journal(path: Path) -> list[Sent]:
    lines = path.read_bytes().split(b"\n")[:-1]  # the last line may be only half written
    return [_sent(json.loads(line)) for line in lines]


def _sent(event: dict[str, Any]) -> Sent:
    trade = Trade(event["symbol"], event["timestamp"], event["price"], event.get("day_volume"))
    sides = event.get("bid"), event.get("ask")
    quote = None if None in sides else Quote(event["symbol"], event["timestamp"], *sides)
    return Sent(event["connection"], event["snapshot"], trade, quote)


def trades_of(sent: Iterable[Sent]) -> Counter[Trade]:
    """Every event but those snapshots that repeat a symbol's last trade."""
    last: dict[str, Trade] = {}
    trades: Counter[Trade] = Counter()
    for event in sent:
        if not (event.snapshot and last.get(event.trade.symbol) == event.trade):
            trades[event.trade] += 1
        last[event.trade.symbol] = event.trade
    return trades


def quotes_of(sent: Iterable[Sent]) -> Counter[Quote]:
    """The bid and ask of every event that has both, but for those that repeat a symbol's last trade and quote."""
    last: dict[str, tuple[Trade, Quote]] = {}
    quotes: Counter[Quote] = Counter()
    for event in sent:
        if event.quote:
            if not (event.snapshot and last.get(event.trade.symbol) == (event.trade, event.quote)):
                quotes[event.quote] += 1
            last[event.trade.symbol] = event.trade, event.quote
    return quotes
