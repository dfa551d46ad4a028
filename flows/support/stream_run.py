"""The run that streams a feed: how it starts, what it does meanwhile, and the state it ends in."""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any
from uuid import UUID

import anyio
import anyio.lowlevel
import httpx
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import Pause, PrefectException
from prefect.logging.handlers import APILogHandler
from prefect.states import Cancelled, Failed
from prefect.utilities.urls import url_for

from candleworks.database.connection import connect, transient_errors
from candleworks.database.profiles import READER
from candleworks.errors import FeedLockedError, TerminalError, TransientError
from candleworks.feed.background import SettingsUpdates
from candleworks.feed.service import ingest
from candleworks.processes import on_stop_signal, wait_until
from candleworks.runtime.history import load_history
from candleworks.runtime.streaming import follow_configuration
from candleworks.settings import Feed, Settings
from candleworks.storage.feeds import read_feed_locks
from candleworks.threads import unless_stopped
from flows.support.artifacts import emit
from flows.support.cancellation import CancellationMonitor
from flows.support.run_labels import DATABASE_LABEL, STREAM_FLOW, process_label
from flows.support.run_states import ALREADY_STREAMING, REFUSED
from flows.support.stream_report import report_feed

LABEL_RETRY_SECONDS = 2
PREDECESSOR_SECONDS = 15
EXIT_SECONDS = 5

log = logging.getLogger("candleworks.flows")


class Refusal:
    """The final state of a run that cannot succeed until a person changes something."""

    state: State


@contextlib.asynccontextmanager
async def refusal(feed: str) -> AsyncIterator[Refusal]:
    """Turn a TerminalError into a final state, which is not restarted; other errors fail the run and are retried.

    The state is AlreadyStreaming where another run or process streams the feed, otherwise Refused.
    """
    refused = Refusal()
    try:
        yield refused
    except FeedLockedError as error:
        message = await _already_streaming(feed, error)
        log.warning("%s", message)
        refused.state = Cancelled(name=ALREADY_STREAMING, message=message)
    except TerminalError as error:
        log.error("Feed %s cannot be streamed: %s", feed, error)  # noqa: TRY400 - a sentence, not a traceback
        refused.state = Failed(name=REFUSED, message=str(error))


async def stream(settings: Settings, feed: Feed, dsn: str, prepare_later: Callable[[], object] | None = None) -> State:
    """Ingest until the run is cancelled or its worker stops; every tick received by then is committed."""
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    monitor = CancellationMonitor(UUID(str(runtime.flow_run.id)), stop)
    await _wait_for_predecessor(feed.name, dsn, stop)
    updates = SettingsUpdates()
    work = ingest(
        settings, feed, dsn, stop=stop, stop_reason=monitor.why, notify=emit, updates=updates, prepare=prepare_later
    )
    history = load_history(settings, feed, dsn, stop)
    return await attend(work, feed.name, dsn, monitor, stop, follow_configuration(settings, updates, stop), history)


async def attend(
    work: Awaitable[None],
    feed: str,
    dsn: str,
    monitor: CancellationMonitor,
    stop: asyncio.Event,
    *others: Coroutine[Any, Any, None],
) -> State:
    """Wait for `work`, which streams the feed until `stop` is set, and report it as the current run.

    Return the final state; Pause is raised when the run was suspended. `others` run beside it.
    """
    run_id = UUID(str(runtime.flow_run.id))
    background = (monitor.watch(), report_feed(feed, dsn, stop), _label(run_id, dsn, stop), *others)
    # If the deployment's concurrency is limited and the lease of a slot cannot be renewed, for example while the server
    # is unavailable, Prefect cancels what the run awaits. The shield keeps the feed streaming; the monitor stops it.
    with anyio.CancelScope(shield=True):
        await _with_background(work, stop, background)
    ending = await monitor.ending()
    if ending.given:
        raise Pause(f"The stream has ended: {ending.stop.reason}.", state=ending.state)
    return await _final(run_id, ending.state)


async def _with_background(
    work: Awaitable[None], stop: asyncio.Event, background: Iterable[Coroutine[Any, Any, None]]
) -> None:
    tasks = [asyncio.create_task(each) for each in background]
    try:
        await work
    finally:
        stop.set()
        await asyncio.wait(tasks)


async def _wait_for_predecessor(feed: str, dsn: str, stop: asyncio.Event) -> None:
    """When the run was resumed or retried: wait until the process that executed it before has ended."""
    if (runtime.flow_run.run_count or 0) < 2:
        return
    with contextlib.suppress(TransientError):
        await unless_stopped(stop, _wait_until_free, feed, dsn)


def _wait_until_free(feed: str, dsn: str) -> None:
    with transient_errors(dsn), connect(dsn, "flow", profile=READER) as connection:
        wait_until(
            lambda: feed not in read_feed_locks(connection, [feed]).locked, PREDECESSOR_SECONDS, poll_seconds=0.2
        )


async def _label(run_id: UUID, dsn: str, stop: asyncio.Event) -> None:
    """Label the run with the database of its lock and with its process, by which workers see that it is alive."""
    while not stop.is_set():
        try:
            database = await unless_stopped(stop, _database, dsn)
            if database is None:
                return None
            labels = process_label(runtime.flow_run.run_count or 0) | {DATABASE_LABEL: database}
            async with get_client() as client:
                return await client.update_flow_run_labels(run_id, labels)
        except (TransientError, httpx.HTTPError, PrefectException):
            await asyncio.sleep(LABEL_RETRY_SECONDS)
    return None


def _database(dsn: str) -> str:
    with transient_errors(dsn), connect(dsn, "flow label", profile=READER) as connection:
        return read_feed_locks(connection, []).database


async def _final(run_id: UUID, state: State) -> State:
    """Return the state for Prefect to save; where Prefect has cancelled the run, save it here, or it becomes Crashed.

    After an outage of the server Prefect may wait long for its connections, so the process exits after a while.
    """
    leaving = threading.Timer(EXIT_SECONDS, os._exit, [0])
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


async def _already_streaming(feed: str, error: FeedLockedError) -> str:
    """Return a sentence that names the run that streams the feed; for another process it is the error's."""
    try:
        owner = await _running_stream(feed)
    except (httpx.HTTPError, PrefectException):
        owner = None
    if owner is None:
        return str(error)
    since = f", since {owner.start_time:%Y-%m-%d %H:%M:%S} UTC" if owner.start_time else ""
    address = url_for("flow-run", obj_id=owner.id)
    return (
        f"Feed {feed} is already being streamed by flow run '{owner.name}' (process {owner.infrastructure_pid}{since}):"
        f" cancel that run first, at {address}"
    )


async def _running_stream(feed: str) -> FlowRun | None:
    async with get_client() as client:
        running = await client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[STREAM_FLOW])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
            ),
            sort=FlowRunSort.START_TIME_ASC,
        )
    others = [run for run in running if run.parameters.get("feed") == feed and str(run.id) != runtime.flow_run.id]
    return others[-1] if others else None
