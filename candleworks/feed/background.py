"""What runs beside a feed: candle refreshes, statistics, trading sessions, and configuration changes."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from candleworks import clock
from candleworks.candles.calendars import sync_calendars
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, ConnectionPool, database_errors
from candleworks.database.interruption import ConnectionsInUse
from candleworks.errors import TerminalError, TransientError, UsageError
from candleworks.feed.connection import FeedConnection
from candleworks.feed.process_usage import ProcessUsage
from candleworks.feed.queue import FeedQueue
from candleworks.feed.silence import Sessions, SilenceMonitor
from candleworks.feed.subscriptions import Subscriptions
from candleworks.feed.writer import FeedWriter
from candleworks.model.trading_day import zone_lookup
from candleworks.processes import stopped_within
from candleworks.settings import Calendars, Settings
from candleworks.storage.calendars import sessions_around
from candleworks.storage.feeds import SymbolStatus, save_ingest_stats, save_refusal, save_symbols
from candleworks.storage.process_samples import record_sizes, save_process_sample
from candleworks.threads import Calls

STATISTICS_INTERVAL_SECONDS = 1
USAGE_INTERVAL_SECONDS = 30
SESSIONS_INTERVAL_SECONDS = 600
MISSING_SESSIONS_INTERVAL_SECONDS = 0.5
POOL_WAIT_SECONDS = 2

log = logging.getLogger(__name__)

SettingsUpdates = asyncio.Queue[Settings]
Action = Callable[[ConnectionPool], Awaitable[None]]


def zones_of(symbols: Iterable[str], calendars: Calendars) -> Mapping[str, ZoneInfo]:
    """Return the time zones of the symbols' trading days."""
    zone_of = zone_lookup(calendars)
    return {symbol: zone_of(symbol) for symbol in symbols}


