"""The whole platform under Prefect, started by one command."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from candleworks.simulate import running_simulator
from tests.acceptance.platform import Platform, database_of, platform, processes_of
from tests.feed.streaming import until

pytestmark = pytest.mark.timeout(400)
PATIENCE_SECONDS = (
    150  # what the first start may take on a busy machine: Prefect makes its tables and is told everything
)
STOP_SECONDS = 10


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests of this file run one after the other, each on what the one before has left."""
    return tmp_path_factory.mktemp("up")


@pytest.fixture
def up(directory: Path) -> Iterator[Platform]:
    """A platform that streams."""
    with platform(directory, prefect=True) as found:
        flows(found)
        yield found


def flows(up: Platform) -> None:
    before = up.ticks("BTC/USD")
    until(lambda: up.ticks("BTC/USD") > before or up.process.poll() is not None, PATIENCE_SECONDS)
    assert up.process.poll() is None, up.output


def streams(up: Platform) -> list[dict[str, Any]]:
    """The runs of the feed, the newest first; none before Prefect responds."""
    try:
        runs: list[dict[str, Any]] = up.prefect("/flow_runs/filter", sort="EXPECTED_START_TIME_DESC")
    except (httpx.TransportError, FileNotFoundError):
        return []
    return [run for run in runs if run["name"] == "stream twelvedata"]


def running(up: Platform, pid: int) -> dict[str, Any]:
    """The run of a process, once it is running."""

    def of_process() -> list[dict[str, Any]]:
        return [run for run in streams(up) if (run["state_name"], run["infrastructure_pid"]) == ("Running", str(pid))]

    until(of_process, PATIENCE_SECONDS)
    return of_process()[0]


def test_ingest_streams_first_and_becomes_a_run(up: Platform) -> None:
    """Without a gap, in the same process; what is killed is started again; the stop is clean."""
    lines = up.output.splitlines()
    assert f"Prefect     http://127.0.0.1:{up.prefect_port}/" in lines
    assert f"            The password is in {up.home / 'prefect' / 'password'}." in lines
    early = up.child("flows.support.ingest")
    run = running(up, early.pid)
    assert [each["id"] for each in streams(up)] == [run["id"]]
    until(lambda: len(up.prefect("/deployments/filter")) >= 9, PATIENCE_SECONDS)
    for part, name in (("flows.support.worker", "worker"), ("flows.support.server", "server")):
        up.child(part).kill()
        until(
            lambda name=name: f"The Prefect {name} was killed by signal 9 and was restarted.\n" in up.output,
            PATIENCE_SECONDS,
        )
    flows(up)
    assert early.is_running()
    early.kill()
    until(lambda: [run["state_name"] for run in streams(up)][:2] == ["Running", "Crashed"], PATIENCE_SECONDS)
    flows(up)
    assert up.stop(signal.SIGTERM) < STOP_SECONDS
    assert (up.process.returncode, processes_of(up.home)) == (0, [])
    assert deliberate_stops(up) == ["twelvedata"]
    with database_of(up.home) as connection:
        gaps = connection.execute("SELECT reason FROM feed_gaps ORDER BY started_at").fetchall()
    assert gaps == [("crashed",), ("stopped",)]


def test_a_cancelled_stream_stays_cancelled(up: Platform) -> None:
    """Also when everything is started again, until somebody runs the deployment."""
    early = up.child("flows.support.ingest")
    run = running(up, early.pid)
    up.prefect(f"/flow_runs/{run['id']}/set_state", state={"type": "CANCELLING", "name": "Cancelling"}, force=True)
    until(lambda: streams(up)[0]["state_name"] == "Cancelled", PATIENCE_SECONDS)
    until(lambda: "an operator cancelled its run in Prefect" in up.output, PATIENCE_SECONDS)
    assert not early.is_running()
    assert up.stop(signal.SIGTERM) < STOP_SECONDS


def test_a_cancelled_stream_is_not_started_with_the_platform(directory: Path) -> None:
    """The run of its deployment streams again."""
    with platform(directory, prefect=True) as up:
        until(lambda: "an operator cancelled its run in Prefect" in up.output, PATIENCE_SECONDS)
        assert [
            child for child in psutil.Process(up.process.pid).children() if "flows.support.ingest" in child.cmdline()
        ] == []
        deployment = streams(up)[0]["deployment_id"]
        up.prefect(f"/deployments/{deployment}/create_flow_run", state={"type": "SCHEDULED"})
        flows(up)
        assert up.stop(signal.SIGTERM) < STOP_SECONDS


def deliberate_stops(up: Platform) -> list[str]:
    with database_of(up.home) as connection:
        return [feed for (feed,) in connection.execute("SELECT feed FROM feed_stops WHERE deliberate").fetchall()]


def test_killed_it_takes_everything_along(up: Platform) -> None:
    """The second start streams again by itself; without `up` nobody goes on."""
    flows(up)  # what the start showed may have been stored before
    up.process.kill()
    until(lambda: processes_of(up.home) == [], PATIENCE_SECONDS)
    assert deliberate_stops(up) == []


def test_a_refused_key_ends_it_with_one_line(directory: Path) -> None:
    """Status 1, as without Prefect, which is not waited for."""
    with (
        running_simulator(refused_keys=("s3cret",)) as simulator,
        platform(directory, prefect=True, CANDLEWORKS_FEED_URL=simulator.feed_url, TWELVEDATA_API_KEY="s3cret") as up,
    ):
        until(lambda: up.process.poll() is not None, PATIENCE_SECONDS)
        assert up.wait() == 1
        assert processes_of(up.home) == []
    assert up.output.splitlines()[-1] == (
        f"The ingest of twelvedata has stopped: Feed twelvedata: {simulator.feed_url} rejected the API key (HTTP 401):"
        f" correct TWELVEDATA_API_KEY. (log: {up.home}/logs/ingest-twelvedata.log)"
    )
