"""Keeps every deployed feed streaming: detects runs that died and starts new ones.

It polls Prefect and the database instead of waiting for heartbeats and automations: after an outage of the server
missing heartbeats prove nothing, but a feed whose advisory lock is free is not being streamed.
docs/decisions/0012-keeper.md has the measurements.
"""

import asyncio
import contextlib
import json
import logging
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowFilter,
    FlowFilterName,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import DeploymentResponse, SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectException
from prefect.states import Cancelled, Crashed

from candleworks import clock
from candleworks.database.connection import connect, transient_errors
from candleworks.database.profiles import WATCH
from candleworks.database.server import database
from candleworks.errors import CandleworksError
from candleworks.private_files import create_private_directory
from candleworks.settings import Settings
from candleworks.storage.feeds import FeedLocks, read_feed_locks
from flows.support.run_labels import DATABASE_LABEL, STREAM_FLOW, is_process_gone
from flows.support.run_states import ALREADY_STREAMING, LIMIT_REACHED, REFUSED, WITH_WORKER

POLL_SECONDS = 5.0
DEAD_AFTER_SECONDS = 30.0  # a feed regains its lock within some seconds after an outage of the database
STUCK_AFTER_SECONDS = 90.0  # for a run that was submitted to a worker and never began
SHORT_RUN_SECONDS = 60.0
MAX_BACKOFF_SECONDS = 300.0
RECENT_RUNS = 10
STREAMED_ELSEWHERE = "it is streamed by a process outside Prefect"

log = logging.getLogger("candleworks.restarts")


@dataclass(frozen=True)
class Decision:
    """What to do about a feed: start a run with the idempotency key `start`, or set the `dead` run to `final`.

    A dead run has no process. `note` says why no run is started.
    """

    start: str | None = None
    dead: UUID | None = None
    final: State[Any] | None = None
    note: str | None = None


@dataclass
class FeedRestarter:
    """Restarts the feeds of a work pool; any number of workers may do so at the same time.

    `began` is when this worker started: what was refused before may succeed now. `local` are runs it executes itself.
    `status` is a file that gets the state of the feeds as JSON.
    """

    pool: str
    settings: Settings
    status: Path | None
    began: datetime = field(default_factory=clock.now)
    local: set[UUID] = field(default_factory=set)
    _unlocked_since: dict[UUID, float] = field(default_factory=dict)
    _warned: bool = False
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def check_now(self) -> None:
        """Check at once instead of at the next interval."""
        self._wake.set()

    async def run(self) -> None:
        """Check at intervals and on check_now(), until cancelled; outages are logged once."""
        async with get_client(httpx_settings={"timeout": 15}) as client:
            while True:
                self._wake.clear()
                try:
                    await self._check(client)
                    self._warned = False
                except (httpx.HTTPError, PrefectException, CandleworksError) as error:
                    if not self._warned:
                        log.warning("Feeds cannot be restarted at the moment: %s", error)
                    self._warned = True
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)

    async def _check(self, client: PrefectClient) -> None:
        deployments = await client.read_deployments(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[STREAM_FLOW])),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[self.pool])),
        )
        feeds = {str(each.parameters.get("feed")): each for each in deployments}
        owners = await asyncio.to_thread(self._lock_owners, list(feeds)) if feeds else None
        notes: dict[str, dict[str, str | bool | None]] = {}
        for feed, deployment in feeds.items():
            runs = [run for run in await recent_runs(client, deployment) if run.parameters.get("feed", feed) == feed]
            decision = self.decide(feed, runs, deployment, owners)
            notes[feed] = _status_of(runs, decision, stopped=operator_stop(runs, deployment) is not None)
            await self._act(client, feed, deployment, decision)
        self._write_status(notes)

    def _lock_owners(self, feeds: list[str]) -> FeedLocks | None:
        try:
            with (
                database(self.settings) as dsn,
                transient_errors(dsn),
                connect(dsn, "restarts", profile=WATCH) as connection,
            ):
                return read_feed_locks(connection, feeds)
        except CandleworksError:
            return None  # no run is declared dead without the database

    def decide(
        self, feed: str, runs: list[FlowRun], deployment: DeploymentResponse, owners: FeedLocks | None
    ) -> Decision:
        """Decide about a feed; `owners` of locks are None while the database is unavailable."""
        live = [run for run in runs if run.state and not run.state.is_final()]
        for run in live:
            if self._is_dead(run, live, feed, owners):
                return Decision(dead=run.id, final=_final(run))
        if live:
            return Decision(note=operator_stop(runs, deployment))
        return next_run(runs, deployment, self.began, locked=owners is not None and feed in owners.locked)

    def _is_dead(self, run: FlowRun, live: list[FlowRun], feed: str, owners: FeedLocks | None) -> bool:
        """Whether the run is not final, but its feed is not being streamed into the database in use.

        A lock belongs to the run that began last: it would have been refused otherwise.
        """
        state = run.state
        if run.id in self.local or state is None or owners is None or state.is_scheduled() or state.is_paused():
            return False
        database = run.labels.get(DATABASE_LABEL)
        if state.is_pending():
            return _is_stuck(state)
        if is_process_gone(run.labels, run.run_count) or (state.is_cancelling() and _is_stuck(state)):
            return True
        locked = feed in owners.locked and not any(_follows(other, run) for other in live)
        if database != owners.database or locked:
            self._unlocked_since.pop(run.id, None)
            return False
        now = clock.monotonic()
        return now - self._unlocked_since.setdefault(run.id, now) >= DEAD_AFTER_SECONDS

    async def _act(self, client: PrefectClient, feed: str, deployment: DeploymentResponse, decision: Decision) -> None:
        if decision.dead and decision.final:
            log.warning(
                "Feed %s: its run is set to %s, because its process has ended.", feed, decision.final.type.value
            )
            answer = await client.set_flow_run_state(decision.dead, decision.final)
            if answer.status == SetStateStatus.ACCEPT:
                self.check_now()
        elif decision.start:
            # Workers that decide at the same time use the same key, so that only one run is created.
            run = await client.create_flow_run_from_deployment(
                deployment.id, name=f"stream {feed}", idempotency_key=decision.start
            )
            log.info("Feed %s: created flow run %s (%s).", feed, run.id, decision.start)

    def _write_status(self, notes: dict[str, dict[str, str | bool | None]]) -> None:
        if self.status:
            create_private_directory(self.status.parent)
            fresh = self.status.with_suffix(".new")
            fresh.write_text(json.dumps(notes))
            fresh.replace(self.status)


