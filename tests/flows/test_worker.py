"""What a worker, and `up`, end with themselves."""

import asyncio
import gc
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.runner._flow_run_executor import FlowRunExecutorContext
from prefect.settings import PREFECT_API_URL
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from candleworks.runtime.prefect import RUN_MODULE, runs_left_behind
from flows.support.worker import PlatformWorker
from tests.acceptance.proxy import Proxy
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


@pytest.mark.usefixtures("harness")
def test_it_answers_whether_it_still_asks_for_runs(tmp_path: Path) -> None:
    """On the address that Prefect's settings name, while it works, and without being in the way of its end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    surroundings = {
        "CANDLEWORKS_HOME": str(tmp_path),
        "PREFECT_API_URL": PREFECT_API_URL.value(),
        "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
        "PREFECT_WORKER_WEBSERVER_PORT": str(port),
    }
    command = [sys.executable, "-m", "flows.support.worker", "--pool", "healthy", "--with-healthcheck"]
    worker = subprocess.Popen(command, env=os.environ | surroundings)
    try:
        until(lambda: answer(f"http://127.0.0.1:{port}/health") == (200, {"message": "OK"}), 60)
        addresses = {each.laddr[:2] for each in psutil.Process(worker.pid).net_connections() if each.status == "LISTEN"}
        assert addresses == {("127.0.0.1", port)}
    finally:
        worker.terminate()
        assert worker.wait(30) == 0


@pytest.mark.usefixtures("harness")
def test_it_outlasts_a_server_that_is_unavailable(tmp_path: Path) -> None:
    """Its runs would end with it. Prefect's own worker gives up after twelve failures in a row."""
    address = httpx.URL(PREFECT_API_URL.value())
    with Proxy((address.host, address.port or 80)).running() as proxy:
        surroundings = {
            "CANDLEWORKS_HOME": str(tmp_path),
            "PREFECT_API_URL": str(address.copy_with(host="127.0.0.1", port=proxy.port)),
            "PREFECT_CLIENT_MAX_RETRIES": "0",
            "PREFECT_WORKER_QUERY_SECONDS": "0.05",
        }
        command = [sys.executable, "-m", "flows.support.worker", "--pool", "outlasting"]
        log = tmp_path / "worker.log"
        with log.open("w") as output:
            worker = subprocess.Popen(command, env=os.environ | surroundings, stdout=output, stderr=output)
        try:
            until(lambda: "started!" in log.read_text(), 60)
            proxy.refuse(True)
            proxy.cut()
            until(lambda: "unavailable" in log.read_text(), 30)
            with pytest.raises(subprocess.TimeoutExpired):
                worker.wait(8)
            proxy.refuse(False)
            until(lambda: "available again" in log.read_text(), 30)
        finally:
            worker.terminate()
            assert worker.wait(30) == 0


def answer(url: str) -> tuple[int, object] | None:
    try:
        found = httpx.get(url)
    except httpx.TransportError:
        return None
    return found.status_code, found.json()


@pytest.mark.usefixtures("harness")
def test_what_a_run_leaves_is_freed_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients in reference cycles, with 0.7 MB each that Python does not count: it would wait for a hundred runs."""

    async def run(*_: Any) -> ProcessWorkerResult:
        async with FlowRunExecutorContext():
            return ProcessWorkerResult(status_code=0, identifier="1")

    async def runs() -> None:
        worker = PlatformWorker(work_pool_name="candleworks")
        for _ in range(5):
            await worker.run(FlowRun(flow_id=uuid4()), ProcessJobConfiguration())

    monkeypatch.setattr(ProcessWorker, "run", run)
    asyncio.run(runs())  # imports, and what is kept once
    gc.collect()
    gc.disable()  # as between two of its own collections
    try:
        before = certificates()
        asyncio.run(runs())
        assert certificates() <= before + 1  # that of the loop which has just ended
    finally:
        gc.enable()


def certificates() -> int:
    return sum(isinstance(each, ssl.SSLContext) for each in gc.get_objects())
