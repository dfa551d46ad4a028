"""Keeps every deployed feed streaming: notices runs that died, and starts the next one.

It asks Prefect and the database every few seconds instead of waiting for heartbeats and automations: after an absence
of the server, missing heartbeats tell nothing, but a feed whose advisory lock nobody holds is streamed by nobody.
docs/decisions/0012-keeper.md tells the measurements.
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
from candleworks.settings import Settings
from candleworks.storage.feeds import FeedLocks, read_feed_locks
from flows.support.names import (
    ALREADY_STREAMING,
    DATABASE_LABEL,
    LIMIT_REACHED,
    REFUSED,
    STREAM_FLOW,
    WITH_WORKER,
)
from flows.support.process_label import has_vanished

LOOK_SECONDS = 5.0
DEAD_AFTER_SECONDS = 30.0  # a feed regains its lock within some seconds after the database was away
STUCK_AFTER_SECONDS = 90.0  # a run that was handed to a worker and never began
SHORT_LIFE_SECONDS = 60.0
LONGEST_BRAKE_SECONDS = 300.0
SHOWN_RUNS = 10

log = logging.getLogger("candleworks.keeper")


@dataclass(frozen=True)
class Verdict:
    """What is to be done about a feed: at most one of the two; `note` says why nothing runs.

    `dead` is a run without a process, and `final` the state in which it has ended.
    """

    start_after: str | None = None
    dead: UUID | None = None
    final: State[Any] | None = None
    note: str | None = None


@dataclass
class Keeper:
    """Looks after the feeds of a work pool; any number of workers may do so at once.

    `began` is when this worker started, by the clock of this machine: what was refused before may succeed now.
    """

    pool: str
    settings: Settings
    status: Path | None
    began: datetime = field(default_factory=clock.now)
    local: set[UUID] = field(default_factory=set)
    _unheld_since: dict[UUID, float] = field(default_factory=dict)
    _complained: bool = False
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def look_now(self) -> None:
        """Have it look at once: something has happened."""
        self._wake.set()

    async def keep(self) -> None:
        """Look every few seconds and when told to, until cancelled; what cannot be asked now is asked again."""
        async with get_client(httpx_settings={"timeout": 15}) as client:
            while True:
                self._wake.clear()
                try:
                    await self._look(client)
                    self._complained = False
                except (httpx.HTTPError, PrefectException, CandleworksError) as error:
                    if not self._complained:
                        log.warning("The feeds cannot be looked after for now: %s", error)
                    self._complained = True
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS)

    async def _look(self, client: PrefectClient) -> None:
        deployments = await client.read_deployments(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[STREAM_FLOW])),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[self.pool])),
        )
        feeds = {str(each.parameters.get("feed")): each for each in deployments}
        holders = await asyncio.to_thread(self._holders, list(feeds)) if feeds else None
        notes: dict[str, dict[str, str | None]] = {}
        for feed, deployment in feeds.items():
            runs = [run for run in await _runs(client, deployment) if run.parameters.get("feed", feed) == feed]
            verdict = self._judge(feed, runs, deployment, holders)
            notes[feed] = _described(runs, verdict)
            await self._act(client, feed, deployment, verdict)
        self._tell(notes)

    def _holders(self, feeds: list[str]) -> FeedLocks | None:
        try:
            with (
                database(self.settings) as dsn,
                transient_errors(dsn),
                connect(dsn, "keeper", profile=WATCH) as connection,
            ):
                return read_feed_locks(connection, feeds)
        except CandleworksError:
            return None  # nobody is declared dead while the database does not say so

    def _judge(
        self, feed: str, runs: list[FlowRun], deployment: DeploymentResponse, holders: FeedLocks | None
    ) -> Verdict:
        live = [run for run in runs if run.state and not run.state.is_final()]
        for run in live:
            if self._is_dead(run, live, feed, holders):
                return Verdict(dead=run.id, final=_final(run))
        if live:
            asleep = all(run.state and run.state.is_paused() for run in live)
            return Verdict(
                note="an operator suspended it in Prefect; resume its run to stream again" if asleep else None
            )
        return what_next(runs, deployment, self.began, held=holders is not None and feed in holders.locked)

    def _is_dead(self, run: FlowRun, live: list[FlowRun], feed: str, holders: FeedLocks | None) -> bool:
        """Whether the run says it goes on, but nobody streams its feed into the database that we can ask.

        Who began later and still runs has the feed: it would have been refused otherwise.
        """
        state = run.state
        if run.id in self.local or state is None or holders is None or state.is_scheduled() or state.is_paused():
            return False
        began = run.labels.get(DATABASE_LABEL)
        if state.is_pending():
            return _is_stuck(state)
        if has_vanished(run.labels, run.run_count) or (state.is_cancelling() and _is_stuck(state)):
            return True
        held = feed in holders.locked and not any(_follows(other, run) for other in live)
        if began != holders.database or held:
            self._unheld_since.pop(run.id, None)
            return False
        now = clock.monotonic()
        return now - self._unheld_since.setdefault(run.id, now) >= DEAD_AFTER_SECONDS

    async def _act(self, client: PrefectClient, feed: str, deployment: DeploymentResponse, verdict: Verdict) -> None:
        if verdict.dead and verdict.final:
            log.warning("Feed %s: its run is called %s, for nobody streams it.", feed, verdict.final.type.lower())
            answer = await client.set_flow_run_state(verdict.dead, verdict.final)
            if answer.status == SetStateStatus.ACCEPT:
                self.look_now()
        elif verdict.start_after:
            # Keepers that look at the same time agree on the key, so that there is one run.
            run = await client.create_flow_run_from_deployment(
                deployment.id, name=f"stream {feed}", idempotency_key=verdict.start_after
            )
            log.info("Feed %s: started run %s (%s).", feed, run.id, verdict.start_after)

    def _tell(self, notes: dict[str, dict[str, str | None]]) -> None:
        if self.status:
            self.status.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.status.with_suffix(".new")
            fresh.write_text(json.dumps(notes))
            fresh.replace(self.status)


def _is_stuck(state: State[Any]) -> bool:
    return (clock.now() - state.timestamp).total_seconds() > STUCK_AFTER_SECONDS


def _final(run: FlowRun) -> State[Any]:
    """Return the state of a run whose process is gone; Prefect forgets one that was cancelled before it began."""
    if run.state and run.state.is_cancelling():
        return Cancelled(message="Cancelled.")
    return Crashed(message="Nobody streams the feed: the process is gone.")


def _follows(later: FlowRun, earlier: FlowRun) -> bool:
    """Whether both stream into the same database, and `later` began after the other one."""
    if later.start_time is None or earlier.start_time is None:
        return False
    shared = later.labels.get(DATABASE_LABEL) == earlier.labels.get(DATABASE_LABEL)
    return shared and later.state_type == StateType.RUNNING and later.start_time > earlier.start_time


def what_next(runs: list[FlowRun], deployment: DeploymentResponse, began: datetime, *, held: bool) -> Verdict:
    """Decide about a feed without a living run."""
    if deployment.paused:
        return Verdict(note="paused in Prefect")
    extra = [run for run in runs if _is_surplus(run)]
    ended = sorted((run for run in runs if run not in extra), key=lambda run: _ended(run, began), reverse=True)
    if not ended:
        return Verdict(start_after=f"first-{deployment.id}-{len(extra)}")
    last = ended[0]
    if note := _reason_to_wait(ended, began, held=held):
        return Verdict(note=note)
    return Verdict(start_after=f"after-{last.id}-{len(extra)}")


def _reason_to_wait(ended: list[FlowRun], began: datetime, *, held: bool) -> str | None:
    last = ended[0]
    if _cancelled_by_somebody(last):
        return "an operator cancelled it in Prefect; run its deployment to stream again"
    if held:
        return "streamed by a process outside Prefect"
    if _is_refused(last) and _ended(last, began) > began:
        return last.state.message if last.state else None
    if (clock.now() - _ended(last, began)).total_seconds() < brake_seconds(ended):
        return "starts again in a moment"
    return None


def _ended(run: FlowRun, default: datetime) -> datetime:
    return run.end_time or (run.state.timestamp if run.state else default)


def _is_surplus(run: FlowRun) -> bool:
    """Whether it was refused because another run went on."""
    state = run.state
    refused = state is not None and (state.name == ALREADY_STREAMING or state.message == LIMIT_REACHED)
    return refused and run.state_type == StateType.CANCELLED


def brake_seconds(ended: list[FlowRun]) -> float:
    """Tell how long to wait after runs, newest first, that failed early one after the other; the first is free."""
    early = 0
    for run in ended:
        failed = run.state_type in {StateType.FAILED, StateType.CRASHED}
        if not failed or run.total_run_time.total_seconds() > SHORT_LIFE_SECONDS:
            break
        early += 1
    return min(LONGEST_BRAKE_SECONDS, LOOK_SECONDS * 2 ** (early - 2)) if early > 1 else 0.0


def _cancelled_by_somebody(run: FlowRun) -> bool:
    state = run.state
    return state is not None and state.is_cancelled() and state.message != WITH_WORKER


def _is_refused(run: FlowRun) -> bool:
    return run.state is not None and run.state.name == REFUSED


def _described(runs: list[FlowRun], verdict: Verdict) -> dict[str, str | None]:
    state = runs[0].state if runs else None
    return {
        "state": state.name if state else None,
        "message": state.message if state else None,
        "note": verdict.note,
    }


async def _runs(client: PrefectClient, deployment: DeploymentResponse) -> list[FlowRun]:
    found: list[FlowRun] = []
    with contextlib.suppress(KeyError):
        found = await client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=SHOWN_RUNS,
        )
    return found
