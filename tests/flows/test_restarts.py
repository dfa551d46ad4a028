"""When a feed's run is dead, and when the next one is started."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import DeploymentResponse

from candleworks import clock
from candleworks.settings import load_settings
from candleworks.storage.feeds import FeedLocks
from flows.support.restarts import (
    DEAD_AFTER_SECONDS,
    STUCK_AFTER_SECONDS,
    Decision,
    FeedRestarter,
    backoff_seconds,
    next_run,
)
from flows.support.run_labels import DATABASE_LABEL, PROCESS_LABEL, process_label
from flows.support.run_states import ALREADY_STREAMING, LIMIT_REACHED, REFUSED, WITH_WORKER

NOW = datetime.now(UTC)
BEGAN = NOW - timedelta(hours=1)
DEPLOYMENT = DeploymentResponse(id=uuid4(), flow_id=uuid4(), name="stream-ticks-x", parameters={"feed": "x"})


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


def run(
    kind: StateType, message: str | None = None, *, name: str | None = None, age: float = 1000, lived: float = 500
) -> FlowRun:
    """A run that ended, or got its state, so many seconds ago."""
    at = NOW - timedelta(seconds=age)
    return FlowRun(
        id=uuid4(),
        flow_id=uuid4(),
        state=State(type=kind, name=name or kind.value.capitalize(), message=message, timestamp=at),
        state_type=kind,
        end_time=at if kind in {StateType.CANCELLED, StateType.CRASHED, StateType.FAILED} else None,
        total_run_time=timedelta(seconds=lived),
    )


def decide(*runs: FlowRun, locked: bool = False) -> Decision:
    return next_run(list(runs), DEPLOYMENT, BEGAN, locked=locked)


def test_a_feed_that_never_ran_is_started() -> None:
    """Deploying it is enough; workers that decide at once agree on the key."""
    assert decide() == Decision(start=f"first-{DEPLOYMENT.id}-0")


@pytest.mark.parametrize("kind", [StateType.CRASHED, StateType.FAILED, StateType.COMPLETED])
def test_a_run_that_ended_unasked_gets_a_successor(kind: StateType) -> None:
    """Exactly one: the key names the run that ended."""
    last = run(kind)
    assert decide(last) == Decision(start=f"after-{last.id}-0")


def test_a_run_that_ended_with_its_worker_gets_a_successor() -> None:
    """Although it is Cancelled: nobody wanted the feed to end."""
    last = run(StateType.CANCELLED, WITH_WORKER)
    assert decide(last).start == f"after-{last.id}-0"


def test_what_somebody_cancelled_stays_cancelled() -> None:
    """Also when a second run had been refused before or after."""
    cancelled = run(StateType.CANCELLED, "Flow run was cancelled successfully.")
    surplus = run(StateType.CANCELLED, "Another one streams.", name=ALREADY_STREAMING, age=5)
    note = Decision(note="an operator cancelled its run in Prefect; run the deployment to stream again")
    assert decide(surplus, cancelled) == decide(cancelled) == note


def test_a_successor_that_was_refused_for_the_limit_is_asked_for_again() -> None:
    """Prefect frees the slot of a killed run late; the key differs, or the refused run would be returned."""
    last = run(StateType.CRASHED)
    assert decide(run(StateType.CANCELLED, LIMIT_REACHED, age=5), last).start == f"after-{last.id}-1"


def test_what_was_refused_waits_for_a_person() -> None:
    """The reason is shown; a worker that was started since tries once more."""
    assert decide(run(StateType.FAILED, "The key is wrong.", name=REFUSED)) == Decision(note="The key is wrong.")
    before = run(StateType.FAILED, "The key is wrong.", name=REFUSED, age=7200)
    assert decide(before).start == f"after-{before.id}-0"


def test_a_feed_that_a_process_outside_streams_is_left_to_it() -> None:
    """Two would only refuse each other."""
    assert decide(run(StateType.CRASHED), locked=True) == Decision(note="it is streamed by a process outside Prefect")


def test_a_paused_deployment_is_left_alone() -> None:
    """Pausing is how a feed is stopped for good."""
    paused = DEPLOYMENT.model_copy(update={"paused": True})
    assert next_run([run(StateType.CRASHED)], paused, BEGAN, locked=False) == Decision(
        note="its deployment is paused in Prefect"
    )


def test_early_crashes_are_braked() -> None:
    """From the second on, longer and longer, up to five minutes; a run that lived for a minute forgives the others."""
    early = [run(StateType.CRASHED, lived=3) for _ in range(10)]
    waits = [backoff_seconds(early[:count]) for count in range(9)]
    assert waits == [0, 0, 5, 10, 20, 40, 80, 160, 300]
    assert backoff_seconds([run(StateType.CRASHED, lived=61), *early]) == 0
    first, second = run(StateType.CRASHED, age=100, lived=3), run(StateType.CRASHED, age=1, lived=3)
    assert decide(second, first) == Decision(note="it will be restarted after a back-off")
    assert decide(second).start == f"after-{second.id}-0"


@pytest.fixture
def restarter() -> FeedRestarter:
    """A restarter that has not checked anything yet."""
    return FeedRestarter("pool", load_settings({}), None)


def dead_run(restarter: FeedRestarter, holders: FeedLocks | None, found: FlowRun) -> UUID | None:
    return restarter.decide("x", [found], DEPLOYMENT, holders).dead


def test_a_running_run_whose_lock_nobody_holds_is_dead(
    restarter: FeedRestarter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while: a feed loses its lock for some seconds when the database was away."""
    running = run(StateType.RUNNING)
    running.labels[DATABASE_LABEL] = "db"
    free, held = FeedLocks("db", frozenset()), FeedLocks("db", frozenset({"x"}))
    start = clock.monotonic()
    assert dead_run(restarter, free, running) is None
    monkeypatch.setattr(clock, "monotonic", lambda: start + DEAD_AFTER_SECONDS + 1)
    assert dead_run(restarter, held, running) is None
    assert dead_run(restarter, free, running) is None
    monkeypatch.setattr(clock, "monotonic", lambda: start + 2 * DEAD_AFTER_SECONDS + 2)
    assert dead_run(restarter, free, running) == running.id


