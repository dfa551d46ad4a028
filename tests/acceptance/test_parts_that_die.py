"""What dies is started again, whatever else is wrong, and what keeps dying is shown and alerted."""

import json
import socket
from pathlib import Path

import psutil
import pytest

from candleworks.database.connection import connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.processes import find_process
from candleworks.simulate import running_simulator
from tests.acceptance.platform import PATIENCE_SECONDS, platform
from tests.cli.commands import started
from tests.feed.stalls import backends_stopped, stalling_server
from tests.feed.streaming import count, read_journal, until

FIRST_START_SECONDS = 180  # all migrations and forty years of sessions, on a busy machine


def test_a_part_is_started_again_while_the_database_does_not_answer(tmp_path: Path) -> None:
    """Nothing of `up` waits for the state that it shows."""
    with stalling_server(tmp_path / "server") as found, running_simulator(rate=20) as simulator:
        variables = {"CANDLEWORKS_FEED_URL": simulator.feed_url, "CANDLEWORKS_DSN": found.dsn}
        with platform(tmp_path, **variables) as up:
            up.flows()
            with backends_stopped(found):
                until(lambda: "The database is not responding." in up.output, PATIENCE_SECONDS)
                up.child("serve").kill()
                restarted = "The chart page was killed by signal 9 and was restarted.\n"
                until(lambda: restarted in up.output, PATIENCE_SECONDS)


def test_a_part_that_keeps_dying_is_shown_and_alerted(tmp_path: Path) -> None:
    """A chart page without its port; the feed goes on."""
    with platform(tmp_path) as up:
        up.flows()
        stream = up.child("ingest").pid
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            up.child("serve").kill()
            until(lambda: _bound(holder, up.port))
            holder.listen()
            until(lambda: "The chart page exited with status 1" in up.output, PATIENCE_SECONDS)
            with connect(EmbeddedServer(up.home).dsn) as connection:
                alert = "SELECT FROM alerts WHERE \"check\" = 'watch-part' AND subject = 'part/chart page'"
                until(lambda: connection.execute(alert).fetchone() is not None, PATIENCE_SECONDS)
                before = count(connection)
                until(lambda: count(connection) > before)
        assert up.child("ingest").pid == stream
        assert json.loads((up.home / "run" / "parts.json").read_text())["ingest of twelvedata"] is None


def _bound(holder: socket.socket, port: int) -> bool:
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


@pytest.mark.timeout(600)
def test_a_stream_that_dies_before_prefect_responds_is_started_again(tmp_path: Path) -> None:
    """It does not wait for Prefect, which may take long or never come."""
    with platform(tmp_path, prefect=True) as up:
        until(lambda: "flows.support.ingest" in commands(up.process.pid), PATIENCE_SECONDS)
        up.child("flows.support.ingest").kill()
        restarted = "The ingest of twelvedata was killed by signal 9 and was restarted.\n"
        until(lambda: restarted in up.output, PATIENCE_SECONDS)
        up.flows()


def commands(pid: int) -> list[str]:
    return [word for child in psutil.Process(pid).children() for word in child.cmdline()]


@pytest.mark.timeout(600)
def test_an_ingest_alone_revives_its_database(tmp_path: Path) -> None:
    """All of the server is killed, as when memory runs out; ticks are stored again."""
    journal, server = tmp_path / "journal", EmbeddedServer(tmp_path / "home")
    with (
        running_simulator(rate=50, journal=journal) as simulator,
        started("ingest", directory=tmp_path, CANDLEWORKS_FEED_URL=simulator.feed_url) as process,
    ):
        until(lambda: journal.exists() and len(read_journal(journal)) > 50, FIRST_START_SECONDS)
        killed = postmaster_of(server)
        for each in (killed, *killed.children()):
            each.kill()
        sent = len(read_journal(journal))
        until(lambda: is_ready(server, but=killed.pid), PATIENCE_SECONDS)
        with connect(server.dsn) as connection:
            until(lambda: count(connection) > sent + 50, PATIENCE_SECONDS)
        assert process.poll() is None


def postmaster_of(server: EmbeddedServer) -> psutil.Process:
    return psutil.Process(int((server.data / "postmaster.pid").read_text().split()[0]))


def is_ready(server: EmbeddedServer, but: int) -> bool:
    """Whether another process than `but` serves."""
    try:
        text = (server.data / "postmaster.pid").read_text()
        pid = int(text.split()[0])
        return pid != but and find_process(pid) is not None and "ready" in text
    except (OSError, ValueError, IndexError):
        return False
