"""The whole platform under Prefect, started by one command."""

import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from candleworks.simulate import running_simulator
from tests.acceptance.platform import Platform, database_of, platform, processes_of
from tests.feed.streaming import until

pytestmark = pytest.mark.timeout(400)
PATIENCE_SECONDS = (
    150  # what the first start may take on a busy machine: Prefect makes its tables and is told everything
)
STOP_SECONDS = 13


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


def ask(up: Platform, path: str, **body: object) -> Any:
    answer = httpx.post(f"http://127.0.0.1:{up.prefect_port}/api{path}", json=body, timeout=60)
    assert answer.is_success, answer.text
    return answer.json()


def test_ingest_is_a_run_that_comes_back_with_its_worker(up: Platform) -> None:
    """It can be seen; what is killed is started again; the stop is clean."""
    assert f"Prefect     http://127.0.0.1:{up.prefect_port}/" in up.output.splitlines()
    runs = ask(up, "/flow_runs/filter", flow_runs={"state": {"name": {"any_": ["Running"]}}})
    assert "stream twelvedata" in {run["name"] for run in runs}
    assert len(ask(up, "/deployments/filter")) >= 9
    for part, name in (("flows.support.worker", "worker"), ("flows.support.server", "server")):
        up.child(part).kill()
        until(
            lambda name=name: f"The Prefect {name} was killed by signal 9 and was restarted.\n" in up.output,
            PATIENCE_SECONDS,
        )
    flows(up)
    assert up.stop(signal.SIGTERM) < STOP_SECONDS
    assert (up.process.returncode, processes_of(up.home)) == (0, [])
    assert deliberate_stops(up) == ["twelvedata"]


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
    """Status 1, as without Prefect; Prefect's state is a file below the home."""
    with (
        running_simulator(refused_keys=("s3cret",)) as simulator,
        platform(directory, prefect=True, CANDLEWORKS_FEED_URL=simulator.feed_url, TWELVEDATA_API_KEY="s3cret") as up,
    ):
        until(lambda: up.process.poll() is not None, PATIENCE_SECONDS)
        assert up.wait() == 1
        assert processes_of(up.home) == []
    assert up.output.splitlines()[-1] == (
        f"The ingest of twelvedata has stopped: Feed twelvedata: {simulator.feed_url} rejected the API key (HTTP 401):"
        f" correct TWELVEDATA_API_KEY. (log: {up.home}/logs/prefect-worker.log)"
    )
    with sqlite3.connect(up.home / "prefect" / "prefect.db") as state:
        assert state.execute("SELECT count(*) FROM flow_run WHERE state_name = 'Refused'").fetchone() == (1,)
