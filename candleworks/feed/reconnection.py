"""Keeps a feed connected: reconnects after every kind of end, and notices silence."""

import asyncio
import contextlib
import logging
import random

from candleworks import clock
from candleworks.errors import TransientError
from candleworks.feed.collector import Collector
from candleworks.feed.connection import ConnectionEndedError, Feed
from candleworks.feed.gaps import GapBook
from candleworks.feed.silence import Watchdog
from candleworks.feed.stats import Counters

FIRST_WAIT_SECONDS = 1
LONGEST_WAIT_SECONDS = 60
STABLE_SECONDS = 60
HANG_UP_SECONDS = 1
WATCH_INTERVAL_SECONDS = 1
SHORT_LIVES = 3

log = logging.getLogger(__name__)


class Supervisor:
    """Runs one feed's connection until `stop` is set."""

    def __init__(
        self,
        feed: Feed,
        collector: Collector,
        book: GapBook,
        watchdog: Watchdog,
        counters: Counters,
        stop: asyncio.Event,
    ) -> None:
        self._feed = feed
        self._collector = collector
        self._book = book
        self._watchdog = watchdog
        self._counters = counters
        self._stop = stop
        self._failures = 0
        self._short_lives = 0

    async def run(self) -> None:
        """Keep a connection, waiting longer and longer between tries; a stable minute starts over.

        Raises TerminalError when trying again is useless.
        """
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            began = loop.time()
            try:
                await self._feed.run()
            except TransientError as error:
                self._note_end(error, loop.time() - began)
                if not self._stop.is_set():
                    await self._wait(error)
            finally:
                self._collector.flush()

    def _note_end(self, error: TransientError, lived_seconds: float) -> None:
        self._collector.flush()
        self._watchdog.deaf()
        if self._stop.is_set():
            return
        self._book.lost(error.reason if isinstance(error, ConnectionEndedError) else "dropped")
        stable = lived_seconds > STABLE_SECONDS
        self._failures = 1 if stable else self._failures + 1
        closed_early = isinstance(error, ConnectionEndedError) and error.reason == "closed" and not stable
        self._short_lives = self._short_lives + 1 if closed_early else 0
        if self._short_lives >= SHORT_LIVES:
            log.warning(
                "Feed %s: the vendor has closed %d connections in a row soon after it accepted them, as it does when a"
                " key has more connections than it allows: find who else uses this key, or put symbols together in one"
                " feed.",
                self._feed.name, self._short_lives,
            )  # fmt: skip

    async def _wait(self, error: TransientError) -> None:
        longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(self._failures - 1, 10))
        wait = longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        log.warning("%s Trying again in %.1f s.", error, wait)
        await stopped_within(self._stop, wait)
        self._counters.reconnects += 1

    async def watch(self) -> None:
        """Book the silence of symbols, and connect anew when nothing comes at all, until the stop."""
        while not await stopped_within(self._stop, WATCH_INTERVAL_SECONDS):
            now_us = clock.now_us()
            self._book.settle(now_us)
            for symbol in self._book.silent:
                if not self._watchdog.expects(symbol, now_us):
                    self._book.spoke(symbol, now_us)
            if (since_us := self._watchdog.all_silent(now_us)) is not None:
                self._book.lost("silent", since_us)
                await self._feed.hang_up("silent")
                continue
            for symbol, since_us in self._watchdog.silent(now_us):
                self._book.fell_silent(symbol, since_us)

    async def hang_up(self, running: asyncio.Task[None]) -> None:
        """End the connection in a way that leaves nothing of it unread, unless the vendor is too slow for that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANG_UP_SECONDS):
                await self._feed.hang_up()
                await asyncio.wait({running})
        running.cancel()
        await asyncio.wait({running})


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for the stop, at most so long; return whether it was set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()
