"""`up` ends within its time whatever the database does, and loses nothing."""

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from candleworks.database.connection import connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.simulate import running_simulator
from tests.acceptance.platform import Platform, database_of, platform, processes_of
from tests.acceptance.proxy import Proxy
from tests.feed.stalls import STALLS, StallingServer, server_stopped, stalling_server
from tests.feed.streaming import count, read_journal, stored, trades_of, until

STOP_SECONDS = 10  # what a stop may take at most
PREFECT_SECONDS = 120


@pytest.mark.parametrize("stall", STALLS)
def test_a_stop_does_not_wait_for_a_database_that_does_not_answer(
    stall: Callable[[StallingServer], AbstractContextManager[None]], tmp_path: Path
) -> None:
    """No process is left, and the next start stores every tick that came meanwhile, once."""
    journal = tmp_path / "journal"
    with running_simulator(rate=50, journal=journal) as simulator, stalling_server(tmp_path / "server") as found:
        variables = {"CANDLEWORKS_FEED_URL": simulator.feed_url, "CANDLEWORKS_DSN": found.dsn}
        with platform(tmp_path, **variables) as up:
            up.flows()
            with stall(found):
                sends_more(journal)
                assert up.stop(signal.SIGTERM) < STOP_SECONDS
                assert (up.process.returncode, processes_of(up.home)) == (0, [])
        with platform(tmp_path, "--duration", "10", **variables) as up:
            assert up.wait() == 0
        with connect(found.server.dsn) as connection:
            assert stored(connection) == trades_of(read_journal(journal))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("prefect", [False, True])
def test_a_stop_does_not_wait_for_its_own_server(prefect: bool, tmp_path: Path) -> None:
    """The embedded server is killed, and recovers at the next start."""
    journal = tmp_path / "journal"
    with running_simulator(rate=50, journal=journal) as simulator:
        with platform(tmp_path, prefect=prefect, CANDLEWORKS_FEED_URL=simulator.feed_url) as up:
            up.flows()
            if prefect:
                runs_a_flow(up)
            with server_stopped(StallingServer(EmbeddedServer(up.home), Proxy(up.home))):
                sends_more(journal)
                assert up.stop(signal.SIGTERM) < STOP_SECONDS
                assert processes_of(up.home) == []
        with platform(tmp_path, "--duration", "10", CANDLEWORKS_FEED_URL=simulator.feed_url) as up:
            assert (up.wait(), processes_of(up.home)) == (0, [])
    with database_of(tmp_path / "home") as connection:
        assert count(connection) > 0
        assert stored(connection) == trades_of(read_journal(journal))


def sends_more(journal: Path) -> None:
    """Wait until more ticks were sent."""
    before = len(read_journal(journal))
    until(lambda: len(read_journal(journal)) > before + 50)


def runs_a_flow(up: Platform) -> None:
    """Wait until the worker has reported that the feed is streamed by a run."""
    until((up.home / "prefect" / "feeds.json").exists, PREFECT_SECONDS)
