"""Detects that a run has to stop, even after outages of Prefect's server or of the worker.

Prefect gives up delivering a cancellation when its server was unavailable for some twenty seconds, does not deliver a
suspension at all, and never reaches a process whose worker was killed. So the run polls its own state.
"""

import asyncio
import contextlib
import os
from dataclasses import dataclass
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelled, Suspended

from candleworks.model.gaps import Stop
from flows.support.run_states import WITH_WORKER

STOP_WITH_PARENT = "CANDLEWORKS_STOP_WITH_PARENT"  # set by the worker
POLL_SECONDS = 2.0
PARENT_SECONDS = 0.2  # checking the parent is free, and the next run can start once this one has ended
LAST_POLL_SECONDS = 1.5


@dataclass(frozen=True)
class Ending:
    """Why a run ends, and in which state; `given` means that Prefect has this state already."""

    stop: Stop
    state: State
    given: bool = True


CANCELLED = Ending(Stop("cancelled in Prefect", deliberate=True), Cancelled(message="Cancelled."), given=False)
WITH_ITS_WORKER = Ending(Stop("its worker ended", deliberate=False), Cancelled(message=WITH_WORKER), given=False)


class CancellationMonitor:
    """Sets `stop` when the run was cancelled, suspended or deleted, or when another process executes it."""

    def __init__(self, run_id: UUID, stop: asyncio.Event) -> None:
        self._run_id = run_id
        self._stop = stop
        self._parent = os.getppid() if STOP_WITH_PARENT in os.environ else None
        self._execution: int | None = None
        self._ending: Ending | None = None
        self._decided = asyncio.Event()

    async def ending(self) -> Ending:
        """Wait, after `stop` was set, until the reason is known."""
        await self._decided.wait()
        return self._ending or WITH_ITS_WORKER

    async def why(self) -> Stop:
        return (await self.ending()).stop

    async def watch(self) -> None:
        # The client's own retries back off for minutes, and would keep waiting when the server is back.
        try:
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
                await self._watch()
        finally:
            self._decided.set()

    async def _watch(self) -> None:
        async with get_client(httpx_settings={"timeout": 5}) as client:
            polling = asyncio.create_task(self._poll(client))
            while not self._stop.is_set():
                if self._parent is not None and os.getppid() != self._parent:
                    self._end(WITH_ITS_WORKER)
                await _pause(self._stop, PARENT_SECONDS)
            polling.cancel()
            await asyncio.wait({polling})
            if self._ending is None:  # a signal: because of a cancellation, or because the worker stops?
                with contextlib.suppress(TimeoutError, httpx.HTTPError, PrefectException):
                    async with asyncio.timeout(LAST_POLL_SECONDS):
                        await self._check(client)

    async def _poll(self, client: PrefectClient) -> None:
        while not self._stop.is_set():
            # A failed request is no reason to stop; the next one may succeed.
            with contextlib.suppress(httpx.HTTPError, PrefectException):
                await self._check(client)
            await _pause(self._stop, POLL_SECONDS)

    async def _check(self, client: PrefectClient) -> None:
        try:
            run = await client.read_flow_run(self._run_id)
        except ObjectNotFound:
            deleted = Stop("its run was deleted in Prefect", deliberate=False)
            return self._end(Ending(deleted, Cancelled(message="Deleted.")))
        if self._execution is None and await _was_cancelled_before(client, run):
            return self._end(CANCELLED)
        self._execution = self._execution or run.run_count
        if ending := _ending(run, self._execution):
            self._end(ending)
            if run.state is not None and run.state.is_paused() and not run.state.state_details.pause_reschedule:
                await client.set_flow_run_state(self._run_id, _suspended(run.state), force=True)
        return None

    def _end(self, ending: Ending) -> None:
        self._ending = self._ending or ending
        self._stop.set()


async def _was_cancelled_before(client: PrefectClient, run: FlowRun) -> bool:
    """Whether this execution was cancelled before it began: Prefect sets it to Running all the same."""
    states = await client.read_flow_run_states(run.id)
    began = max((each.timestamp for each in states if each.is_scheduled()), default=run.created)
    return any(each.is_cancelling() and (began is None or each.timestamp > began) for each in states)


def _ending(run: FlowRun, execution: int) -> Ending | None:
    """Return how the run's state ends this `execution`, the number of its start; None when it does not."""
    state = run.state
    if state is None or (state.is_running() and run.run_count <= execution):
        return None
    if state.is_cancelling() or state.is_cancelled():
        return CANCELLED
    if state.is_paused():
        return Ending(Stop(f"{(state.name or 'paused').lower()} in Prefect", deliberate=True), state)
    if state.is_final():
        return Ending(Stop(f"its run is {state.name} in Prefect", deliberate=False), state)
    return Ending(Stop("another process executes its run", deliberate=False), state)


def _suspended(paused: State) -> State:
    """Return the same pause for a run whose process has ended: resuming it starts a new one."""
    return Suspended(message=paused.message, pause_expiration_time=paused.state_details.pause_timeout)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
