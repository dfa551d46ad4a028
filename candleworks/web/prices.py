"""Prices of the watch list, pushed: read once a second for all clients of the stream that want them."""

import asyncio
from collections.abc import Callable

from anyio.to_thread import run_sync

from candleworks.candles.watch_list import WatchList
from candleworks.errors import CandleworksError
from candleworks.stream.events import event
from candleworks.web.watch_list import price_changes

READ_SECONDS = 1.0


class PriceFeed:
    """Wakes its clients when a price has changed; reads nothing while there are none.

    `version` is 0 until prices were read; `error` says why they cannot be read.
    """

    def __init__(self, watched: WatchList) -> None:
        self.version = 0
        self.error: str | None = None
        self._watched = watched
        self._wakes: set[Callable[[], None]] = set()
        self._reading: asyncio.Task[None] | None = None
        self._frames: dict[int, bytes] = {}  # of the version, by the version that a client has

    def join(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever the version changes."""
        self._wakes.add(wake)
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())

    def leave(self, wake: Callable[[], None]) -> None:
        self._wakes.discard(wake)

    def frame(self, since: int) -> bytes:
        """Return what changed since a version, as lines of Server-Sent Events."""
        if self.error:
            return event("prices", {"error": self.error}).frame
        if since not in self._frames:
            self._frames[since] = event("prices", price_changes(self._watched.known(since))).frame
        return self._frames[since]

    async def _read(self) -> None:
        while self._wakes:
            before = (self.version, self.error)
            try:
                self.version, self.error = await run_sync(self._watched.refresh), None
            except CandleworksError as error:
                self.error = str(error)
            if before != (self.version, self.error):
                self._frames.clear()
                for wake in list(self._wakes):
                    wake()
            await asyncio.sleep(READ_SECONDS)
