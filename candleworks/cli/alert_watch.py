"""`candleworks alerts watch`: the watchdog."""

import asyncio
import contextlib
import fcntl
import logging
from collections.abc import Iterator
from pathlib import Path

from candleworks.alerts.watch import Watch
from candleworks.cli.running import Duration, log_to_stderr, stop_on_signal
from candleworks.errors import UsageError
from candleworks.settings import Settings, load_settings
from candleworks.storage.connection import database

log = logging.getLogger(__name__)


def watch(duration: Duration = None) -> None:
    """Watch the feeds' ingest and the database, and deliver the messages about all alerts, until told to stop.

    Needs neither Prefect nor a database that answers. Run one.
    """
    settings = load_settings()
    log_to_stderr(settings)
    with _only_one(settings.home), database(settings) as dsn:
        asyncio.run(_watch(settings, dsn, duration))


async def _watch(settings: Settings, dsn: str, duration: float | None) -> None:
    stop = stop_on_signal(duration)
    watchdog = Watch(settings, dsn)
    while not stop.is_set():
        try:
            await asyncio.to_thread(watchdog.round)
        except Exception:  # nobody would miss a watchdog that died: it goes on after what it did not expect
            log.exception("A round of the watch broke.")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), settings.alerts.watch.interval_seconds)


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / "alerts-watch.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"candleworks alerts watch is already running in {home}: one is enough.") from None
        yield
