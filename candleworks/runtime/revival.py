"""Starts an embedded database server again when it has died, for as long as a command runs."""

import asyncio
import logging
from collections.abc import Callable

from candleworks.database.server import revive_database
from candleworks.errors import CandleworksError
from candleworks.processes import MAX_BACKOFF_SECONDS, stopped_within
from candleworks.settings import Settings
from candleworks.threads import unless_stopped

POLL_SECONDS = 1.0
REVIVED = "The database server died and was restarted."

log = logging.getLogger(__name__)


class Revival:
    """Revives a server with back-off; `problem` says why it cannot be started, null while it runs."""

    def __init__(self, settings: Settings, report: Callable[[str], object]) -> None:
        self._settings = settings
        self._report = report
        self._failures = 0
        self.problem: str | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Look every second until the stop; with an external server there is nothing to do."""
        while self._settings.dsn is None and not await stopped_within(stop, self._pause_seconds()):
            await self._look(stop)

    async def _look(self, stop: asyncio.Event) -> None:
        try:
            revived = await unless_stopped(stop, revive_database, self._settings)
        except (CandleworksError, OSError) as error:
            self._failures += 1
            self.problem = f"The database server died and cannot be started: {error}"
            return
        self._failures, self.problem = 0, None
        if revived:
            self._report(REVIVED)

    def _pause_seconds(self) -> float:
        return min(MAX_BACKOFF_SECONDS, POLL_SECONDS * 2.0**self._failures)


async def keep_database(settings: Settings, stop: asyncio.Event) -> None:
    """Revive the embedded server until the stop, and log it."""
    await Revival(settings, lambda sentence: log.warning("%s", sentence)).run(stop)
