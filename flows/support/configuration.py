"""A stream's configuration, which it reads again by itself: nobody sends signals to a flow run."""

import asyncio
import logging

from candleworks.errors import ConfigurationError
from candleworks.feed.background import SettingsUpdates
from candleworks.settings import Settings, load_settings
from candleworks.processes import stopped_within

LOOK_SECONDS = 5

log = logging.getLogger("candleworks.flows")


async def follow_configuration(settings: Settings, updates: SettingsUpdates, stop: asyncio.Event) -> None:
    """Hand on a configuration that differs from the last one, `settings` at first, until the stop.

    It has to look the same twice, since somebody may be writing it. One that is wrong is told once.
    """
    known: Settings | str = settings
    seen = known
    while not await stopped_within(stop, LOOK_SECONDS):
        seen, before = _read(), seen
        if seen != before or seen == known:
            continue
        known = seen
        if isinstance(seen, str):
            log.error("%s Everything goes on as it was.", seen)
        else:
            updates.put_nowait(seen)


def _read() -> Settings | str:
    try:
        return load_settings()
    except ConfigurationError as error:
        return str(error)
