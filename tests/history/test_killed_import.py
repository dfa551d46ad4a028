"""An import that is killed leaves everything or nothing, and can be repeated."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from time import sleep

import pytest

from candleworks.clock import monotonic
from candleworks.storage.engine import Engine
from tests.history.conftest import HEADER, Desk
from tests.storage.conftest import Trade, at

NOON = at("2022-10-19 12:00:00")
ROWS = 120_000
PATIENCE_SECONDS = 60

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


@pytest.fixture
def recording(desk: Desk) -> Path:
    """A file that takes some seconds to import."""
    return desk.write(
        HEADER
        + "".join(
            f"{NOON + timedelta(seconds=n // 40):%Y-%m-%d %H:%M:%S}+00,S{n % 20},{n % 97 + 1},{n}\n"
            for n in range(ROWS)
        )
    )


def start(desk: Desk, dsn: str, path: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "CANDLEWORKS_DSN": dsn,
        "CANDLEWORKS_HOME": str(desk.settings.home),
        "CANDLEWORKS_CONFIG": "",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "candleworks", "import", str(path)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def wait_until_it_writes(desk: Desk, importing: subprocess.Popen[bytes]) -> None:
    """Return when the import's transaction has changed something."""
    deadline = monotonic() + PATIENCE_SECONDS
    while not desk.connection.execute(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'candleworks import' AND backend_xid IS NOT NULL"
        " AND query LIKE 'COPY %'"
    ).fetchone():
        assert importing.poll() is None, importing.communicate()
        assert monotonic() < deadline
        sleep(0.005)


def test_a_killed_import_leaves_nothing_and_is_repeated_whole(desk: Desk, dsn: str, recording: Path) -> None:
    """Killed with -9 in the middle of the rows: none of them is there, and the next run stores them all."""
    importing = start(desk, dsn, recording)
    wait_until_it_writes(desk, importing)
    importing.send_signal(signal.SIGKILL)
    importing.wait(PATIENCE_SECONDS)
    assert importing.stderr is not None
    importing.stderr.close()
    assert desk.counts() == (0, 0, 0)
    repeated = start(desk, dsn, recording)
    _, errors = repeated.communicate(timeout=PATIENCE_SECONDS)
    assert (repeated.returncode, errors) == (0, b"")
    assert desk.counts() == (ROWS, 0, 1)
    ticks = desk.connection.execute("SELECT sum(ticks) FROM candles_1d").fetchone()
    assert ticks == (ROWS,)


def test_a_server_that_goes_away_leaves_nothing(desk: Desk, dsn: str, recording: Path) -> None:
    """The connection is cut in the middle: one line says so, and nothing of the file is stored."""
    importing = start(desk, dsn, recording)
    wait_until_it_writes(desk, importing)
    desk.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'candleworks import'"
    )
    _, errors = importing.communicate(timeout=PATIENCE_SECONDS)
    assert importing.returncode == 1
    assert errors.count(b"\n") == 1
    assert b"Traceback" not in errors
    assert desk.counts() == (0, 0, 0)


def test_candles_that_were_not_refreshed_are_right_all_the_same(desk: Desk) -> None:
    """Whoever dies between the import and its refresh leaves notes, so the views know."""
    rows = [Trade(NOON, "AAPL", 1.0), Trade(NOON, "AAPL", 2.0)]
    desk.book.merge(rows)
    assert desk.connection.execute("SELECT open, close, ticks FROM candles_1d").fetchall() == [(1.0, 2.0, 2)]