def test_a_run_whose_process_has_vanished_is_dead_at_once(restarter: FeedRestarter) -> None:
    """A worker of the same machine knows; another execution of the run, or one elsewhere, is not judged by it."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    free = FeedLocks("db", frozenset())
    label = str(process_label(1)[PROCESS_LABEL])
    vanished = label.replace(f" {os.getpid()} ", f" {gone.pid} ")
    decisions = {}
    for name, text in {"here": label, "gone": vanished, "elsewhere": f"x{vanished}", "unlabelled": ""}.items():
        running = run(StateType.RUNNING)
        running.run_count = 1
        running.labels |= {DATABASE_LABEL: "db", PROCESS_LABEL: text}
        decisions[name] = dead_run(restarter, free, running) == running.id
        running.run_count = 2
        assert dead_run(restarter, free, running) is None
    assert decisions == {"here": False, "gone": True, "elsewhere": False, "unlabelled": False}


def test_only_who_can_ask_the_run_s_database_judges_it(
    restarter: FeedRestarter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with another database, not while it is away, and never a run that lives in this worker."""
    running = run(StateType.RUNNING)
    running.labels[DATABASE_LABEL] = "db"
    free = FeedLocks("db", frozenset())
    times = iter(range(0, 10_000, 1000))
    monkeypatch.setattr(clock, "monotonic", lambda: float(next(times)))
    for holders in (FeedLocks("other", frozenset()), None):
        assert [dead_run(restarter, holders, running) for _ in range(2)] == [None, None]
    restarter.local.add(running.id)
    assert [dead_run(restarter, free, running) for _ in range(2)] == [None, None]
    restarter.local.clear()
    assert [dead_run(restarter, free, running) for _ in range(2)] == [None, running.id]


def test_a_suspended_run_waits_for_a_person(restarter: FeedRestarter, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long nobody holds its lock; beside a run that streams it says nothing."""
    suspended, running = run(StateType.PAUSED, name="Suspended"), run(StateType.RUNNING)
    suspended.labels[DATABASE_LABEL] = running.labels[DATABASE_LABEL] = "db"
    times = iter(range(0, 10_000, 1000))
    monkeypatch.setattr(clock, "monotonic", lambda: float(next(times)))
    for _ in range(2):
        decision = restarter.decide("x", [suspended], DEPLOYMENT, FeedLocks("db", frozenset()))
        assert decision == Decision(note="an operator suspended its run in Prefect; resume the run to stream again")
    both = restarter.decide("x", [running, suspended], DEPLOYMENT, FeedLocks("db", frozenset({"x"})))
    assert both == Decision()


def test_of_two_runs_that_say_they_stream_the_earlier_is_dead(
    restarter: FeedRestarter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process has vanished with its worker, or the later one would have been refused."""
    earlier, later = run(StateType.RUNNING, age=100), run(StateType.RUNNING, age=50)
    for each, age in ((earlier, 100), (later, 50)):
        each.start_time = NOW - timedelta(seconds=age)
        each.labels[DATABASE_LABEL] = "db"
    times = iter(range(0, 10_000, 1000))
    monkeypatch.setattr(clock, "monotonic", lambda: float(next(times)))
    held = FeedLocks("db", frozenset({"x"}))
    decisions = [restarter.decide("x", [later, earlier], DEPLOYMENT, held).dead for _ in range(2)]
    assert decisions == [None, earlier.id]


def test_a_run_that_was_cancelled_before_it_began_is_cancelled(restarter: FeedRestarter) -> None:
    """Prefect kills its process and leaves the run as it is."""
    cancelling = run(StateType.CANCELLING, age=STUCK_AFTER_SECONDS - 1)
    holders = FeedLocks("db", frozenset())
    assert dead_run(restarter, holders, cancelling) is None
    assert cancelling.state
    cancelling.state.timestamp = NOW - timedelta(seconds=STUCK_AFTER_SECONDS + 1)
    decision = restarter.decide("x", [cancelling], DEPLOYMENT, holders)
    assert decision.dead == cancelling.id
    assert decision.final
    assert decision.final.is_cancelled()


def test_a_run_that_never_began_is_given_up(restarter: FeedRestarter) -> None:
    """Its worker was killed between taking it and starting it."""
    free = FeedLocks("db", frozenset())
    assert dead_run(restarter, free, run(StateType.PENDING, age=STUCK_AFTER_SECONDS - 30)) is None
    stuck = run(StateType.PENDING, age=STUCK_AFTER_SECONDS + 30)
    assert dead_run(restarter, free, stuck) == stuck.id
