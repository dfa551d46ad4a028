"""An import that is killed leaves whole pieces, and the same command goes on behind them."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from time import sleep

import pytest

from candleworks.clock import monotonic
from candleworks.database.engine import Engine
from tests.imports.conftest import HEADER, Desk
from tests.storage.conftest import Trade, at

NOON = at("2022-10-19 12:00:00")
ROWS = 400_000
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


def wait_until_a_piece_is_stored(desk: Desk, importing: subprocess.Popen[bytes]) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    while not desk.connection.execute("SELECT 1 FROM import_files WHERE stored > 0").fetchone():
        assert importing.poll() is None, importing.communicate()
        assert monotonic() < deadline
        sleep(0.005)


def assert_it_goes_on(desk: Desk, dsn: str, recording: Path) -> None:
    """What is there is whole pieces, with their record; the next run stores the rest."""
    row = desk.connection.execute("SELECT status, rows, stored FROM import_files").fetchone()
    assert row is not None
    assert (row[0], row[1]) == ("importing", row[2])
    assert 0 < desk.count("stocks_real_time") == row[2] < ROWS
    repeated = start(desk, dsn, recording)
    _, errors = repeated.communicate(timeout=PATIENCE_SECONDS)
    assert repeated.returncode == 0, errors
    assert desk.counts() == (ROWS, 0, 1)
    assert desk.connection.execute("SELECT status, rows, stored FROM import_files").fetchone() == (
        *("imported", ROWS, ROWS),
    )
    assert desk.connection.execute("SELECT sum(ticks) FROM candles_1d").fetchone() == (ROWS,)
    assert desk.count("candleworks.import_progress") == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_import_goes_on_where_it_was(desk: Desk, dsn: str, recording: Path, number: signal.Signals) -> None:
    """Killed with -9 or Ctrl-C in the middle of the rows: nothing is there twice, and nothing is missing afterwards."""
    importing = start(desk, dsn, recording)
    wait_until_a_piece_is_stored(desk, importing)
    importing.send_signal(number)
    _, errors = importing.communicate(timeout=PATIENCE_SECONDS)
    if number is signal.SIGINT:
        assert importing.returncode == 1
        assert errors.decode().splitlines()[-1] == "Interrupted: run the same command again to resume."
    assert_it_goes_on(desk, dsn, recording)


def test_a_server_that_goes_away_is_one_line(desk: Desk, dsn: str, recording: Path) -> None:
    """The connection is cut in the middle: one line says so, and the next run goes on."""
    importing = start(desk, dsn, recording)
    wait_until_a_piece_is_stored(desk, importing)
    desk.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'candleworks import'"
    )
    _, errors = importing.communicate(timeout=PATIENCE_SECONDS)
    assert importing.returncode == 1
    assert b"Traceback" not in errors
    assert errors.decode().splitlines()[-1].startswith("The database ")
    assert_it_goes_on(desk, dsn, recording)


def test_candles_that_were_not_refreshed_are_right_all_the_same(desk: Desk) -> None:
    """Whoever dies between the import and its refresh leaves notes, so the views know."""
    rows = [Trade(NOON, "AAPL", 1.0), Trade(NOON, "AAPL", 2.0)]
    desk.book.merge(rows)
    assert desk.connection.execute("SELECT open, close, ticks FROM candles_1d").fetchall() == [(1.0, 2.0, 2)]
