"""Deploying again to a real Prefect server: what a person changed there stays, what the files changed comes."""

import asyncio
import logging
import os
import platform
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.automations import Automation
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.events.actions import CancelFlowRun
from prefect.settings import get_current_settings
from prefect.states import Running

from candleworks.processes import python_module
from candleworks.runtime.prefect import RUN_MODULE
from flows.support import deploy as deploying
from flows.support.automations import EVENTS, automate
from flows.support.deploy import deploy
from flows.support.deployments import PREFECT_FILE as NAME
from flows.support.worker import remove_offline_workers, worker_name

ROOT = Path(__file__).parents[2]
REFRESH, GAPS, CHECK = (
    "refresh-candles/refresh-candles",
    "fill-gaps/fill-gaps",
    "check-quality/check-quality-of-the-day",
)
IMPORT = "import-ticks/import-ticks"
NIGHTLY = "maintain-storage/maintain-storage"
STREAM = "stream-ticks/stream-ticks-"


class Stage:
    """The files of a platform, a work pool of its own, and the server that they are deployed to."""

    def __init__(self, directory: Path, client: SyncPrefectClient) -> None:
        self._directory, self.client = directory, client
        self.pool = f"pool-{uuid.uuid4().hex[:8]}"
        self.content: dict[str, Any] = yaml.safe_load((ROOT / NAME).read_text())
        used = {each.partition("/")[2] for each in (REFRESH, GAPS, CHECK, NIGHTLY, IMPORT)}
        others = [each for each in self.content["deployments"] if each["name"] in used]
        self.content["deployments"] = [self.content["deployments"][0], *others]
        self.feeds("one")

    def feeds(self, *names: str) -> None:
        feeds = [{"name": name, "symbols": [f"S{index}"]} for index, name in enumerate(names)]
        (self._directory / "candleworks.yaml").write_text(yaml.safe_dump({"feeds": feeds}))

    def entry(self, name: str) -> dict[str, Any]:
        return next(each for each in self.content["deployments"] if each["name"] == name)

    def deploy(self, *, reset: bool = False) -> None:
        (self._directory / NAME).write_text(yaml.safe_dump(self.content))
        deploy(self.pool, reset=reset)

    def __getitem__(self, name: str) -> DeploymentResponse:
        return self.client.read_deployment_by_name(name)

    def names(self) -> set[str]:
        found = self.client.read_deployments(limit=200)
        return {each.name for each in found if each.work_pool_name == self.pool}

    def update(self, name: str, **fields: Any) -> None:
        self.client.update_deployment(self[name].id, DeploymentUpdate(**fields))

    def every(self, name: str, seconds: int) -> None:
        """Change the interval as Prefect's page does."""
        found = self[name]
        schedule = IntervalSchedule(interval=timedelta(seconds=seconds))
        self.client.update_deployment_schedule(found.id, found.schedules[0].id, schedule=schedule)

    def seconds(self, name: str) -> list[float]:
        return [each.schedule.interval.total_seconds() for each in self[name].schedules]  # type: ignore[union-attr]


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Deployed once; what is deployed is removed afterwards, since the server is shared."""
    request.getfixturevalue("harness")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CANDLEWORKS_CONFIG", raising=False)
    monkeypatch.delenv("CANDLEWORKS_EVENT_WEBHOOK", raising=False)
    with get_client(sync_client=True) as client:
        found = Stage(tmp_path, client)
        found.deploy()
        yield found
        for each in client.read_deployments(limit=200):
            client.delete_deployment(each.id)


def test_what_a_person_changed_stays_when_a_feed_is_added(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A pause, an interval, a paused schedule, a parameter, tags and a schedule of one's own; the log says so."""
    stage.update(f"{STREAM}one", paused=True)
    stage.update(CHECK, parameters={"hours": 48}, tags=["mine"])
    stage.every(REFRESH, 90)
    nightly = stage[NIGHTLY]
    stage.client.update_deployment_schedule(nightly.id, nightly.schedules[0].id, active=False)
    own = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(days=1)))
    stage.client.create_deployment_schedules(stage[GAPS].id, [own])
    ids = {name: stage[name].id for name in (REFRESH, CHECK, f"{STREAM}one")}
    stage.feeds("one", "two")
    with caplog.at_level(logging.INFO, "candleworks.deploy"):
        stage.deploy()
    assert stage[f"{STREAM}two"].parameters == {"feed": "two"}
    assert (stage[f"{STREAM}one"].paused, stage[f"{STREAM}two"].paused) == (True, False)
    assert (stage[CHECK].parameters, stage[CHECK].tags) == ({"hours": 48}, ["mine"])
    assert stage.seconds(REFRESH) == [90]
    assert not stage[NIGHTLY].schedules[0].active
    assert sorted(stage.seconds(GAPS)) == [600, 86400]
    assert {name: stage[name].id for name in ids} == ids
    assert (
        "refresh-candles: schedules.schedule.when stays every 90 s, as set in Prefect (files: every 60 s)."
        in caplog.messages
    )
    assert not [each for each in caplog.records if each.levelno > logging.INFO]


