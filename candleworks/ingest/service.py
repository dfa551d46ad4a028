"""The long-lived ingest of one feed: stream, write, refresh candles, keep statistics, stop cleanly."""

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from candleworks.candles.refresh import refresh
from candleworks.errors import TransientError
from candleworks.ingest.batcher import Batcher
from candleworks.ingest.feed import Feed
from candleworks.ingest.writer import Writer
from candleworks.model.trading_day import calendar_of, zone_of
from candleworks.settings import Feed as FeedSettings
from candleworks.settings import Settings
from candleworks.storage.connection import ConnectionPool, open_pool, transient_errors
from candleworks.storage.statistics import save_ingest_stats

STATISTICS_INTERVAL_SECONDS = 1
FIRST_WAIT_SECONDS = 1
LONGEST_WAIT_SECONDS = 60
STABLE_SECONDS = 60
HANG_UP_SECONDS = 1
POOL_WAIT_SECONDS = 2
GIVE_UP_SECONDS = 3  # how long a stop waits for a database that is away

log = logging.getLogger(__name__)


@dataclass
class _Parts:
    settings: Settings
    dsn: str
    pool: ConnectionPool
    feed: Feed
    batcher: Batcher
    writer: Writer
    stop: asyncio.Event


async def ingest(settings: Settings, feed: FeedSettings, dsn: str, *, stop: asyncio.Event) -> None:
    """Run until `stop` is set; every tick received by then is committed when this returns.

    Raises TerminalError when the vendor refuses the key, TransientError when the database was away at the end.
    """
    give_up = threading.Event()
    patience = asyncio.create_task(_limit_patience(stop, give_up))
    try:
        await _ingest(settings, feed, dsn, stop, give_up)
    finally:
        patience.cancel()


async def _limit_patience(stop: asyncio.Event, give_up: threading.Event) -> None:
    await stop.wait()
    await asyncio.sleep(GIVE_UP_SECONDS)
    give_up.set()


async def _ingest(
    settings: Settings, feed: FeedSettings, dsn: str, stop: asyncio.Event, give_up: threading.Event
) -> None:
    zones = {symbol: zone_of(calendar_of(symbol, settings.calendars)) for symbol in feed.symbols}
    writer = await asyncio.to_thread(Writer, dsn, feed.name, zones, settings.ingest.max_future_seconds, give_up)
    batcher = Batcher(
        settings.ingest.max_batch_rows, settings.ingest.flush_interval_ms / 1_000, settings.ingest.max_buffered_ticks
    )
    api_key = settings.api_key.get_secret_value() if settings.api_key else "demo"
    stream = Feed(feed.name, settings.feed_url, api_key, feed.symbols, batcher)
    try:
        with open_pool(dsn, f"candleworks candles of {feed.name}", max_size=2) as pool:
            await _run(_Parts(settings, dsn, pool, stream, batcher, writer, stop))
    finally:
        writer.close()


async def _run(parts: _Parts) -> None:
    streaming = asyncio.create_task(_stream(parts))
    writing = asyncio.create_task(_write(parts))
    periodic = [
        asyncio.create_task(_every(parts.settings.candles.refresh_interval_seconds, _refresh, parts)),
        asyncio.create_task(_every(STATISTICS_INTERVAL_SECONDS, _save_statistics, parts)),
    ]
    stopped = asyncio.create_task(parts.stop.wait())
    try:
        await asyncio.wait({streaming, writing, stopped, *periodic}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        parts.stop.set()
        await _hang_up(parts.feed, streaming)
        parts.batcher.close()
        await asyncio.wait({writing, stopped, *periodic})
    for task in (writing, streaming, *periodic):
        if not task.cancelled():
            task.result()
    for last in (_refresh, _save_statistics):
        await asyncio.to_thread(last, parts)


async def _hang_up(feed: Feed, streaming: asyncio.Task[None]) -> None:
    """End the connection in a way that leaves nothing of it unread, unless the vendor is too slow for that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HANG_UP_SECONDS):
            await feed.hang_up()
            await asyncio.wait({streaming})
    streaming.cancel()
    await asyncio.wait({streaming})


async def _stream(parts: _Parts) -> None:
    """Keep a connection until the stop, waiting longer and longer between tries; a stable minute starts over."""
    loop = asyncio.get_running_loop()
    failures = 0
    while not parts.stop.is_set():
        began = loop.time()
        try:
            await parts.feed.run()
        except TransientError as error:
            if parts.stop.is_set():
                return
            failures = 1 if loop.time() - began > STABLE_SECONDS else failures + 1
            wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (failures - 1)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            log.warning("%s Trying again in %.1f s.", error, wait)
            await _stopped_within(parts.stop, wait)
            parts.writer.counters.reconnects += 1


async def _write(parts: _Parts) -> None:
    while (batch := await parts.batcher.next_batch()) is not None:
        try:
            await asyncio.to_thread(parts.writer.write, batch)
        except TransientError:
            lost = len(batch) + len(parts.batcher)
            log.error("Feed %s: %d received frames could not be stored.", parts.feed.name, lost)  # noqa: TRY400 - who raises it says why
            raise


async def _every(interval_seconds: float, action: Callable[[_Parts], None], parts: _Parts) -> None:
    """Repeat a blocking action until the stop; a database that is away is the writer's to report."""
    while not await _stopped_within(parts.stop, interval_seconds):
        with contextlib.suppress(TransientError):
            await asyncio.to_thread(action, parts)


async def _stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()


def _refresh(parts: _Parts) -> None:
    with transient_errors(parts.dsn), parts.pool.connection(POOL_WAIT_SECONDS) as connection:
        parts.writer.counters.count_candles(refresh(connection).total())


def _save_statistics(parts: _Parts) -> None:
    counters = parts.writer.counters
    with transient_errors(parts.dsn), parts.pool.connection(POOL_WAIT_SECONDS) as connection:
        rows = counters.rows(len(parts.batcher))
        for row in rows:
            save_ingest_stats(connection, row)
        counters.saved(rows)
