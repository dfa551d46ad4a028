"""Feeds under a real Prefect server and worker: cancelled, stopped, killed, and left alone by the server."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from candleworks.database.connection import connect
from candleworks.database.engine import Engine
from candleworks.simulate import RunningSimulator, running_simulator
from tests.acceptance.orchestra import (
    FEED,
    ROOT,
    Orchestra,
    Run,
    alive,
    long_proofs,
    orchestra,
    place,
    receiver,
    stop,
)
from tests.conftest import clone
from tests.feed.streaming import read_journal, stored, trades_of, until

pytestmark = pytest.mark.timeout(900)
postgres = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
RESTARTS_SECONDS = 6  # dead feeds are looked for every five
CANCELLED = "Flow run was cancelled successfully."
long = pytest.mark.skipif(not long_proofs(), reason="takes minutes: set CANDLEWORKS_LONG_PROOFS=1 to run it")


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orchestra]:
    """A server with everything deployed."""
    with orchestra(tmp_path_factory.mktemp("prefect")) as found:
        found.deploy()
        yield found


class Stage:
    """A feed that a worker streams into a database of its own."""

    def __init__(self, prefect: Orchestra, dsn: str, simulator: RunningSimulator, journal: Path) -> None:
        self.prefect, self.dsn, self.simulator, self.journal = prefect, dsn, simulator, journal
        self.deployment = prefect.deployment()

    def ticks(self) -> int:
        with connect(self.dsn) as connection:
            row = connection.execute("SELECT count(*) FROM stocks_real_time").fetchone()
        assert row
        return int(row[0])

    def symbols(self) -> set[str]:
        with connect(self.dsn) as connection:
            return {name for (name,) in connection.execute("SELECT DISTINCT symbol FROM stocks_real_time").fetchall()}

    def flows(self, seconds: float = 60) -> None:
        before = self.ticks()
        until(lambda: self.ticks() > before, seconds)

    def begin(self) -> Run:
        """Wait until it streams, after starting it if a test before has cancelled it: otherwise the worker does."""
        runs = [run for run in self.prefect.runs(self.deployment) if run.state != "AlreadyStreaming"]
        if runs and (runs[0].state, runs[0].message) == ("Cancelled", CANCELLED):
            self.prefect.create(self.deployment)
        run = self.prefect.running(self.deployment)
        self.flows()
        return run

    def everything_is_stored(self) -> None:
        with connect(self.dsn) as connection:
            assert stored(connection) == trades_of(read_journal(self.journal))

    def the_gap_is_booked_and_nothing_doubled(self) -> None:
        with connect(self.dsn) as connection:
            gaps = connection.execute(
                "SELECT count(*) FROM feed_gaps WHERE reason = 'crashed' AND ended_at > started_at"
            ).fetchone()
            assert gaps == (1,)
            assert stored(connection) - trades_of(read_journal(self.journal)) == Counter()


@pytest.fixture
def stage(prefect: Orchestra, dsn: str, tmp_path: Path) -> Iterator[Stage]:
    """A feed of 200 ticks a second that keeps a journal of what it has sent."""
    journal = tmp_path / "journal"
    with running_simulator(rate=200, journal=journal) as simulator:
        yield Stage(prefect, dsn, simulator, journal)


def test_deploying_by_hand_asks_nothing(prefect: Orchestra) -> None:
    """`prefect deploy --all`, which could ask, finds every answer in prefect.yaml."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "deploy", "--all"],
        cwd=ROOT,
        env=prefect.variables(PREFECT_CLI_PROMPT="true"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "?" not in done.stdout


def test_a_thousand_writes_are_accepted(prefect: Orchestra) -> None:
    """From four clients at once, without a retry: no answer is 503, Service Unavailable."""

    def write(client: httpx.Client, writer: int) -> Counter[int]:
        bodies = ({"name": f"write_{writer}_{number}", "value": number} for number in range(250))
        return Counter(client.post("/variables/", json=body).status_code for body in bodies)

    with httpx.Client(base_url=f"{prefect.address}/api", timeout=60) as client, ThreadPoolExecutor(4) as threads:
        answers = sum(threads.map(write, [client] * 4, range(4)), Counter[int]())
    assert answers == {httpx.codes.CREATED: 1000}


def test_events_reach_a_webhook(prefect: Orchestra) -> None:
    """By a block and automations that a deployment saves, once however often it is repeated."""
    with receiver() as (address, received):
        for _ in range(2):
            prefect.automate(CANDLEWORKS_EVENT_WEBHOOK=address)
        names = {each["name"] for each in prefect.ask("POST", "/automations/filter")}
        assert len(prefect.ask("POST", "/automations/filter")) == len(names) == 3
        prefect.tell("candleworks.quality.failed", "candleworks.quality.stale-feed/twelvedata")
        until(lambda: received, 30)
    assert received[0] == {
        "event": "candleworks.quality.failed",
        "text": "stale-feed/twelvedata: {'observed': '99 s'}",
        "source": "candleworks",
    }


@postgres
def test_a_schedule_fires(prefect: Orchestra, stage: Stage) -> None:
    """The minutely refresh completes without anybody asking for it.

    Before the tests that kill a worker: its refresh may keep a slot for the five minutes that Prefect's lease lasts.
    """
    deployment = prefect.deployment("refresh-candles/refresh-candles")

    def completed() -> bool:
        return any(run.auto_scheduled and run.type == "COMPLETED" for run in prefect.runs(deployment))

    with prefect.worker(stage.dsn, stage.simulator.feed_url):
        until(completed, 420)


@postgres
def test_a_cancelled_run_ends_with_every_tick_committed(stage: Stage) -> None:
    """Within ten seconds, as Cancelled; it stays cancelled, and a second run is refused while it goes on."""
    with stage.prefect.worker(stage.dsn, stage.simulator.feed_url):
        run = stage.begin()
        assert run.name == "stream twelvedata"
        second = stage.prefect.ends(stage.prefect.create(stage.deployment))
        assert second.state == "AlreadyStreaming"
        stage.flows()
        stage.prefect.cancel(run.id)
        assert stage.prefect.ends(run.id, 10).state == "Cancelled"
        stage.everything_is_stored()
        until(lambda: not alive(run.pid or 0), 10)
        time.sleep(RESTARTS_SECONDS)
        assert stage.prefect.runs(stage.deployment)[0].id in {run.id, second.id}


@postgres
def test_a_stopped_worker_leaves_nothing_behind(stage: Stage) -> None:
    """Within ten seconds: every tick committed, the run Cancelled, its process gone. The next worker continues."""
    with stage.prefect.worker(stage.dsn, stage.simulator.feed_url) as worker:
        run = stage.begin()
        assert stop(worker) < 10
        assert not alive(run.pid or 0)
        ended = stage.prefect.run(run.id)
        assert (ended.state, ended.message) == ("Cancelled", "Stopped together with its worker.")
        stage.everything_is_stored()
    with stage.prefect.worker(stage.dsn, stage.simulator.feed_url):
        stage.prefect.running(stage.deployment, but=run.id)
        stage.flows()


@postgres
def test_a_stream_follows_its_configuration(stage: Stage, tmp_path: Path) -> None:
    """A symbol that is written into the file is streamed by the same run, over the same connection."""
    file = tmp_path / "candleworks.yaml"
    file.write_text(f"feeds: [{{name: {FEED}, symbols: [BTC/USD]}}]\n")
    with stage.prefect.worker(stage.dsn, stage.simulator.feed_url, CANDLEWORKS_CONFIG=file):
        run = stage.begin()
        assert stage.symbols() == {"BTC/USD"}
        file.write_text(f"feeds: [{{name: {FEED}, symbols: [BTC/USD, ETH/USD]}}]\n")
        until(lambda: stage.symbols() == {"BTC/USD", "ETH/USD"}, 60)
        assert stage.prefect.running(stage.deployment).id == run.id
    assert stage.simulator.stats()["accepted_connections"] == 1


@postgres
def test_a_killed_run_is_replaced(stage: Stage) -> None:
    """Within thirty seconds, by nobody's hand."""
    with stage.prefect.worker(stage.dsn, stage.simulator.feed_url):
        run = stage.begin()
        assert run.pid
        began = time.monotonic()
        os.kill(run.pid, signal.SIGKILL)
        stage.prefect.running(stage.deployment, but=run.id, seconds=30)
        stage.flows(max(1.0, 30 - (time.monotonic() - began)))
        assert stage.prefect.run(run.id).state == "Crashed"
    stage.the_gap_is_booked_and_nothing_doubled()


@postgres
@long
def test_a_run_ends_with_its_killed_worker(stage: Stage) -> None:
    """Without its worker nobody could stop it; the next worker starts another one."""
    with stage.prefect.worker(stage.dsn, stage.simulator.feed_url) as worker:
        run = stage.begin()
        worker.kill()
        until(lambda: not alive(run.pid or 0), 20)
        assert stage.prefect.run(run.id).state == "Cancelled"
        stage.everything_is_stored()


@postgres
@long
def test_a_worker_and_its_run_killed_together_are_replaced(stage: Stage) -> None:
    """Within two minutes after the worker was started anew, which `up`, systemd and Docker do within seconds."""
    with stage.prefect.worker(stage.dsn, stage.simulator.feed_url) as worker:
        run = stage.begin()
        began = time.monotonic()
        worker.kill()
        os.kill(run.pid or 0, signal.SIGKILL)
        worker.wait()
    with stage.prefect.worker(stage.dsn, stage.simulator.feed_url):
        stage.prefect.running(stage.deployment, but=run.id, seconds=120)
        stage.flows(max(1.0, 120 - (time.monotonic() - began)))
        assert stage.prefect.run(run.id).state == "Crashed"
    stage.the_gap_is_booked_and_nothing_doubled()


def absence(stage: Stage, seconds: float) -> None:
    """The server goes for so long and comes back; the run goes on and can then be cancelled."""
    with stage.prefect.worker(stage.dsn, stage.simulator.feed_url):
        run = stage.begin()
        stage.prefect.stop()
        until_time = time.monotonic() + seconds
        while time.monotonic() < until_time:
            stage.flows(10)
            time.sleep(1)
        stage.prefect.start()
        time.sleep(RESTARTS_SECONDS)
        assert stage.prefect.run(run.id).state == "Running"
        assert alive(run.pid or 0)
        stage.flows()
        stage.prefect.cancel(run.id)
        until(lambda: not alive(run.pid or 0), 20)
        assert stage.prefect.ends(run.id).state == "Cancelled"
        stage.everything_is_stored()


@postgres
def test_ingest_does_not_care_whether_the_server_is_there(stage: Stage) -> None:
    """Ten seconds: the worker misses several of its looks."""
    absence(stage, 10)


@postgres
@long
def test_ingest_does_not_care_for_minutes_either(stage: Stage) -> None:
    """Five: longer than a lease lasts."""
    absence(stage, 300)


@postgres
@long
def test_workers_in_different_directories_share_the_feeds_of_one_server(
    stage: Stage, tmp_path: Path, server_dsn: str, template: str
) -> None:
    """Each takes its own queue's feed into its own database, and neither thinks that the other's is dead."""
    prefect, feeds = stage.prefect, {"north": "BTC/USD", "south": "ETH/USD"}
    prefect.deploy(place(tmp_path / "deploying", **feeds))
    with ExitStack() as stack:
        runs = {}
        for feed, symbol in feeds.items():
            dsn = stack.enter_context(clone(server_dsn, template))
            here = place(tmp_path / feed, **feeds)
            variables = {"cwd": here, "CANDLEWORKS_HOME": here / "home"}
            worker = prefect.worker(dsn, stage.simulator.feed_url, "--queue", feed, **variables)
            stack.enter_context(worker)
            runs[feed] = prefect.running(prefect.deployment(f"stream-ticks/stream-ticks-{feed}"))
            until(partial(_holds_only, dsn, symbol))
        time.sleep(40)  # a feed may be without a holder for half a minute
        assert {feed: prefect.run(run.id).state for feed, run in runs.items()} == dict.fromkeys(feeds, "Running")


def _holds_only(dsn: str, symbol: str) -> bool:
    with connect(dsn) as connection:
        found = [name for (name,) in connection.execute("SELECT DISTINCT symbol FROM stocks_real_time").fetchall()]
    assert found in ([], [symbol])
    return bool(found)
