"""The long-lived ingest of one feed: stream, write, refresh candles, keep statistics, stop cleanly."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from candleworks import clock
from candleworks.candles.calendars import sync_calendars
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, ConnectionPool, open_pool, transient_errors
from candleworks.errors import TransientError, UsageError
from candleworks.feed.batcher import Batch, Batcher
from candleworks.feed.collector import Collector
from candleworks.feed.connection import Feed, Listener
from candleworks.feed.flush_interval import Pace
from candleworks.feed.gaps import GapBook
from candleworks.feed.queue import Pipeline
from candleworks.feed.reconnection import Supervisor, stopped_within
from candleworks.feed.silence import Watchdog
from candleworks.feed.spool import Spool
from candleworks.feed.subscriptions import Roster
from candleworks.feed.writer import Writer
from candleworks.model.gaps import Stop
from candleworks.model.notices import Notice, Notify, ignore
from candleworks.model.trading_day import calendar_of, zone_of
from candleworks.settings import Calendars, Settings
from candleworks.settings import Feed as FeedSettings
from candleworks.storage.calendars import sessions_around
from candleworks.storage.feeds import SymbolStatus, save_symbols
from candleworks.storage.ingest_stats import save_ingest_stats
from candleworks.wording import counted

STATISTICS_INTERVAL_SECONDS = 1
SESSIONS_INTERVAL_SECONDS = 600
POOL_WAIT_SECONDS = 2
GIVE_UP_SECONDS = 3  # how long a stop waits for a database that is away

log = logging.getLogger(__name__)

Updates = asyncio.Queue[Settings]


@dataclass
class _Run:
    """One feed and everything that works for it."""

    settings: Settings
    feed_settings: FeedSettings
    dsn: str
    notify: Notify
    prepare: Callable[[], object] | None
    stop: asyncio.Event
    why: Callable[[], Awaitable[Stop]]
    written: asyncio.Event = field(default_factory=asyncio.Event)
    give_up: threading.Event = field(default_factory=threading.Event)
    saved_states: Mapping[str, SymbolStatus] | None = None

    def __post_init__(self) -> None:
        name, ingest = self.feed_settings.name, self.settings.ingest
        self.spool = Spool(self.settings.home / "spool" / name, name, ingest.max_spool_bytes)
        unbatched = min(2 * ingest.max_batch_rows, ingest.max_buffered_ticks // 2)
        self.pipeline = Pipeline(self.spool, ingest.max_buffered_ticks - unbatched, ingest.flush_interval_ms)
        self.pace = Pace(ingest.flush_interval_ms / 1_000)
        self.batcher = Batcher(ingest.max_batch_rows, unbatched, self.pace)
        self.roster = Roster(self.feed_settings.instruments)
        self.watchdog = Watchdog(self.settings, self.roster.wanted)
        self.book = GapBook(name, lambda note: self.pipeline.put(Batch(), note), self.notify)
        self.collector = Collector(self.batcher, self.pipeline, self.roster, self.book, self.watchdog)
        zones = _zones(self.roster.wanted, self.settings.calendars)
        self.writer = Writer(self.dsn, name, self.roster, zones, ingest, give_up=self.give_up, prepare=self.prepare)
        self.feed = Feed(
            name, self.feed_settings.url or self.settings.feed_url, _key(self.settings), self.roster, self.batcher,
            Listener(self._answered, self._refused, self._alive, self._slowed),
        )  # fmt: skip
        self.supervisor = Supervisor(
            self.feed, self.collector, self.book, self.watchdog, self.writer.counters, self.stop
        )

    def _answered(self, names: list[str]) -> None:
        now_us = clock.now_us()
        self.watchdog.listening(names, now_us)
        self.book.heard(now_us)
        if self.book.reason not in (None, "silent", "overflow"):
            self.book.recovered(now_us)

    def _refused(self, symbol: str, words: str) -> None:
        facts = {"feed": self.feed.name, "symbol": symbol, "reason": words}
        self.notify(Notice("feed.refused", f"{self.feed.name}/{symbol}", facts))

    def _alive(self) -> None:
        self.book.heard(clock.now_us())

    def _slowed(self) -> None:
        self.book.slowed(clock.now_us())


def _zones(symbols: Iterable[str], calendars: Calendars) -> Mapping[str, ZoneInfo]:
    return {symbol: zone_of(calendar_of(symbol, calendars)) for symbol in symbols}


def _key(settings: Settings) -> str:
    return settings.api_key.get_secret_value() if settings.api_key else "demo"


async def stopped_by_hand() -> Stop:
    return Stop("its program ended it", deliberate=True)


async def ingest(
    settings: Settings,
    feed: FeedSettings,
    dsn: str,
    *,
    stop: asyncio.Event,
    why: Callable[[], Awaitable[Stop]] = stopped_by_hand,
    notify: Notify = ignore,
    updates: Updates | None = None,
    prepare: Callable[[], object] | None = None,
) -> None:
    """Run until `stop` is set; every tick received by then is committed, or on disk, when this returns.

    `why` is asked once `stop` is set, and stored, so that nobody takes a deliberate stop for a failure. `notify` hears
    of gaps and refusals. `updates` brings new configurations, of which the feed's symbols and the limits of silence are
    followed. `prepare` brings the database up to date before it is used first; without it that has been done.

    Raises TerminalError when the vendor refuses the key or another process has the feed, TransientError when ticks are
    left that neither the database nor the disk took.
    """
    run = _Run(settings, feed, dsn, notify, prepare, asyncio.Event(), why)
    relay = asyncio.create_task(_pass_on(stop, run.stop))
    patience = asyncio.create_task(_limit_patience(run.stop, run.give_up))
    try:
        with open_pool(dsn, f"candleworks candles of {feed.name}", max_size=2) as pool:
            await _run(run, pool, updates or Updates())
    finally:
        relay.cancel()
        patience.cancel()
        run.spool.close()  # first: whoever waits for the feed to be free looks at the writer's lock
        run.writer.close()


async def _pass_on(theirs: asyncio.Event, ours: asyncio.Event) -> None:
    await theirs.wait()
    ours.set()


async def _limit_patience(stop: asyncio.Event, give_up: threading.Event) -> None:
    await stop.wait()
    await asyncio.sleep(GIVE_UP_SECONDS)
    give_up.set()


async def _run(run: _Run, pool: ConnectionPool, updates: Updates) -> None:
    if run.prepare is None:
        await asyncio.to_thread(run.writer.connect)  # before the vendor is asked: somebody else may have the feed
    run.book.started()
    streaming = asyncio.create_task(run.supervisor.run())
    collecting = asyncio.create_task(run.collector.run())
    writing = asyncio.create_task(_write(run))
    beside = [asyncio.create_task(task) for task in _beside(run, pool, updates)]
    stopped = asyncio.create_task(run.stop.wait())
    try:
        await asyncio.wait({streaming, collecting, writing, stopped, *beside}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked = run.stop.is_set()
        run.stop.set()
        run.pipeline.let_all_in()
        await run.supervisor.hang_up(streaming)
        run.batcher.close()
        await asyncio.wait({collecting})
        if asked:
            run.book.stopped(await run.why())
        run.book.lost("stopped")
        run.pipeline.close()
        await asyncio.wait({writing})
        run.written.set()
        await asyncio.wait({stopped, *beside})
        await _leave_on_disk(run, writing)
    for task in (streaming, collecting, *beside, writing):
        if not task.cancelled() and not isinstance(task.exception(), TransientError):
            task.result()
    if writing.exception() is None:
        with contextlib.suppress(TransientError):
            for last in (_refresh, _save_statistics):
                await asyncio.to_thread(last, run, pool)


async def _leave_on_disk(run: _Run, writing: asyncio.Task[None]) -> None:
    """Leave what the database did not take for the next start."""
    if run.pipeline.unsaved:
        await run.pipeline.save()
    if run.pipeline.unsaved:
        raise TransientError(
            f"Feed {run.feed.name}: {run.pipeline.waiting} ticks are lost, neither the database ({writing.exception()})"
            f" nor the disk ({run.pipeline.full}) took them."
        )
    if run.pipeline.waiting:
        log.warning(
            "Feed %s: %s left in %s for the next start.",
            run.feed.name,
            counted(run.pipeline.waiting, "tick"),
            run.spool.directory,
        )


def _beside(run: _Run, pool: ConnectionPool, updates: Updates) -> list[Coroutine[Any, Any, None]]:
    refresh_seconds = run.settings.candles.refresh_interval_seconds
    return [
        run.supervisor.watch(),
        run.pipeline.keep_safe(run.written),
        _follow(run, pool, updates),
        _every(refresh_seconds, _refresh, run, pool),
        _every(STATISTICS_INTERVAL_SECONDS, _save_statistics, run, pool),
        _every(SESSIONS_INTERVAL_SECONDS, _load_sessions, run, pool, at_once=True),
    ]


async def _write(run: _Run) -> None:
    """Store entry after entry; TransientError when the database stays away at the end."""
    while (entry := await run.pipeline.next_entry()) is not None:
        with run.pace.commit():
            await asyncio.to_thread(run.writer.write, entry)
        run.pipeline.done()


async def _follow(run: _Run, pool: ConnectionPool, updates: Updates) -> None:
    """Take over what a new configuration says about the feed's symbols and their silence, until the stop."""
    while not run.stop.is_set():
        with contextlib.suppress(TimeoutError):
            settings = await asyncio.wait_for(updates.get(), 1)
            try:
                instruments = settings.feed(run.feed.name).instruments
            except UsageError as error:
                log.warning("%s It goes on as it was.", error)
                continue
            came, leaving = run.roster.replace(instruments)
            run.writer.follow(_zones(came, settings.calendars))
            run.watchdog.follow(settings, run.roster.wanted)
            log.info("Feed %s: the configuration was read again; %d symbols came, %d went.",
                     run.feed.name, len(came), len(leaving))  # fmt: skip
            await run.feed.leave(leaving)
            await run.feed.ask(came)
            await asyncio.to_thread(_learn_calendars, run, pool, settings)


