"""Copies from Prefect what the dashboards show of flows: their last runs and when they run next.

Workers do it, and not the flows: a run that crashed, or that nobody started, tells nothing itself.
"""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectException

from candleworks import clock
from candleworks.database.connection import connect, transient_errors
from candleworks.database.profiles import WATCH
from candleworks.database.server import database
from candleworks.errors import CandleworksError
from candleworks.settings import Settings
from candleworks.storage.flow_runs import FlowRunRecord, FlowSchedule, RunStatus, save_flows

INTERVAL_SECONDS = 20.0
FIRST_LOOK = timedelta(days=1)
OVERLAP = timedelta(minutes=5)  # for runs whose end reached Prefect late
PAGE = 200  # Prefect's limit
STATUSES: dict[StateType, RunStatus] = {
    StateType.RUNNING: "running",
    StateType.CANCELLING: "running",
    StateType.PAUSED: "paused",
    StateType.COMPLETED: "completed",
    StateType.FAILED: "failed",
    StateType.CRASHED: "crashed",
    StateType.CANCELLED: "cancelled",
}
ACTIVE = [StateType.RUNNING, StateType.CANCELLING, StateType.PAUSED]

log = logging.getLogger("candleworks.worker")


async def record_runs(pool: str, settings: Settings) -> None:
    """Copy what is new at intervals, until cancelled; after an outage the next copy has what was missed."""
    since = clock.now() - FIRST_LOOK
    async with get_client(httpx_settings={"timeout": 15}) as client:
        while True:
            began = clock.now()
            try:
                await copy_runs(client, pool, settings, since)
                since = began - OVERLAP
            except (httpx.HTTPError, PrefectException, CandleworksError) as error:
                log.debug("The runs of flows could not be copied: %s", error)
            await asyncio.sleep(INTERVAL_SECONDS)


async def copy_runs(client: PrefectClient, pool: str, settings: Settings, since: datetime) -> None:
    in_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    deployments = {each.id: each for each in await client.read_deployments(work_pool_filter=in_pool, limit=PAGE)}
    ended = FlowRunFilter(end_time=FlowRunFilterEndTime(after_=since))
    runs = await _runs(client, deployments, ended, FlowRunSort.END_TIME_DESC)
    runs += await _runs(client, deployments, _in_state(*ACTIVE), FlowRunSort.START_TIME_DESC)
    scheduled = await _runs(
        client, deployments, _in_state(StateType.SCHEDULED), FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC
    )
    records, schedules = run_records(deployments, runs), flow_schedules(deployments, scheduled)
    await asyncio.to_thread(_save, settings, pool, records, schedules)


async def _runs(
    client: PrefectClient, deployments: Iterable[UUID], wanted: FlowRunFilter, sort: FlowRunSort
) -> list[FlowRun]:
    ours = DeploymentFilter(id=DeploymentFilterId(any_=list(deployments)))
    return await client.read_flow_runs(deployment_filter=ours, flow_run_filter=wanted, sort=sort, limit=PAGE)


def _in_state(*types: StateType) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))))


def run_records(deployments: dict[UUID, DeploymentResponse], runs: Iterable[FlowRun]) -> list[FlowRunRecord]:
    """Return the runs that have started, each once."""
    return list(
        {
            run.id: FlowRunRecord(
                run.id,
                deployments[run.deployment_id].name,
                STATUSES[run.state_type],
                run.start_time,
                run.end_time,
                run.state.message if run.state else None,
            )
            for run in runs
            if run.start_time and run.state_type in STATUSES and run.deployment_id in deployments
        }.values()
    )


def flow_schedules(deployments: dict[UUID, DeploymentResponse], scheduled: Iterable[FlowRun]) -> list[FlowSchedule]:
    """Return each deployment with the first of its scheduled runs."""
    following: dict[Any, datetime] = {}
    for run in scheduled:
        if due := run.next_scheduled_start_time or run.expected_start_time:
            following[run.deployment_id] = min(due, following.get(run.deployment_id, due))
    return [FlowSchedule(each.name, each.paused, following.get(each.id)) for each in deployments.values()]


def _save(settings: Settings, pool: str, runs: list[FlowRunRecord], schedules: list[FlowSchedule]) -> None:
    with database(settings) as dsn, transient_errors(dsn), connect(dsn, "flow runs", profile=WATCH) as connection:
        save_flows(connection, pool, runs, schedules)