def test_what_the_files_changed_comes_beside_what_a_person_changed(stage: Stage) -> None:
    """Field by field of one deployment; schedules that the files remove or add are removed and added."""
    stage.every(REFRESH, 90)
    stage.update(CHECK, paused=True)
    stage.entry("refresh-candles")["description"] = "Another one."
    stage.entry("refresh-candles")["parameters"] = {}
    stage.entry("check-quality-of-the-day")["parameters"] = {"hours": 12}
    stage.entry("check-quality-of-the-day")["schedules"] = [{"interval": 7200, "slug": "other"}]
    stage.deploy()
    assert (stage[REFRESH].description, stage.seconds(REFRESH)) == ("Another one.", [90])
    assert (stage[CHECK].parameters, stage[CHECK].paused, stage.seconds(CHECK)) == ({"hours": 12}, True, [7200])
    stage.entry("fill-gaps")["schedules"][0]["interval"] = 1200
    stage.deploy()
    assert (stage.seconds(GAPS), stage.seconds(REFRESH)) == ([1200], [90])


def test_a_conflict_is_shown_and_what_a_person_set_stays(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Once, as a warning that names both values; `--reset` takes what the files say."""
    stage.every(REFRESH, 90)
    stage.entry("refresh-candles")["schedules"][0]["interval"] = 120
    stage.deploy()
    [warning] = [each.getMessage() for each in caplog.records if each.name == "candleworks.deploy"]
    assert warning == (
        "refresh-candles: schedules.schedule.when was changed both in the files (every 120 s) and in Prefect (every"
        " 90 s); Prefect's value is kept. Change it there, or reset all deployments to the files with `python -m"
        " flows.support.deploy --reset`."
    )
    caplog.clear()
    stage.deploy()
    assert stage.seconds(REFRESH) == [90]
    assert {each.levelno for each in caplog.records} == {logging.INFO}
    stage.deploy(reset=True)
    assert stage.seconds(REFRESH) == [120]


def test_a_deployment_that_is_as_it_should_be_is_not_touched(stage: Stage) -> None:
    """Its schedule keeps its beginning, its coming runs stay planned."""
    before = {name: stage[name] for name in (REFRESH, GAPS, CHECK)}
    stage.deploy()
    assert {name: stage[name].updated for name in before} == {name: each.updated for name, each in before.items()}
    assert {name: stage[name].schedules for name in before} == {name: each.schedules for name, each in before.items()}


def test_a_feed_that_was_renamed_leaves_no_deployment(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its run is asked to end in order; what a person deployed stays."""
    monkeypatch.setattr(deploying, "END_SECONDS", 0)  # nobody is there to end it
    old = stage[f"{STREAM}one"]
    run = stage.client.create_flow_run_from_deployment(old.id)
    stage.client.set_flow_run_state(run.id, Running(), force=True)
    theirs = stage.client.create_deployment(old.flow_id, "their-own", work_pool_name=stage.pool)
    stage.feeds("two")
    with caplog.at_level(logging.INFO, "candleworks.deploy"):
        stage.deploy()
    assert {each for each in stage.names() if each.startswith("stream-ticks")} == {"stream-ticks-two"}
    assert stage.client.read_deployment(theirs).name == "their-own"
    state = stage.client.read_flow_run(run.id).state
    assert state
    assert state.type == StateType.CANCELLING
    assert "stream-ticks-one was deleted, as it is no longer in the files. Its run was cancelled." in caplog.messages


def test_what_was_deployed_last_is_remembered_by_the_server(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So that a worker deploys only what is new to this server, also one with another home."""
    deployed = tmp_path / "deployed"

    def note(*arguments: str) -> list[str]:
        program = f"import sys; open({str(deployed)!r}, 'a').write(' '.join(sys.argv[1:]))"
        return [sys.executable, "-c", program, *arguments]

    monkeypatch.setattr(deploying, "python_module", note)
    asyncio.run(deploying.deploy_if_changed(stage.pool, asyncio.Event()))
    assert not deployed.exists()
    stage.feeds("one", "two")
    asyncio.run(deploying.deploy_if_changed(stage.pool, asyncio.Event()))
    assert deployed.read_text() == f"flows.support.deploy --pool {stage.pool}"


def test_a_stop_does_not_wait_for_a_deployment(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is repeated at the next start."""
    stage.feeds("one", "two", "three")
    monkeypatch.setattr(deploying, "python_module", lambda *_: [sys.executable, "-c", "import time; time.sleep(600)"])

    async def deploy_and_stop() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(1, stop.set)
        await asyncio.wait_for(deploying.deploy_if_changed(stage.pool, stop), 60)

    asyncio.run(deploy_and_stop())


@pytest.mark.usefixtures("stage")
def test_automations_keep_their_ids_and_what_a_person_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a webhook, without one, and with one again: their history goes on, and a disabled one stays disabled."""

    def found() -> dict[str, Automation]:
        return {name: Automation.read(name=name) for name in EVENTS}

    first = found()
    failed = first["candleworks: quality failed"]
    assert [each.type for each in failed.actions] == ["do-nothing"]
    assert "http://127.0.0.1:8050/quality" in failed.description
    failed.disable()
    monkeypatch.setenv("CANDLEWORKS_EVENT_WEBHOOK", "http://127.0.0.1:1/")
    automate()
    posting = found()
    assert {each.actions[0].type for each in posting.values()} == {"send-notification"}
    assert {name: each.id for name, each in posting.items()} == {name: each.id for name, each in first.items()}
    assert not posting["candleworks: quality failed"].enabled
    edited = Automation.read(id=failed.id)
    edited.actions = [CancelFlowRun()]
    edited.update()
    monkeypatch.delenv("CANDLEWORKS_EVENT_WEBHOOK")
    automate()
    last = found()
    assert {name: [action.type for action in each.actions] for name, each in last.items()} == {
        "candleworks: feed refused": ["do-nothing"],
        "candleworks: quality failed": ["cancel-flow-run"],
        "candleworks: quality resolved": ["do-nothing"],
    }
    assert {name: each.id for name, each in last.items()} == {name: each.id for name, each in first.items()}


def test_workers_of_earlier_starts_are_removed(stage: Stage) -> None:
    """Those that are silent; one that starts again takes the place that it had."""
    stage.client.send_worker_heartbeat(stage.pool, "gone", heartbeat_interval_seconds=0)
    stage.client.send_worker_heartbeat(stage.pool, worker_name(["near"]), heartbeat_interval_seconds=30)
    asyncio.run(remove_offline_workers(stage.pool))
    [left] = stage.client.read_workers_for_work_pool(stage.pool)
    assert left.name == f"candleworks on {platform.node()} near"


def test_a_run_that_was_called_wrongly_ends_without_a_traceback(stage: Stage) -> None:
    """In a process of its own, as a worker starts it: the reason is the state's message and one line of the log."""
    run = stage.client.create_flow_run_from_deployment(stage[IMPORT].id, parameters={"paths": ["x"], "columns": "time"})
    environment = get_current_settings().to_environment_variables(exclude_unset=True)
    program = [*python_module(RUN_MODULE), str(run.id)]
    done = subprocess.run(program, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    state = stage.client.read_flow_run(run.id).state
    assert state
    assert (state.name, state.message) == (
        "Failed",
        "--columns time is not a mapping: write it like time=Date,bid=Bid,ask=Ask.",
    )
    assert "ERROR   | candleworks.flows - --columns time is not a mapping" in done.stderr
    assert "Traceback" not in done.stderr
