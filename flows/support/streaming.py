"""The long life of a feed's flow run: how it is told to stop, and what it reports meanwhile."""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any
from uuid import UUID

import anyio
import anyio.lowlevel
import httpx
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import Pause, PrefectException
from prefect.logging.handlers import APILogHandler
from prefect.states import Cancelled, Failed

from candleworks import clock
from candleworks.database.connection import connect, transient_errors
from candleworks.errors import FeedHeldError, TerminalError, TransientError
from candleworks.feed.background import SettingsUpdates
from candleworks.feed.service import ingest
from candleworks.processes import on_stop_signal
from candleworks.settings import Feed, Settings
from candleworks.storage.lock_owners import read_holders
from flows.support.cancellation import RunGuard
from flows.support.configuration import follow_configuration
from flows.support.events import tell
from flows.support.lock_owner import already_streamed
from flows.support.names import ALREADY_STREAMING, DATABASE_LABEL, REFUSED
from flows.support.process_label import process_label
from flows.support.stream_report import report_minutes

LABEL_SECONDS = 2
PREDECESSOR_SECONDS = 15
LEAVE_SECONDS = 5

log = logging.getLogger("candleworks.flows")


class Refusal:
    """The final state of a run that cannot succeed before somebody has changed something."""

    state: State


@contextlib.asynccontextmanager
async def refusal(feed: str) -> AsyncIterator[Refusal]:
    """Turn a TerminalError into a final state, which nobody restarts; anything else is a failure and is retried.

    The state is AlreadyStreaming where another run or process streams the feed, Refused otherwise.
    """
    refused = Refusal()
    try:
        yield refused
    except FeedHeldError as error:
        message = await already_streamed(feed, error)
        log.warning("%s", message)
        refused.state = Cancelled(name=ALREADY_STREAMING, message=message)
    except TerminalError as error:
        log.error("Feed %s cannot be streamed: %s", feed, error)  # noqa: TRY400 - the sentence says it all
        refused.state = Failed(name=REFUSED, message=str(error))


async def stream(settings: Settings, feed: Feed, dsn: str, prepare_later: Callable[[], object] | None = None) -> State:
    """Ingest until the run is cancelled or its worker stops; every tick received by then is committed."""
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    run_id = UUID(str(runtime.flow_run.id))
    guard = RunGuard(run_id, stop)
    await _predecessor_ended(feed.name, dsn)
    updates = SettingsUpdates()
    beside = (
        guard.watch(),
        report_minutes(feed.name, dsn, stop),
        follow_configuration(settings, updates, stop),
        _label(run_id, dsn, stop),
    )
    # When somebody has limited the deployment's runs and the lease of a slot cannot be renewed, as while the server is
    # away, Prefect cancels what the run awaits. That would end the feed, so it is kept out: the guard ends it in time.
    with anyio.CancelScope(shield=True):
        work = ingest(
            settings, feed, dsn, stop=stop, stop_reason=guard.why, notify=tell, updates=updates, prepare=prepare_later
        )
        await _with(work, stop, beside)
    ending = await guard.ending()
    if ending.given:
        raise Pause(f"The stream has ended: {ending.stop.reason}.", state=ending.state)
    return await _final(run_id, ending.state)


async def _with(work: Awaitable[None], stop: asyncio.Event, beside: Iterable[Coroutine[Any, Any, None]]) -> None:
    tasks = [asyncio.create_task(each) for each in beside]
    try:
        await work
    finally:
        stop.set()
        await asyncio.wait(tasks)


async def _predecessor_ended(feed: str, dsn: str) -> None:
    """When the run was resumed or retried: let the process that executed it before end, which takes seconds."""
    if (runtime.flow_run.run_count or 0) < 2:
        return
    with contextlib.suppress(TransientError):
        await asyncio.to_thread(_wait_until_free, feed, dsn)


def _wait_until_free(feed: str, dsn: str) -> None:
    deadline = clock.monotonic() + PREDECESSOR_SECONDS
    with transient_errors(dsn), connect(dsn, "candleworks flow") as connection:
        while feed in read_holders(connection, [feed]).held and clock.monotonic() < deadline:
            time.sleep(0.2)


async def _label(run_id: UUID, dsn: str, stop: asyncio.Event) -> None:
    """Tell keepers in which database a lock, and on which machine a process, shows that this run is alive."""
    while not stop.is_set():
        try:
            database = await asyncio.to_thread(_database, dsn)
            labels = process_label(runtime.flow_run.run_count or 0) | {DATABASE_LABEL: database}
            async with get_client() as client:
                return await client.update_flow_run_labels(run_id, labels)
        except (TransientError, httpx.HTTPError, PrefectException):
            await asyncio.sleep(LABEL_SECONDS)
    return None


def _database(dsn: str) -> str:
    with transient_errors(dsn), connect(dsn, "candleworks flow label") as connection:
        return read_holders(connection, []).database


async def _final(run_id: UUID, state: State) -> State:
    """Return the state for Prefect to save, unless Prefect has cancelled the run: it would then save Crashed.

    After an absence of the server Prefect may wait for its own connections when all is done; we do not.
    """
    leaving = threading.Timer(LEAVE_SECONDS, os._exit, [0])
    leaving.daemon = True
    leaving.start()
    try:
        await anyio.lowlevel.checkpoint()
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            async with get_client() as client:
                await client.set_flow_run_state(run_id, state)
            await APILogHandler.aflush()
        os._exit(0)
    return state
