"""Streaming several feeds in one process, and reloading the configuration while they run."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from candleworks.errors import CandleworksError, ConfigurationError
from candleworks.feed.background import SettingsUpdates
from candleworks.feed.service import ingest
from candleworks.model.gaps import Stop
from candleworks.processes import STOP_WITH_STDIN, stop_event, stopped_within
from candleworks.runtime.database import keep_database
from candleworks.runtime.history import load_history
from candleworks.settings import Feed, Settings, load_settings
from candleworks.threads import in_thread

POLL_SECONDS = 5

log = logging.getLogger(__name__)


async def stream_feeds(
    settings: Settings,
    feeds: Sequence[Feed],
    dsn: str,
    duration_seconds: float | None,
    prepare_later: Callable[[], object] | None,
) -> None:
    """Stream every feed until a stop signal or the end of the duration; SIGHUP reloads the configuration.

    An embedded database server that dies meanwhile is restarted. A feed that fails for good leaves the others running;
    its error is raised at the end.
    """
    stop = stop_event(duration_seconds)
    updates = {feed.name: SettingsUpdates() for feed in feeds}
    reload = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
    reloading = asyncio.create_task(_reload(reload, updates))
    streams = [
        ingest(
            settings, feed, dsn, stop=stop, stop_reason=_stop_reason, updates=updates[feed.name], prepare=prepare_later
        )
        for feed in feeds
    ]
    beside = [asyncio.create_task(load_history(settings, feed, dsn, stop)) for feed in feeds]
    if STOP_WITH_STDIN not in os.environ:  # below `up` that revives it
        beside.append(asyncio.create_task(keep_database(settings, stop)))
    alone = len(feeds) == 1
    outcomes = await asyncio.gather(
        *(_outcome(feed, stream, alone=alone) for feed, stream in zip(feeds, streams, strict=True))
    )
    stop.set()
    reloading.cancel()
    await asyncio.wait(beside)
    failures = [outcome for outcome in outcomes if outcome is not None]
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise CandleworksError(" ".join(map(str, failures)))


async def _stop_reason() -> Stop:
    """Return why we were stopped: below `up` only that process knows whether a person wanted it."""
    if STOP_WITH_STDIN in os.environ:
        return Stop("candleworks up was stopped", deliberate=False)
    return Stop(f"candleworks ingest was stopped on {socket.gethostname()}", deliberate=True)


async def _outcome(feed: Feed, stream: Coroutine[Any, Any, None], *, alone: bool) -> Exception | None:
    try:
        await stream
    except CandleworksError as error:
        if not alone:
            log.error("%s The other feeds keep streaming.", error)  # noqa: TRY400 - a sentence, not a traceback
        return error
    except Exception as error:
        if not alone:
            log.exception("Feed %s failed (%s). The other feeds keep streaming.", feed.name, type(error).__name__)
        return error
    return None


async def _reload(wanted: asyncio.Event, updates: Mapping[str, SettingsUpdates]) -> None:
    """Load the configuration whenever it is wanted, and queue it for the feeds."""
    while await wanted.wait():
        wanted.clear()
        settings = await in_thread(_load)
        if isinstance(settings, str):
            log.error("%s The previous configuration stays in use.", settings)
            continue
        for queue in updates.values():
            queue.put_nowait(settings)
        for feed in settings.feeds:
            if feed.name not in updates:
                log.info("Feed %s is not streamed here: start `candleworks ingest --feed %s`.", feed.name, feed.name)


async def follow_configuration(settings: Settings, updates: SettingsUpdates, stop: asyncio.Event) -> None:
    """Poll the configuration until the stop, and queue each one that differs from the last, `settings` at first.

    It must be the same in two polls, since a person may be writing it. An error in it is logged once.
    """
    known: Settings | str = settings
    seen = known
    while not await stopped_within(stop, POLL_SECONDS):
        seen, before = await in_thread(_load), seen
        if seen != before or seen == known:
            continue
        known = seen
        if isinstance(seen, str):
            log.error("%s The previous configuration stays in use.", seen)
        else:
            updates.put_nowait(seen)


def _load() -> Settings | str:
    """Return the configuration, or what is wrong with it."""
    try:
        return load_settings()
    except ConfigurationError as error:
        return str(error)
