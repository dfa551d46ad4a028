"""`candleworks alerts watch`: the watchdog."""

import asyncio
import contextlib
import logging

from candleworks.alerts.watch_loop import Watch
from candleworks.cli.console import Duration, log_to_stderr
from candleworks.database.server import database
from candleworks.processes import single_instance, stop_event
from candleworks.settings import Settings, load_settings

log = logging.getLogger(__name__)


def watch(duration: Duration = None) -> None:
    """Watch the feeds' ingest and the database, and deliver the notifications of all alerts, until told to stop.

    It delivers to the addresses in its own CANDLEWORKS_ALERT_URLS, whoever ran the checks. Needs neither Prefect nor a
    database that answers. Run one.
    """
    settings = load_settings()
    log_to_stderr(settings)
    refusal = f"candleworks alerts watch is already running in {settings.home}: one is enough."
    with single_instance(settings.home / "alerts-watch.lock", refusal), database(settings) as dsn:
        asyncio.run(_watch(settings, dsn, duration))


async def _watch(settings: Settings, dsn: str, duration: float | None) -> None:
    stop = stop_event(duration)
    watchdog = Watch(settings, dsn)
    while not stop.is_set():
        try:
            await asyncio.to_thread(watchdog.round)
        except Exception:  # nobody would miss a watchdog that died: it goes on after what it did not expect
            log.exception("A round of the watch broke.")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), settings.alerts.watch.interval_seconds)
    await asyncio.to_thread(watchdog.stop)
