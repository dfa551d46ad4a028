"""The worker of candleworks: `python -m flows.support.worker`. A process worker that can be stopped without harm.

docs/decisions/0011-worker.md tells what `prefect worker start` does differently, and what that costs.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio.to_thread
import httpx
import psutil
from anyio.abc import TaskStatus
from candleworks.runtime.processes import stop_with_parent
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow
from prefect.flows import load_flow_from_flow_run
from prefect.settings import PREFECT_API_URL, get_current_settings
from prefect.utilities.processutils import command_to_string
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from candleworks.processes import on_stop_signal
from candleworks.runtime.prefect import RUN_MODULE, runs_left_behind
from candleworks.settings import load_settings
from flows.support.deploy import POOL, deploy_if_changed
from flows.support.names import IN_WORKER_TAG, WITH_PARENT
from flows.support.offline_workers import remove_offline_workers, worker_name
from flows.support.restarts import Keeper

STOP_SECONDS = 8.0
LEAVE_SECONDS = 2.0
RUN_ENVIRONMENT = {
    WITH_PARENT: "1",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "candleworks",  # the library's log lines are the run's
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}

log = logging.getLogger("candleworks.worker")


class PlatformJobConfiguration(ProcessJobConfiguration):
    """Runs start where the worker runs, and without a process before theirs that only prepares a directory.

    That one costs a second import of Prefect: 2.7 s of a core and 5.5 s to the first line of a flow instead of 1.75 s
    and 3.5 s.
    """

    def prepare_for_flow_run(self, *arguments: Any, **named: Any) -> None:
        self.command = self.command or command_to_string([sys.executable, "-m", RUN_MODULE])
        self.working_dir = self.working_dir or Path.cwd()
        self.env = {**RUN_ENVIRONMENT, **self.env}
        super().prepare_for_flow_run(*arguments, **named)


class PlatformWorker(ProcessWorker):
    """Takes no more runs once `stopping` is set; `keeper` is told which runs are alive because they are here."""

    job_configuration = PlatformJobConfiguration
    stopping = False
    keeper: Keeper | None = None

    @classmethod
    def __dispatch_key__(cls) -> str:
        return "candleworks-process"  # beside Prefect's own process worker

    async def __aenter__(self) -> Self:
        """Keep files in Prefect's home: its runner's directory in /tmp belongs to whoever came first."""
        home, shared = get_current_settings().home, tempfile.tempdir
        home.mkdir(parents=True, exist_ok=True)
        tempfile.tempdir = str(home)
        try:
            await super().__aenter__()
        finally:
            tempfile.tempdir = shared
        return self

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        return [] if self.stopping else await super().get_and_submit_flow_runs()

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        here = self.keeper.local if self.keeper else set()
        here.add(flow_run.id)
        try:
            if IN_WORKER_TAG in flow_run.tags:
                return await self._run_here(flow_run, task_status or anyio.TASK_STATUS_IGNORED)
            return await super().run(flow_run, configuration, task_status)
        finally:
            here.discard(flow_run.id)
            if self.keeper:
                self.keeper.look_now()

    async def _run_here(self, flow_run: FlowRun, task_status: TaskStatus[int]) -> ProcessWorkerResult:
        """Execute a short run in a thread: a process for it costs 1.75 s of a core, every minute."""
        task_status.started(os.getpid())
        fresh = await self.client.read_flow_run(flow_run.id)
        flow = await load_flow_from_flow_run(flow_run=fresh)
        await anyio.to_thread.run_sync(
            partial(run_flow, flow, flow_run=fresh, return_type="state"), abandon_on_cancel=True
        )
        return ProcessWorkerResult(status_code=0, identifier=str(os.getpid()))


async def work(
    pool: str, queues: list[str] | None, status: Path | None, *, deploy: bool, with_healthcheck: bool
) -> None:
    """Work until a stop signal comes; the runs are then told to end, and have some seconds to do so."""
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    await _server_answers(stop)
    if deploy and not stop.is_set():
        await asyncio.to_thread(deploy_if_changed, pool)
    if stop.is_set():
        await _end_runs()
        return
    await remove_offline_workers(pool)
    name = worker_name(queues)
    worker = PlatformWorker(name=name, work_pool_name=pool, work_queues=queues, create_pool_if_not_found=True)
    worker.keeper = Keeper(pool, load_settings(), status)
    starting = worker.start(with_healthcheck=with_healthcheck, printer=log.info)
    tasks = {asyncio.create_task(starting), asyncio.create_task(worker.keeper.keep())}
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    worker.stopping = True
    await _end_runs()
    _leave_soon()
    for task in (*tasks, stopped):
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for error in results:
        if isinstance(error, Exception):
            raise error


async def _server_answers(stop: asyncio.Event) -> None:
    """Wait for Prefect's server, more eagerly than the worker would."""
    address = f"{PREFECT_API_URL.value()}/health"
    async with httpx.AsyncClient() as client:
        while not stop.is_set():
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(address)).is_success:
                    return
            await asyncio.sleep(0.1)


async def _end_runs() -> None:
    runs = _runs_to_end()
    for run in runs:
        with contextlib.suppress(psutil.NoSuchProcess):
            run.terminate()
    deadline = asyncio.get_running_loop().time() + STOP_SECONDS
    while any(run.is_running() and run.status() != psutil.STATUS_ZOMBIE for run in runs):
        if asyncio.get_running_loop().time() > deadline:
            log.warning("%d runs did not end within %s s and are killed.", len(_runs_to_end()), STOP_SECONDS)
            return
        await asyncio.sleep(0.05)


def _leave_soon() -> None:
    """Leave in any case: without its server, as after a kill of `up`, Prefect repeats its farewells for a minute."""
    leaving = threading.Timer(LEAVE_SECONDS, os._exit, [0])
    leaving.daemon = True
    leaving.start()


def _runs_to_end() -> list[psutil.Process]:
    """Return the processes of our runs, and of those whose worker was killed: they would outlive everything."""
    runs = runs_left_behind(os.environ.get("CANDLEWORKS_HOME"))
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if RUN_MODULE in child.cmdline():
                runs.append(child)
    return runs


def main() -> None:
    """Read the command line and work."""
    parser = argparse.ArgumentParser(prog="python -m flows.support.worker", description=__doc__)
    parser.add_argument("--pool", default=POOL, help="work pool (default: %(default)s)")
    parser.add_argument("--queue", action="append", help="take runs of this queue only; may be repeated")
    parser.add_argument("--status", type=Path, help="file in which to say how the feeds do")
    parser.add_argument("--deploy", action="store_true", help="deploy prefect.yaml first, if anything has changed")
    parser.add_argument(
        "--with-healthcheck",
        action="store_true",
        help="answer /health on PREFECT_WORKER_WEBSERVER_HOST and PREFECT_WORKER_WEBSERVER_PORT",
    )
    options = parser.parse_args()
    stop_with_parent()
    asyncio.run(
        work(
            options.pool,
            options.queue,
            options.status,
            deploy=options.deploy,
            with_healthcheck=options.with_healthcheck,
        )
    )


if __name__ == "__main__":
    main()
