"""What tells a run that it shall end."""

import asyncio

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.states import AwaitingRetry, Cancelled, Cancelling, Pending, Running, Scheduled

from flows.support.cancellation import CancellationMonitor

START = [Scheduled(), Pending()]


@flow
def nothing() -> None:
    """Be there."""


async def reason_after(states: list[State]) -> str | None:
    """What a monitor says, which starts when a run has gone through these states; None when the run continues."""
    stop = asyncio.Event()
    async with get_client() as client:
        run = await client.create_flow_run(nothing)
        for state in states:
            await client.set_flow_run_state(run.id, state, force=True)
        monitor = CancellationMonitor(run.id, stop)
        watching = asyncio.create_task(monitor.watch())
        try:
            async with asyncio.timeout(3):
                await stop.wait()
            return (await monitor.why()).reason
        except TimeoutError:
            return None
        finally:
            stop.set()
            await watching


@pytest.mark.usefixtures("harness")
def test_a_run_that_was_cancelled_before_it_began_ends() -> None:
    """Prefect lets it begin: between a resume and the start of its process, a cancellation is forgotten."""
    assert asyncio.run(reason_after([*START, Cancelling(), Running()])) == "cancelled in Prefect"


@pytest.mark.usefixtures("harness")
def test_a_run_that_is_retried_after_its_cancellation_goes_on() -> None:
    ended = [*START, Running(), Cancelling(), Cancelled()]
    assert ended[-1].type == StateType.CANCELLED
    assert asyncio.run(reason_after([*ended, AwaitingRetry(), Pending(), Running()])) is None
