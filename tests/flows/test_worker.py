"""What a worker ends with itself."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from flows.support.names import WITH_PARENT
from flows.support.worker import ENGINE, runs_to_end
from tests.ingest.streaming import until

STARTING = f"""
import subprocess, sys
command = [sys.executable, "-c", "import time; time.sleep(60)", "{ENGINE}"]
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
    """Of the same home; those of others, and what has nothing to do with workers, are left alone."""
    monkeypatch.setenv("CANDLEWORKS_HOME", "/here")
    with (
        orphan(**{WITH_PARENT: "1"}) as ours,
        orphan(**{WITH_PARENT: "1", "CANDLEWORKS_HOME": "/elsewhere"}) as foreign,
        orphan() as unknown,
    ):
        until(lambda: psutil.Process(ours).environ().get("CANDLEWORKS_HOME") == "/here")
        found = {process.pid for process in runs_to_end()}
        assert ours in found
        assert not {foreign, unknown} & found
