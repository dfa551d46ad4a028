"""`up` as somebody who is not root."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.platform import STOP_SECONDS, platform, processes_of
from tests.conftest import can_import


@pytest.fixture
def somebody() -> Iterator[str]:
    """An ordinary user who exists for one test and can run this Python."""
    if os.geteuid() != 0 or not shutil.which("useradd"):
        pytest.skip("only root can become somebody else, by useradd")
    name = f"candleworks-{os.getpid()}"
    subprocess.run(["useradd", "--no-create-home", "--user-group", name], check=True)  # noqa: S607 - as found above
    try:
        if not can_import("candleworks", user=name, cwd="/"):
            pytest.skip(f"other users cannot run {sys.executable}: give them access to it and what it links to")
        yield name
    finally:
        subprocess.run(["userdel", name], check=True)  # noqa: S607 - as found above


def test_an_ordinary_user_can_run_everything(somebody: str) -> None:
    """The data is theirs, and the stop is as clean as root's."""
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        shutil.chown(directory, somebody, somebody)
        with platform(directory, user=somebody, HOME=directory) as up:
            up.flows()
            assert up.stop(signal.SIGTERM) < STOP_SECONDS
            assert (up.process.returncode, processes_of(up.home)) == (0, [])
        assert (directory / "home" / "postgres").owner() == somebody