@dataclass
class FeedBackground:
    """The tasks of one feed, which share a pool. A database that is away is the writer's to report.

    What blocks is done by `calls`, on connections that are `in_use` meanwhile.
    """

    connection: FeedConnection
    subscriptions: Subscriptions
    silence: SilenceMonitor
    queue: FeedQueue
    writer: FeedWriter
    dsn: str
    stop: asyncio.Event
    calls: Calls
    in_use: ConnectionsInUse
    saved_statuses: Mapping[str, SymbolStatus] | None = None
    saved_refusal: str | None = ""  # unlike any: what an earlier run left is deleted
    refused: set[Action] = field(default_factory=set)

    def tasks(
        self, settings: Settings, pool: ConnectionPool, updates: SettingsUpdates
    ) -> list[Coroutine[Any, Any, None]]:
        refresh_seconds = settings.candles.refresh_interval_seconds
        usage = ProcessUsage(self.connection.feed, settings.home)
        return [
            self._follow(pool, updates),
            self._every(refresh_seconds, self.refresh_candles, pool),
            self._end_windows(),
            self._every(STATISTICS_INTERVAL_SECONDS, self.save_statistics, pool),
            self._every(USAGE_INTERVAL_SECONDS, partial(self.save_usage, usage), pool),
            self._follow_sessions(pool),
        ]

    async def _every(self, interval_seconds: float, action: Action, pool: ConnectionPool) -> None:
        """Repeat an action until the stop, once the database is ready."""
        while not await stopped_within(self.stop, interval_seconds):
            if self.writer.ready:
                await self.attempt(action, pool)

    async def attempt(self, action: Action, pool: ConnectionPool) -> None:
        """Run an action; a refusal of the database is logged, unless the one before was refused as well."""
        try:
            await action(pool)
        except TransientError:
            pass
        except TerminalError as error:
            if action not in self.refused:
                log.error("Feed %s: %s Ticks are stored meanwhile.", self.connection.feed, error)  # noqa: TRY400 - a sentence
            self.refused.add(action)
        else:
            self.refused.discard(action)

    async def _follow_sessions(self, pool: ConnectionPool) -> None:
        """Load trading sessions at intervals, until the stop; at a first start `up` computes them meanwhile."""
        while not await stopped_within(self.stop, self._seconds_to_next_sessions()):
            if self.writer.ready:
                await self.attempt(self._load_sessions, pool)

    def _seconds_to_next_sessions(self) -> float:
        complete = self.silence.calendars <= self.silence.sessions.keys()
        return SESSIONS_INTERVAL_SECONDS if complete else MISSING_SESSIONS_INTERVAL_SECONDS

    async def _follow(self, pool: ConnectionPool, updates: SettingsUpdates) -> None:
        """Apply the symbols and silence limits of new configurations, until the stop."""
        while not self.stop.is_set():
            with contextlib.suppress(TimeoutError):
                await self._apply(await asyncio.wait_for(updates.get(), 1), pool)

    async def _apply(self, settings: Settings, pool: ConnectionPool) -> None:
        feed = self.connection.feed
        try:
            instruments = settings.feed(feed).instruments
        except UsageError as error:
            log.warning("%s The feed keeps its previous configuration.", error)
            return
        added, removed = self.subscriptions.replace(instruments)
        self.writer.add_symbols(zones_of(added, settings.calendars))
        self.silence.configure(settings, self.subscriptions.symbols)
        log.info("Feed %s: configuration reloaded, %d symbols added, %d removed.", feed, len(added), len(removed))
        await self.connection.unsubscribe(removed)
        await self.connection.subscribe(added)
        try:
            await self.calls.run(self._sync_calendars, pool, settings)
            await self._load_sessions(pool)
        except (TransientError, TerminalError) as error:  # without a database that happens at the next start
            log.warning("%s", error)

    @contextlib.contextmanager
    def _connection(self, pool: ConnectionPool) -> Iterator[Connection]:
        with (
            database_errors(self.dsn),
            pool.connection(POOL_WAIT_SECONDS) as connection,
            self.in_use.using(connection),
        ):
            yield connection

    def _sync_calendars(self, pool: ConnectionPool, settings: Settings) -> None:
        with self._connection(pool) as connection:
            sync_calendars(connection, settings)

    async def _load_sessions(self, pool: ConnectionPool) -> None:
        self.silence.sessions = await self.calls.run(self._read_sessions, pool, self.silence.calendars)

    def _read_sessions(self, pool: ConnectionPool, calendars: set[str]) -> Sessions:
        with self._connection(pool) as connection:
            return sessions_around(connection, calendars, clock.now())

    async def refresh_candles(self, pool: ConnectionPool) -> None:
        """Bring stored candles up to date; raises database_errors."""
        self.writer.counters.count_candles(await self.calls.run(self._refresh, pool))

    def _refresh(self, pool: ConnectionPool) -> int:
        with self._connection(pool) as connection:
            return refresh(connection).total()

    async def _end_windows(self) -> None:
        """Keep the statistics of each window until they are saved, also while no connection can be had."""
        while not await stopped_within(self.stop, STATISTICS_INTERVAL_SECONDS):
            self.writer.counters.end_window(self.queue.waiting, self.queue.oldest_us)

    async def save_statistics(self, pool: ConnectionPool) -> None:
        """Store the counters, and the statuses of symbols and key where they changed; raises database_errors."""
        waiting, oldest_us = self.queue.waiting, self.queue.oldest_us
        await self.calls.run(self._store, pool, waiting, oldest_us, dict(self.subscriptions.statuses))

    def _store(
        self, pool: ConnectionPool, waiting: int, oldest_us: int | None, statuses: Mapping[str, SymbolStatus]
    ) -> None:
        counters = self.writer.counters
        with self._connection(pool) as connection:
            if statuses != self.saved_statuses:
                save_symbols(connection, self.connection.feed, statuses)
                self.saved_statuses = statuses
            if (refusal := self.connection.key.refusal) != self.saved_refusal:
                save_refusal(connection, self.connection.feed, refusal)
                self.saved_refusal = refusal
            rows = counters.rows(waiting, oldest_us)
            for row in rows:
                save_ingest_stats(connection, row)
            counters.saved(rows)

    async def save_usage(self, usage: ProcessUsage, pool: ConnectionPool) -> None:
        """Store what this process uses, and once an hour how large the database is; raises database_errors."""
        await self.calls.run(self._store_usage, usage, pool)

    def _store_usage(self, usage: ProcessUsage, pool: ConnectionPool) -> None:
        with self._connection(pool) as connection:
            save_process_sample(connection, usage.sample())
            record_sizes(connection)
