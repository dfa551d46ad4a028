"""What long-running commands share: when they stop, and how they speak."""

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from candleworks.errors import UsageError
from candleworks.settings import Settings
from candleworks.signals import on_stop_signal

Duration = Annotated[float | None, typer.Option(min=0, help="End after so many seconds instead of on a signal.")]


def stop_on_signal(duration_seconds: float | None) -> asyncio.Event:
    """Return an event that a stop signal or the end of the duration sets; call it inside the running loop."""
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    if duration_seconds is not None:
        asyncio.get_running_loop().call_later(duration_seconds, stop.set)
    return stop


@contextlib.contextmanager
def only_one(lock: Path, refusal: str) -> Iterator[None]:
    """Hold a lock file; UsageError with `refusal`, its {holder} being a process number, when another process does."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UsageError(refusal.replace("{holder}", file.read().strip())) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def log_to_stderr(settings: Settings) -> None:
    """Log as plain lines that start with the UTC time."""
    handler = logging.StreamHandler()
    handler.setFormatter(_UtcFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=settings.log_level, handlers=[handler])
    for name in ("httpx", "websockets"):  # one line for every request and connection
        logging.getLogger(name).setLevel(logging.WARNING)


class _UtcFormatter(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - overrides
        return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
