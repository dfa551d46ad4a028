"""`candleworks ingest`: one feed or all of them, until it is told to stop."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

import typer

from candleworks.cli.running import Duration, log_to_stderr, stop_on_signal
from candleworks.errors import CandleworksError, ConfigurationError
from candleworks.feed.background import SettingsUpdates
from candleworks.feed.connection import check_key
from candleworks.feed.service import ingest as run_ingest
from candleworks.model.gaps import Stop
from candleworks.runtime.database import prepared_or_later
from candleworks.runtime.processes import STOP_WITH_STDIN
from candleworks.settings import Feed, Settings, load_settings

log = logging.getLogger(__name__)


def ingest(
    feed: Annotated[
        str | None, typer.Option(help="Only this feed of the configuration; all of them without it.")
    ] = None,
    duration: Duration = None,
) -> None:
    """Stream ticks into the database and keep its candles up to date.

    SIGHUP reads the configuration again: symbols come and go without a new connection.
    """
    settings = load_settings()
    chosen = settings.feeds if feed is None else (settings.feed(feed),)
    check_key(settings, chosen)
    log_to_stderr(settings)
    with prepared_or_later(settings) as (dsn, prepare_later):
        asyncio.run(_ingest_all(settings, chosen, dsn, duration, prepare_later))


async def _ingest_all(
    settings: Settings,
    feeds: Sequence[Feed],
    dsn: str,
    duration: float | None,
    prepare_later: Callable[[], object] | None,
) -> None:
    """Run every feed until the stop; one that fails for good leaves the others running, and fails us at the end."""
    stop = stop_on_signal(duration)
    updates = {feed.name: SettingsUpdates() for feed in feeds}
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reread, updates)
    runs = [
        run_ingest(settings, feed, dsn, stop=stop, stop_reason=_why, updates=updates[feed.name], prepare=prepare_later)
        for feed in feeds
    ]
    outcomes = await asyncio.gather(*(_outcome(run, alone=len(runs) == 1) for run in runs))
    failures = [outcome for outcome in outcomes if outcome is not None]
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise CandleworksError(" ".join(map(str, failures)))


async def _why() -> Stop:
    """Say why a stop was asked for: below `up` only that one knows whether a person wanted it."""
    if STOP_WITH_STDIN in os.environ:
        return Stop("candleworks up ended", deliberate=False)
    return Stop(f"candleworks ingest was ended on {socket.gethostname()}", deliberate=True)


async def _outcome(run: Coroutine[Any, Any, None], *, alone: bool) -> CandleworksError | None:
    try:
        await run
    except CandleworksError as error:
        if not alone:
            log.error("%s The other feeds go on.", error)  # noqa: TRY400 - a sentence, not a traceback
        return error
    return None


def _reread(updates: dict[str, SettingsUpdates]) -> None:
    try:
        settings = load_settings()
    except ConfigurationError as error:
        log.error("%s Everything goes on as it was.", error)  # noqa: TRY400 - a sentence, not a traceback
        return
    for queue in updates.values():
        queue.put_nowait(settings)
    for feed in settings.feeds:
        if feed.name not in updates:
            log.info("Feed %s is not streamed here: start `candleworks ingest --feed %s`.", feed.name, feed.name)
