"""Removes deployments that are in the files no more, such as those of feeds that were renamed or removed."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.states import Cancelling

from flows.support.deployments import last_deployed

LOOK_SECONDS = 0.5
WORKER_SECONDS = 5.0
END_SECONDS = 20.0
_GOING = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]

log = logging.getLogger("candleworks.deploy")


async def remove(client: PrefectClient, pool: str, found: Iterable[DeploymentResponse]) -> None:
    """Remove those that were deployed by us into the pool, after their runs have ended in order."""
    for each in found:
        if each.work_pool_name != pool or last_deployed(each) is None:
            continue
        runs = await _runs(client, each.id)
        for run in runs:
            state: State[Any] = Cancelling(message="Its deployment was removed: the files name it no more.")
            await client.set_flow_run_state(run.id, state, force=True)
        if runs:
            await _until_ended(client, each.id)
        await client.delete_deployment(each.id)
        log.info("%s was removed: the files name it no more.%s", each.name, " Its run was cancelled." if runs else "")


async def _until_ended(client: PrefectClient, deployment: UUID) -> None:
    """Wait for the runs and for their worker, which reads the deployment once more; not for a worker that is gone."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            while await _runs(client, deployment):  # noqa: ASYNC110 - Prefect tells nobody
                await asyncio.sleep(LOOK_SECONDS)
            await asyncio.sleep(WORKER_SECONDS)


async def _runs(client: PrefectClient, deployment: UUID) -> list[FlowRun]:
    return await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_GOING))),
    )