def _learn_calendars(run: _Run, pool: ConnectionPool, settings: Settings) -> None:
    """Store the sessions of calendars that are new; without a database they are learnt at the next start."""
    try:
        with transient_errors(run.dsn), pool.connection(POOL_WAIT_SECONDS) as connection:
            sync_calendars(connection, settings)
        _load_sessions(run, pool)
    except (TransientError, UsageError) as error:
        log.warning("%s", error)


async def _every(
    interval_seconds: float,
    action: Callable[[_Run, ConnectionPool], None],
    run: _Run,
    pool: ConnectionPool,
    *,
    at_once: bool = False,
) -> None:
    """Repeat a blocking action until the stop; a database that is away is the writer's to report."""
    while not await stopped_within(run.stop, 0.1 if at_once else interval_seconds):
        if run.writer.ready:
            at_once = False
            with contextlib.suppress(TransientError):
                await asyncio.to_thread(action, run, pool)


def _refresh(run: _Run, pool: ConnectionPool) -> None:
    with transient_errors(run.dsn), pool.connection(POOL_WAIT_SECONDS) as connection:
        run.writer.counters.count_candles(refresh(connection).total())


def _load_sessions(run: _Run, pool: ConnectionPool) -> None:
    with transient_errors(run.dsn), pool.connection(POOL_WAIT_SECONDS) as connection:
        run.watchdog.sessions = sessions_around(connection, run.watchdog.calendars, clock.now())


def _save_symbols(run: _Run, connection: Connection) -> None:
    states = dict(run.roster.states)
    if states != run.saved_states:
        save_symbols(connection, run.feed.name, states)
        run.saved_states = states


def _save_statistics(run: _Run, pool: ConnectionPool) -> None:
    counters = run.writer.counters
    with transient_errors(run.dsn), pool.connection(POOL_WAIT_SECONDS) as connection:
        _save_symbols(run, connection)
        rows = counters.rows(run.pipeline.waiting + len(run.batcher), run.pipeline.oldest_us)
        for row in rows:
            save_ingest_stats(connection, row)
        counters.saved(rows)
