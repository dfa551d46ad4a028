"""What a worker, and `up`, end with themselves."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from candleworks.runtime.prefect import RUN_MODULE, runs_left_behind
from tests.feed.streaming import until

STARTING = f"""
import subprocess, sys
command = [sys.executable, "-c", "import time; time.sleep(60)", "{RUN_MODULE}"]
print(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)
"""


@contextmanager
def orphan(**variables: str) -> Iterator[int]:
    """A process that looks like a run, and whose parent is gone."""
    command = [sys.executable, "-c", STARTING]
    output = subprocess.run(command, env=os.environ | variables, capture_output=True, check=True, text=True).stdout
    process = psutil.Process(int(output))
    try:
        yield process.pid
    finally:
        process.kill()


def test_it_ends_runs_that_a_killed_worker_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same home; those of others are left alone."""
    monkeypatch.setenv("CANDLEWORKS_HOME", "/here")
    with orphan() as ours, orphan(CANDLEWORKS_HOME="/elsewhere") as foreign:
        until(lambda: psutil.Process(ours).environ().get("CANDLEWORKS_HOME") == "/here")
        found = {process.pid for process in runs_left_behind("/here")}
        assert ours in found
        assert foreign not in found
