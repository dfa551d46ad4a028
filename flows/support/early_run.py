"""The flow run of a stream that began before Prefect responded: created once it does, and from then on like any other.

It runs in a thread of the streaming process, with an event loop of its own, so that Prefect's requests do not delay
ticks. It is created as Pending, which no worker takes, and labelled with this process.
"""

import asyncio
import contextlib
import contextvars
import logging
import os
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
from prefect import Flow, flow, runtime
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import Abort, ObjectNotFound, Pause, PrefectException
from prefect.flow_engine import run_flow
from prefect.logging.handlers import APILogHandler
from prefect.states import Pending

from candleworks import clock
from candleworks.model.gaps import Stop
from flows.support.artifacts import emit
from flows.support.cancellation import CancellationMonitor
from flows.support.early_stream import EarlyStream
from flows.support.restarts import next_run, operator_stop, recent_runs
from flows.support.run_labels import PROCESS_LABEL, STREAM_FLOW, process_label
from flows.support.stream_run import attend, refusal

POLL_SECONDS = 0.5

log = logging.getLogger("candleworks.flows")


def report(early: EarlyStream) -> None:
    """Run until the stream has ended, or end it where an operator has stopped its feed in Prefect.

    Errors of Prefect do not disturb the stream: the run is created again.
    """
    asyncio.run(_report(early))


async def _report(early: EarlyStream) -> None:
    began = clock.now()
    while not early.stopping.done():
        with contextlib.suppress(httpx.HTTPError, PrefectException):
            run = await _create_run(early, began)
            if run is not None:
                await _execute(early, run)
        early.has_run = False
        await asyncio.sleep(POLL_SECONDS)


async def _create_run(early: EarlyStream, began: datetime) -> FlowRun | None:
    """Return a new run of the feed's deployment; None when there cannot be one yet, or when the stream has to end."""
    async with get_client(httpx_settings={"timeout": 15}) as client:
        try:
            deployment = await client.read_deployment_by_name(f"{STREAM_FLOW}/{STREAM_FLOW}-{early.feed.name}")
        except ObjectNotFound:
            return None
        runs = await recent_runs(client, deployment)
        if note := operator_stop(runs, deployment):
            log.warning("Feed %s is stopped: %s.", early.feed.name, note)
            early.take_over(lambda: _done(Stop(note, deliberate=True)), emit)
            early.end()
            return None
        if any(run.state and not run.state.is_final() for run in runs):
            return None  # of a process that was killed: the worker sets it to Crashed
        start = next_run(runs, deployment, began, locked=False).start
        if start is None or early.stopping.done():
            return None
        early.has_run = True
        return await _create(client, deployment, early.feed.name, start)


async def _create(client: PrefectClient, deployment: DeploymentResponse, feed: str, key: str) -> FlowRun | None:
    """Create a run of this process; None when a worker has created one with the same key."""
    label = process_label(1)
    run = await client.create_flow_run_from_deployment(
        deployment.id, name=f"stream {feed}", state=Pending(), idempotency_key=key, labels=label
    )
    if run.labels.get(PROCESS_LABEL) != label[PROCESS_LABEL]:
        return None
    await client.update_flow_run(run.id, infrastructure_pid=str(os.getpid()))
    return run


async def _execute(early: EarlyStream, run: FlowRun) -> None:
    """Run until the stream has ended or the run was cancelled, suspended or refused."""
    with contextlib.suppress(Abort, Pause), _logs_sent_to(run.id):
        await run_flow(_flow(early), flow_run=run, return_type="state")  # type: ignore[misc]


def _flow(early: EarlyStream) -> Flow[..., Any]:
    @flow(name=STREAM_FLOW, flow_run_name="stream {feed}")
    async def stream_ticks(feed: str) -> State:
        stop = asyncio.Event()
        monitor = CancellationMonitor(UUID(str(runtime.flow_run.id)), stop)
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        early.take_over(
            lambda: asyncio.run_coroutine_threadsafe(monitor.why(), loop), lambda notice: context.run(emit, notice)
        )
        try:
            async with refusal(feed) as refused:
                return await attend(_stream(early, stop), feed, early.dsn, monitor, stop)
        finally:
            early.release()
        return refused.state

    return stream_ticks


async def _stream(early: EarlyStream, stop: asyncio.Event) -> None:
    """Wait until the stream has ended, or end it when the run has to stop; raises what ingest() does."""
    stopping = asyncio.shield(asyncio.wrap_future(early.stopping))
    stopping.add_done_callback(lambda _: stop.set())
    await stop.wait()
    early.end()
    await asyncio.shield(asyncio.wrap_future(early.ended))


@contextlib.contextmanager
def _logs_sent_to(run_id: UUID) -> Iterator[None]:
    """Send log records of the whole process to the run: only this thread has its context."""

    def add_run(record: logging.LogRecord) -> bool:
        record.__dict__.setdefault("flow_run_id", str(run_id))
        return True

    handlers = [each for each in logging.getLogger("candleworks").handlers if isinstance(each, APILogHandler)]
    for handler in handlers:
        handler.addFilter(add_run)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(add_run)


def _done(stop: Stop) -> Future[Stop]:
    done: Future[Stop] = Future()
    done.set_result(stop)
    return done
