"""Notices that a run shall end, whatever happened in between to Prefect's server or to the worker.

Prefect gives up delivering a cancellation once its server was away for some twenty seconds, and a process whose worker
was killed is told nothing at all. So the run asks by itself.
"""

import asyncio
import contextlib
import os
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.support.names import WITH_PARENT, WITH_WORKER

LOOK_SECONDS = 2.0
LAST_LOOK_SECONDS = 1.5


class RunGuard:
    """Sets `stop` when the run is no longer wanted; `why` is then the message for its final state."""

    def __init__(self, run_id: UUID, stop: asyncio.Event) -> None:
        self._run_id = run_id
        self._stop = stop
        self._parent = os.getppid() if WITH_PARENT in os.environ else None
        self.why: str | None = None

    async def watch(self) -> None:
        # The client's own repetitions wait up to minutes, and would go on doing so when the server is back.
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            await self._watch()

    async def _watch(self) -> None:
        async with get_client(httpx_settings={"timeout": 5}) as client:
            asking = asyncio.create_task(self._ask(client))
            while not self._stop.is_set():
                if self._parent is not None and os.getppid() != self._parent:
                    self._end(WITH_WORKER)
                await _pause(self._stop)
            asking.cancel()
            await asyncio.wait({asking})
            if self.why is None:  # a signal: of somebody's cancellation, or of the worker's end?
                with contextlib.suppress(TimeoutError, httpx.HTTPError, PrefectException):
                    async with asyncio.timeout(LAST_LOOK_SECONDS):
                        await self._look(client)

    async def _ask(self, client: PrefectClient) -> None:
        while not self._stop.is_set():
            # An answer that does not come is no reason to stop; the next one may.
            with contextlib.suppress(httpx.HTTPError, PrefectException):
                await self._look(client)
            await _pause(self._stop)

    async def _look(self, client: PrefectClient) -> None:
        try:
            state = (await client.read_flow_run(self._run_id)).state
        except ObjectNotFound:
            return self._end("The run was deleted.")
        if state is not None and (state.is_cancelling() or state.is_cancelled()):
            self._end("Cancelled.")
        elif state is not None and state.is_final():
            self._end(f"Prefect calls the run {state.name}.")
        return None

    def _end(self, why: str) -> None:
        self.why = self.why or why
        self._stop.set()


async def _pause(stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
