"""Who streams a feed that a second run was started for, in words for that run's final state."""

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
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectException
from prefect.utilities.urls import url_for

from candleworks.errors import FeedHeldError
from flows.support.names import STREAM_FLOW


async def already_streamed(feed: str, error: FeedHeldError) -> str:
    """Name the run that streams the feed; a process outside Prefect is named as the database knows it."""
    try:
        rival = await _rival(feed)
    except (httpx.HTTPError, PrefectException):
        rival = None
    if rival is None:
        return str(error)
    since = f", since {rival.start_time:%Y-%m-%d %H:%M:%S} UTC" if rival.start_time else ""
    address = url_for("flow-run", obj_id=rival.id)
    return (
        f"Feed {feed} is already being streamed by flow run '{rival.name}' (process {rival.infrastructure_pid}{since}):"
        f" cancel that first, at {address}"
    )


async def _rival(feed: str) -> FlowRun | None:
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
