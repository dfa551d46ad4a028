"""Keeps a feed connected: reconnects with back-off, whatever ended the connection."""

import asyncio
import contextlib
import logging
import random

from candleworks.errors import TransientError
from candleworks.feed.api_key import KeyRefusedError
from candleworks.feed.connection import ConnectionEndedError, FeedConnection
from candleworks.feed.liveness import LivenessMonitor
from candleworks.feed.queue import FeedQueue
from candleworks.feed.stats import FeedCounters
from candleworks.processes import stopped_within

AFTER_HEALTHY_SECONDS = 0.5  # the longest wait after a healthy connection
FIRST_WAIT_SECONDS = 1
MAX_WAIT_SECONDS = 60
FIRST_REFUSED_WAIT_SECONDS = 10  # while the vendor refuses a key that it has accepted before
MAX_REFUSED_WAIT_SECONDS = 300
STABLE_SECONDS = 60
CLOSE_TIMEOUT_SECONDS = 1
MAX_EARLY_CLOSES = 3

log = logging.getLogger(__name__)


class Reconnector:
    """Runs one feed's connection until `stop` is set."""

    def __init__(
        self,
        connection: FeedConnection,
        queue: FeedQueue,
        liveness: LivenessMonitor,
        counters: FeedCounters,
        stop: asyncio.Event,
    ) -> None:
        self._connection = connection
        self._queue = queue
        self._liveness = liveness
        self._counters = counters
        self._stop = stop
        self._failures = 0
        self._early_closes = 0

    async def run(self) -> None:
        """Keep a connection; the wait between attempts doubles until a connection is healthy: ticks flow, or it lasts.

        Raises TerminalError when another attempt cannot succeed.
        """
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            began = loop.time()
            try:
                await self._connection.run()
            except TransientError as error:
                self._queue.flush()
                if not self._stop.is_set():
                    self._note_end(error, loop.time() - began)
                    await self._wait(error)
            finally:
                self._queue.flush()

    def _note_end(self, error: TransientError, lasted_seconds: float) -> None:
        reason = error.reason if isinstance(error, ConnectionEndedError) else "dropped"
        stable = lasted_seconds > STABLE_SECONDS
        self._failures = 0 if stable or self._liveness.ticking else self._failures + 1
        self._liveness.disconnected(reason)
        self._early_closes = self._early_closes + 1 if reason == "closed" and not stable else 0
        if self._early_closes >= MAX_EARLY_CLOSES:
            log.warning(
                "Feed %s: the vendor closed %d connections in a row soon after accepting them, which usually means that"
                " the key has too many connections: find out who else uses this key, or combine symbols in one feed.",
                self._connection.feed, self._early_closes,
            )  # fmt: skip

    async def _wait(self, error: TransientError) -> None:
        wait = self._wait_seconds(refused=isinstance(error, KeyRefusedError))
        log.warning("%s Retrying in %.1f s.", error, wait)
        await stopped_within(self._stop, wait)
        self._counters.reconnects += 1

    def _wait_seconds(self, *, refused: bool) -> float:
        """Return how long to wait, shortened by chance, so that clients do not come back all at once."""
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        if refused:
            return jitter * min(MAX_REFUSED_WAIT_SECONDS, FIRST_REFUSED_WAIT_SECONDS * self._doubled)
        if not self._failures:
            return jitter * AFTER_HEALTHY_SECONDS
        return jitter * min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * self._doubled)

    @property
    def _doubled(self) -> int:
        return 1 << min(max(self._failures - 1, 0), 10)

    async def close(self, running: asyncio.Task[None]) -> None:
        """End the connection with nothing of it left unread, unless the vendor takes too long for that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._connection.close()
                await asyncio.wait({running})
        running.cancel()
        await asyncio.wait({running})
