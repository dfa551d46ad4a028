"""The long-running ingest of one feed: streams, writes, and stops in order."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from candleworks.database.connection import ConnectionPool, close_pool, describe, open_pool
from candleworks.database.interruption import ConnectionsInUse
from candleworks.database.profiles import WRITER
from candleworks.errors import TransientError
from candleworks.feed.api_key import key_of
from candleworks.feed.background import FeedBackground, SettingsUpdates, zones_of
from candleworks.feed.batcher import Batch, FlushInterval
from candleworks.feed.connection import ConnectionListener, FeedConnection
from candleworks.feed.gaps import GapRecorder
from candleworks.feed.liveness import LivenessMonitor
from candleworks.feed.queue import FeedQueue
from candleworks.feed.reconnection import Reconnector
from candleworks.feed.silence import SilenceMonitor
from candleworks.feed.spool import Spool
from candleworks.feed.subscriptions import Subscriptions
from candleworks.feed.unrecorded import UnrecordedFile
from candleworks.feed.writer import FeedWriter
from candleworks.model.gaps import Stop
from candleworks.model.notices import Notice, Notify, ignore
from candleworks.processes import stopped_within
from candleworks.settings import Feed, Settings
from candleworks.threads import Calls, in_thread
from candleworks.wording import counted

GIVE_UP_SECONDS = 2.5  # how long a stop waits for the next commit of a database that is away, or that does not answer
MAX_STOP_SECONDS = 5.0  # how long it waits altogether
INTERRUPT_SECONDS = 0.5  # how long a call may take to end once it is interrupted

log = logging.getLogger(__name__)


async def stopped_by_process() -> Stop:
    """Return the default reason of a stop."""
    return Stop("its process ended", deliberate=True)


async def ingest(
    settings: Settings,
    feed: Feed,
    dsn: str,
    *,
    stop: asyncio.Event,
    stop_reason: Callable[[], Awaitable[Stop]] = stopped_by_process,
    notify: Notify = ignore,
    updates: SettingsUpdates | None = None,
    prepare: Callable[[], object] | None = None,
) -> None:
    """Run until `stop` is set; every tick received by then is committed, or on disk, when this returns.

    `stop_reason` is called once `stop` is set, and its result stored, so that a deliberate stop is not taken for a
    failure. `notify` is called for gaps and refused symbols. `updates` delivers new configurations, of which the feed's
    symbols and the silence limits are applied. `prepare` brings the database up to date before its first use; null
    when that is done.

    Raises TerminalError when the vendor rejects the key or another process streams the feed, TransientError when ticks
    are left that neither the database nor the disk could store.
    """
    limit_bytes = settings.ingest.max_spool_bytes
    spool = await in_thread(Spool, settings.home / "spool" / feed.name, feed.name, limit_bytes)
    service = FeedService(settings, feed, dsn, spool, notify=notify, prepare=prepare)
    relay = asyncio.create_task(_relay(stop, service.stop))
    deadline = asyncio.create_task(service.give_up_in_time())
    pool = open_pool(dsn, f"candles of {feed.name}", profile=WRITER, max_size=2)
    try:
        await service.run(pool, updates or SettingsUpdates(), stop_reason)
    finally:
        relay.cancel()
        deadline.cancel()
        await in_thread(close_pool, pool)
        await in_thread(spool.close)  # first: whoever waits for the feed looks at the writer's lock
        await in_thread(service.writer.close)


async def _relay(stop: asyncio.Event, own_stop: asyncio.Event) -> None:
    await stop.wait()
    own_stop.set()


class FeedService:
    """The parts of one feed, put together, and their order of starting and stopping."""

    def __init__(
        self,
        settings: Settings,
        feed: Feed,
        dsn: str,
        spool: Spool,
        *,
        notify: Notify = ignore,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self.stop = asyncio.Event()
        self.spool = spool
        self._dsn = dsn
        self._give_up = threading.Event()
        self._committed = asyncio.Event()
        self._calls = Calls()
        self._in_use = ConnectionsInUse()
        self._settings = settings
        self._feed = feed.name
        self._notify = notify
        self._prepared = prepare is None
        limits = settings.ingest
        self._interval = FlushInterval(limits.flush_interval_ms / 1_000)
        self._queue = FeedQueue(self.spool, limits, self._interval, self._inspect)
        self._gaps = GapRecorder(feed.name, self._queue.put, notify)
        subscriptions = Subscriptions(feed.instruments)
        silence = SilenceMonitor(settings, subscriptions.symbols)
        self._liveness = LivenessMonitor(subscriptions, silence, self._gaps)
        zones = zones_of(subscriptions.symbols, settings.calendars)
        unrecorded = UnrecordedFile(feed.name, self.spool.directory)
        self.writer = FeedWriter(
            dsn,
            feed.name,
            subscriptions,
            zones,
            limits,
            unrecorded,
            give_up=self._give_up,
            in_use=self._in_use,
            prepare=prepare,
        )
        live = self._liveness
        listener = ConnectionListener(live.subscribed, self._symbol_refused, live.alive, live.reading_paused)
        self._connection = FeedConnection(key_of(settings, feed), subscriptions, self._queue, listener)
        self.reconnector = Reconnector(self._connection, self._queue, live, self.writer.counters, self.stop)
        self._background = FeedBackground(
            self._connection,
            subscriptions,
            silence,
            self._queue,
            self.writer,
            dsn,
            self.stop,
            self._calls,
            self._in_use,
        )

    def _inspect(self, batch: Batch) -> None:
        self._liveness.inspect(batch)

    def _symbol_refused(self, symbol: str, reason: str) -> None:
        facts = {"feed": self._feed, "symbol": symbol, "reason": reason}
        self._notify(Notice("feed.refused", f"{self._feed}/{symbol}", facts))

    async def give_up_in_time(self) -> None:
        """After a stop, interrupt what the database keeps from ending, and abandon what does not notice that."""
        await self.stop.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MAX_STOP_SECONDS):
                while await stopped_within(self._committed, GIVE_UP_SECONDS):
                    self._committed.clear()
        self._give_up.set()
        self._in_use.interrupt()
        await asyncio.sleep(INTERRUPT_SECONDS)
        self._calls.abandon(
            TransientError(f"The database {describe(self._dsn)} did not answer in time at a stop: see what blocks it.")
        )

    async def run(
        self, pool: ConnectionPool, updates: SettingsUpdates, stop_reason: Callable[[], Awaitable[Stop]]
    ) -> None:
        """Run until `stop` is set or a part fails; see `ingest`."""
        if self._prepared:
            await self._calls.run(self.writer.connect)  # before the vendor is asked: another process may own the feed
        self._gaps.started()
        written = asyncio.Event()
        streaming = asyncio.create_task(self.reconnector.run())
        writing = asyncio.create_task(self._write())
        background = [
            asyncio.create_task(self._liveness.run(self.stop, self._connection.close)),
            asyncio.create_task(self._queue.keep_safe(written)),
            *map(asyncio.create_task, self._background.tasks(self._settings, pool, updates)),
        ]
        stopped = asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait({streaming, writing, stopped, *background}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reason = stop_reason if self.stop.is_set() else None
            self.stop.set()
            await self._end_stream(streaming, reason)
            await asyncio.wait({writing})
            written.set()
            await asyncio.wait({stopped, *background})
            await self._leave_on_disk(writing)
        _raise_failures(streaming, *background, writing)
        if writing.exception() is None:
            await self._finish(pool)

    async def _end_stream(
        self, streaming: asyncio.Task[None], stop_reason: Callable[[], Awaitable[Stop]] | None
    ) -> None:
        """Read what is left of the connection, and close the queue behind it and the gap that begins."""
        self._queue.drain()
        await self.reconnector.close(streaming)
        self._queue.flush()
        if stop_reason is not None:
            self._gaps.stopped(await stop_reason())
        self._gaps.open_gap("stopped")
        self._queue.close()

    async def _write(self) -> None:
        """Store entry after entry; TransientError when the database stays away at the end."""
        while (entry := await self._queue.next_entry()) is not None:
            with self._interval.measure_commit():
                await self._calls.run(self.writer.write, entry)
            self._queue.done()
            self._committed.set()

    async def _leave_on_disk(self, writing: asyncio.Task[None]) -> None:
        """Keep what the database did not store for the next start."""
        queue = self._queue
        if queue.unsaved:
            await queue.save()
        await queue.tidy()
        if queue.unsaved:
            raise TransientError(
                f"Feed {self._feed} lost {counted(queue.waiting, 'tick')}: neither the database"
                f" ({writing.exception()}) nor the spool ({queue.spool_problem}) could store them; restore the database"
                " or free disk space."
            )
        if queue.waiting:
            log.warning(
                "Feed %s: %s kept in %s for the next start.",
                self._feed, counted(queue.waiting, "tick"), self.spool.directory,
            )  # fmt: skip

    async def _finish(self, pool: ConnectionPool) -> None:
        """Refresh the candles of the last ticks, and save the last statistics."""
        for action in (self._background.refresh_candles, self._background.save_statistics):
            await self._background.attempt(action, pool)


def _raise_failures(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        if not task.cancelled() and not isinstance(task.exception(), TransientError):
            task.result()