def _is_stuck(state: State[Any]) -> bool:
    return (clock.now() - state.timestamp).total_seconds() > STUCK_AFTER_SECONDS


def _final(run: FlowRun) -> State[Any]:
    """Return the final state of a run whose process has ended; a cancellation before its start is lost in Prefect."""
    if run.state and run.state.is_cancelling():
        return Cancelled(message="Cancelled.")
    return Crashed(message="The process of the run has ended.")


def _follows(later: FlowRun, earlier: FlowRun) -> bool:
    """Whether both stream into the same database, and `later` began after `earlier`."""
    if later.start_time is None or earlier.start_time is None:
        return False
    shared = later.labels.get(DATABASE_LABEL) == earlier.labels.get(DATABASE_LABEL)
    return shared and later.state_type == StateType.RUNNING and later.start_time > earlier.start_time


def next_run(runs: list[FlowRun], deployment: DeploymentResponse, began: datetime, *, locked: bool) -> Decision:
    """Decide about a feed without an active run; `locked` means that another process streams it."""
    if note := operator_stop(runs, deployment) or (STREAMED_ELSEWHERE if locked else None):
        return Decision(note=note)
    ended = _ended_runs(runs, began)
    extra = len(runs) - len(ended)
    if not ended:
        return Decision(start=f"first-{deployment.id}-{extra}")
    if note := _reason_to_wait(ended, began):
        return Decision(note=note)
    return Decision(start=f"after-{ended[0].id}-{extra}")


def operator_stop(runs: list[FlowRun], deployment: DeploymentResponse) -> str | None:
    """Return how an operator stopped the feed in Prefect; None when nobody did."""
    live = [run for run in runs if run.state and not run.state.is_final()]
    if live:
        suspended = all(run.state and run.state.is_paused() for run in live)
        return "an operator suspended its run in Prefect; resume the run to stream again" if suspended else None
    if deployment.paused:
        return "its deployment is paused in Prefect"
    ended = _ended_runs(runs, clock.now())
    if ended and _is_cancelled_by_operator(ended[0]):
        return "an operator cancelled its run in Prefect; run the deployment to stream again"
    return None


def _ended_runs(runs: list[FlowRun], default: datetime) -> list[FlowRun]:
    """Return the runs that did not end because of another one, the last to end first."""
    own = [run for run in runs if not _is_surplus(run)]
    return sorted(own, key=lambda run: _ended(run, default), reverse=True)


def _reason_to_wait(ended: list[FlowRun], began: datetime) -> str | None:
    last = ended[0]
    if _is_refused(last) and _ended(last, began) > began:
        return last.state.message if last.state else None
    if (clock.now() - _ended(last, began)).total_seconds() < backoff_seconds(ended):
        return "it will be restarted after a back-off"
    return None


def _ended(run: FlowRun, default: datetime) -> datetime:
    return run.end_time or (run.state.timestamp if run.state else default)


def _is_surplus(run: FlowRun) -> bool:
    """Whether it ended because another run was streaming."""
    state = run.state
    refused = state is not None and (state.name == ALREADY_STREAMING or state.message == LIMIT_REACHED)
    return refused and run.state_type == StateType.CANCELLED


def backoff_seconds(ended: list[FlowRun]) -> float:
    """Return how long to wait after consecutive runs, newest first, that failed early; 0 after the first."""
    early = 0
    for run in ended:
        failed = run.state_type in {StateType.FAILED, StateType.CRASHED}
        if not failed or run.total_run_time.total_seconds() > SHORT_RUN_SECONDS:
            break
        early += 1
    return min(MAX_BACKOFF_SECONDS, POLL_SECONDS * 2 ** (early - 2)) if early > 1 else 0.0


def _is_cancelled_by_operator(run: FlowRun) -> bool:
    state = run.state
    return state is not None and state.is_cancelled() and state.message != WITH_WORKER


def _is_refused(run: FlowRun) -> bool:
    return run.state is not None and run.state.name == REFUSED


def _status_of(runs: list[FlowRun], decision: Decision, *, stopped: bool) -> dict[str, str | bool | None]:
    """Return the feed's entry of the status file; `stopped` by an operator, so that `up` does not start it again."""
    state = runs[0].state if runs else None
    return {
        "stopped": stopped,
        "state": state.name if state else None,
        "message": state.message if state else None,
        "note": decision.note,
    }


async def recent_runs(client: PrefectClient, deployment: DeploymentResponse) -> list[FlowRun]:
    """Return the newest runs of a deployment, as many as the decision about a feed needs."""
    found: list[FlowRun] = []
    with contextlib.suppress(KeyError):
        found = await client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=RECENT_RUNS,
        )
    return found
