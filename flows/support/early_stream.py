"""A stream that began before Prefect responded, and the flow run that takes it over, in two threads of one process.

This module does not import Prefect, which takes seconds.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from candleworks.feed.background import SettingsUpdates
from candleworks.feed.service import ingest
from candleworks.model.gaps import Stop
from candleworks.model.notices import Notice, Notify
from candleworks.processes import stop_event
from candleworks.runtime.history import load_history
from candleworks.runtime.streaming import follow_configuration
from candleworks.settings import Feed, Settings


@dataclass
class EarlyStream:
    """A feed's ingest in the main thread, which a flow run in another thread takes over and ends.

    `stopping` is done once the ingest has to stop, `ended` once it has ended, with its error if it failed. `has_run` is
    set by the other thread while there is a run whose end it has to report.
    """

    settings: Settings
    feed: Feed
    dsn: str
    stopping: Future[None] = field(default_factory=Future)
    ended: Future[None] = field(init=False)
    has_run: bool = False
    _stop: asyncio.Event = field(default_factory=stop_event)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _owner: tuple[Callable[[], Future[Stop]], Notify] | None = None
    _kept: list[Notice] = field(default_factory=list)

    def start(self) -> None:
        """Ingest until a stop signal or end()."""
        self.ended = asyncio.run_coroutine_threadsafe(self._ingest(), self._loop)

    async def _ingest(self) -> None:
        updates = SettingsUpdates()
        background = [
            asyncio.create_task(follow_configuration(self.settings, updates, self._stop)),
            asyncio.create_task(self._announce_stop()),
            asyncio.create_task(load_history(self.settings, self.feed, self.dsn, self._stop)),
        ]
        try:
            await ingest(
                self.settings,
                self.feed,
                self.dsn,
                stop=self._stop,
                stop_reason=self._stop_reason,
                notify=self._notify,
                updates=updates,
            )
        finally:
            self._stop.set()
            await asyncio.wait(background)

    def take_over(self, stop_reason: Callable[[], Future[Stop]], notify: Notify) -> None:
        """Let a flow run say why the ingest stopped, and get its notices; called from another thread."""
        self._owner = stop_reason, notify
        while self._kept:
            notify(self._kept.pop(0))

    def release(self) -> None:
        """Undo take_over()."""
        self._owner = None

    def end(self) -> None:
        """Stop the ingest; called from another thread."""
        self._loop.call_soon_threadsafe(self._stop.set)

    async def _announce_stop(self) -> None:
        await self._stop.wait()
        self.stopping.set_result(None)

    async def _stop_reason(self) -> Stop:
        if self._owner is None:
            return Stop("candleworks up was stopped", deliberate=False)
        return await asyncio.wrap_future(self._owner[0]())

    def _notify(self, notice: Notice) -> None:
        if self._owner is None:
            self._kept.append(notice)
        else:
            self._owner[1](notice)
