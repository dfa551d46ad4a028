"""A run of checks that is killed loses no failure: results, how far ticks were read, and alerts are stored together."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import sleep

import pytest

from candleworks.clock import monotonic
from candleworks.database.engine import Engine
from candleworks.errors import TerminalError
from tests.quality.conftest import NOW, PRICES, Watched, failing

GATE = 31_415  # an advisory lock at which a run waits while the test holds it
PATIENCE_SECONDS = 180
RUN = """
import os, signal, sys
from datetime import datetime
from candleworks.quality import run_checks
from candleworks.settings import load_settings

def end(notice):
    os.kill(os.getpid(), signal.SIGKILL)

settings = load_settings()
run_checks(settings, settings.dsn.get_secret_value(), "ticks", until=datetime.fromisoformat(sys.argv[1]), notify=end)
"""
OPENED = [("crossed-quotes", "AAPL", "open", "opened", True)]
# The writes of a run in their order; a deferred constraint is checked when the transaction commits.
WRITES = {
    "before the results": "TRIGGER gate BEFORE INSERT ON quality_results FOR EACH STATEMENT",
    "after the results": "TRIGGER gate AFTER INSERT ON quality_results FOR EACH STATEMENT",
    "after the read window": "TRIGGER gate AFTER INSERT ON candleworks.checked_until FOR EACH STATEMENT",
    "before the notification": "TRIGGER gate BEFORE INSERT ON alert_events FOR EACH STATEMENT",
    "while it commits": "CONSTRAINT TRIGGER gate AFTER INSERT ON alert_events INITIALLY DEFERRED FOR EACH ROW",
}

pytestmark = [pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True), pytest.mark.timeout(600)]


@pytest.fixture
def crossed(watched: Watched) -> Watched:
    """A database with one tick whose bid is above its ask, which no run has read yet."""
    watched.check("ticks", until=NOW - timedelta(minutes=10))
    moment = NOW - timedelta(minutes=2) + timedelta(seconds=1)
    watched.tick("AAPL", moment, bid=PRICES["AAPL"] + 0.02, ask=PRICES["AAPL"] + 0.01)
    return watched


@contextmanager
def running(watched: Watched) -> Iterator[subprocess.Popen[bytes]]:
    dsn = watched.settings.dsn.get_secret_value() if watched.settings.dsn else ""
    variables = os.environ | {
        "CANDLEWORKS_DSN": dsn,
        "CANDLEWORKS_HOME": str(watched.settings.home),
        "CANDLEWORKS_CONFIG": "",
    }
    run = subprocess.Popen([sys.executable, "-c", RUN, NOW.isoformat()], env=variables, stderr=subprocess.PIPE)
    try:
        yield run
    finally:
        run.kill()
        run.communicate()


@contextmanager
def gate(watched: Watched, write: str) -> Iterator[None]:
    """Make every run wait at that write, and let nothing through that was killed there."""
    watched.execute(
        "CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS"
        f" 'BEGIN PERFORM pg_advisory_xact_lock({GATE}); RETURN NULL; END'"
    )
    watched.execute(f"CREATE {write} EXECUTE FUNCTION wait_at_gate()")
    watched.execute(f"SELECT pg_advisory_lock({GATE})")
    yield
    watched.execute(f"SELECT pg_terminate_backend(pid, 30000) FROM pg_locks WHERE objid = {GATE} AND NOT granted")
    watched.execute(f"SELECT pg_advisory_unlock({GATE})")
    watched.execute("DROP FUNCTION wait_at_gate() CASCADE")


def wait_until_it_waits(watched: Watched, run: subprocess.Popen[bytes]) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    while not watched.execute(f"SELECT 1 FROM pg_locks WHERE objid = {GATE} AND NOT granted"):
        assert run.poll() is None, run.communicate()
        assert monotonic() < deadline
        sleep(0.01)


def alerts(watched: Watched) -> list[tuple[object, ...]]:
    return watched.execute(
        'SELECT a."check", a.subject, a.status, e.event, e.pending'
        " FROM alerts a JOIN alert_events e ON e.alert_id = a.id"
    )


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_a_run_that_is_killed_at_a_write_leaves_its_failures_to_the_next(crossed: Watched, write: str) -> None:
    """Wherever it is killed, nothing of it is stored; the next run reads the same ticks and opens the alert once."""
    before = crossed.execute("SELECT * FROM candleworks.checked_until ORDER BY 1")
    count = crossed.execute("SELECT count(*) FROM quality_results")
    with gate(crossed, write), running(crossed) as run:
        wait_until_it_waits(crossed, run)
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert alerts(crossed) == []
    assert crossed.execute("SELECT * FROM candleworks.checked_until ORDER BY 1") == before
    assert crossed.execute("SELECT count(*) FROM quality_results") == count
    assert failing(crossed.check("ticks")) == {("crossed-quotes", "AAPL")}
    assert alerts(crossed) == OPENED


def test_a_run_that_is_killed_before_it_notifies_has_stored_its_alert(crossed: Watched) -> None:
    """The notification is in the outbox for whoever delivers; another run does not add a second one."""
    with running(crossed) as run:
        run.wait(PATIENCE_SECONDS)
    assert run.returncode == -signal.SIGKILL
    assert alerts(crossed) == OPENED
    crossed.check("ticks")
    assert alerts(crossed) == OPENED


def test_a_run_whose_alerts_cannot_be_stored_stores_no_results(crossed: Watched) -> None:
    """The database refuses the alert: the next run finds the failure again."""
    crossed.execute("ALTER TABLE alerts ADD CONSTRAINT no CHECK (\"check\" <> 'crossed-quotes')")
    before = crossed.execute("SELECT * FROM candleworks.checked_until ORDER BY 1")
    with pytest.raises(TerminalError, match="The checks cannot run"):
        crossed.check("ticks")
    assert crossed.execute("SELECT * FROM candleworks.checked_until ORDER BY 1") == before
    crossed.execute("ALTER TABLE alerts DROP CONSTRAINT no")
    assert failing(crossed.check("ticks")) == {("crossed-quotes", "AAPL")}
    assert OPENED[0] in alerts(crossed)
