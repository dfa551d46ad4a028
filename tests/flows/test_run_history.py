"""What workers copy from Prefect for the dashboard of flows."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.states import Completed, Crashed, Failed, Running, Scheduled

from candleworks import clock
from candleworks.database.connection import connect
from candleworks.settings import load_settings
from flows.support.run_history import copy_runs, flow_schedules, run_records

NOW = clock.now()
HOURLY = DeploymentResponse(id=uuid4(), flow_id=uuid4(), name="hourly")
PAUSED = DeploymentResponse(id=uuid4(), flow_id=uuid4(), name="paused", paused=True)
DEPLOYMENTS = {each.id: each for each in (HOURLY, PAUSED)}


def run(state: StateType, **fields: object) -> FlowRun:
    return FlowRun.model_validate(
        {"flow_id": HOURLY.flow_id, "deployment_id": HOURLY.id, "state_type": state, "start_time": NOW, **fields}
    )


def test_only_runs_that_began_and_have_a_deployment_are_recorded() -> None:
    """A run that was late and never began is none; one that is named twice is one."""
    twice = run(StateType.COMPLETED)
    found = run_records(
        DEPLOYMENTS,
        [twice, twice, run(StateType.SCHEDULED, start_time=None), run(StateType.FAILED, deployment_id=uuid4())],
    )
    assert [(each.id, each.deployment, each.status) for each in found] == [(twice.id, "hourly", "completed")]


def test_the_next_run_is_the_first_that_is_scheduled() -> None:
    """Deployments without any have none, and are reported all the same."""
    later, soon = NOW + timedelta(hours=2), NOW + timedelta(hours=1)
    scheduled = [run(StateType.SCHEDULED, next_scheduled_start_time=due) for due in (later, soon)]
    found = [(each.deployment, each.paused, each.next_run_at) for each in flow_schedules(DEPLOYMENTS, scheduled)]
    assert found == [("hourly", False, soon), ("paused", True, None)]


@flow
def nothing() -> None:
    """Is never executed."""


@pytest.mark.usefixtures("harness", "here")
def test_runs_are_copied_from_a_real_server(dsn: str) -> None:
    """Every state with its message, also of a run whose process died; what is scheduled; twice is harmless."""
    pool = f"history-{uuid4()}"
    for _ in range(2):
        asyncio.run(_prepare_and_copy(pool))
    with connect(dsn, "test") as connection:
        runs = connection.execute(
            "SELECT status, ended_at IS NULL, message FROM candleworks.flow_runs ORDER BY status"
        ).fetchall()
        shown = connection.execute("SELECT deployment, runs, failed, schedule FROM dashboards.flows").fetchall()
    assert runs == [
        ("completed", False, "42 rows"),
        ("crashed", False, "its process died"),
        ("failed", False, "no credits"),
        ("running", True, None),
    ]
    assert shown == [(f"hourly in {pool}", 4, 2, "scheduled")]


async def _prepare_and_copy(pool: str) -> None:
    async with get_client() as client:
        if not any(each.name == pool for each in await client.read_work_pools()):
            await client.create_work_pool(WorkPoolCreate(name=pool))
            flow_id = await client.create_flow(nothing)
            deployment = await client.create_deployment(flow_id, f"hourly in {pool}", work_pool_name=pool)
            endings = Completed(message="42 rows"), Failed(message="no credits"), Crashed(message="its process died")
            for ending in (*endings, None):
                made = await client.create_flow_run_from_deployment(deployment)
                await client.set_flow_run_state(made.id, Running(), force=True)
                if ending:
                    await client.set_flow_run_state(made.id, ending, force=True)
            due = Scheduled(scheduled_time=clock.now() + timedelta(hours=1))
            await client.create_flow_run_from_deployment(deployment, state=due)
        await copy_runs(client, pool, load_settings(), clock.now() - timedelta(days=1))
