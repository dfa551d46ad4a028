"""The worker of candleworks, a process worker that stops its runs in order: `python -m flows.support.worker`.

docs/decisions/0011-worker.md describes the differences to `prefect worker start`.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import platform
import tempfile
import threading
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio.to_thread
import httpx
import psutil
from anyio.abc import TaskStatus
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, Worker
from prefect.exceptions import PrefectException
from prefect.flow_engine import run_flow
from prefect.flows import load_flow_from_flow_run
from prefect.settings import PREFECT_API_URL, get_current_settings
from prefect.utilities.processutils import command_to_string
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from candleworks import clock
from candleworks.private_files import create_private_directory
from candleworks.processes import end_processes, on_stop_signal, python_module, stop_with_parent
from candleworks.runtime.prefect import RUN_MODULE, runs_left_behind
from candleworks.settings import load_settings
from candleworks.wording import counted
from flows.support.cancellation import STOP_WITH_PARENT
from flows.support.deploy import POOL, deploy_if_changed
from flows.support.restarts import FeedRestarter
from flows.support.run_history import record_runs
from flows.support.run_labels import IN_WORKER_TAG

STOP_SECONDS = 8.0
EXIT_SECONDS = 2.0
DEFAULT_HEARTBEAT_SECONDS = 30
RUN_ENVIRONMENT = {
    STOP_WITH_PARENT: "1",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "candleworks",  # the run's log includes the library's
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}

T = TypeVar("T")

log = logging.getLogger("candleworks.worker")


class PlatformJobConfiguration(ProcessJobConfiguration):
    """Starts runs in the worker's directory, without the process that Prefect starts first to prepare one.

    That process costs a second import of Prefect: 2.7 s of a core instead of 1.75 s, and 5.5 s to the first line of a
    flow instead of 3.5 s. What a run brings along of its own, such as a command, is not used: whoever may create a run
    could execute any program here. The deployment and the work pool decide.
    """

    @classmethod
    async def resolve_for_flow_run(cls, flow_run: FlowRun, **named: Any) -> Self:
        if flow_run.job_variables:
            log.warning(
                "Run %s: its job variables %s are not used; those of the deployment are.",
                flow_run.name,
                sorted(flow_run.job_variables),
            )
        return await super().resolve_for_flow_run(flow_run.model_copy(update={"job_variables": {}}), **named)

    def prepare_for_flow_run(self, *arguments: Any, **named: Any) -> None:
        self.command = self.command or command_to_string(python_module(RUN_MODULE))
        self.working_dir = self.working_dir or Path.cwd()
        self.env = {**RUN_ENVIRONMENT, **self.env}
        super().prepare_for_flow_run(*arguments, **named)


class PlatformWorker(ProcessWorker):
    """Takes no more runs once `stopping` is set; `restarter` learns which runs this worker executes.

    It outlasts any outage of Prefect's server. Prefect's own worker ends after twelve failed requests in a row, which
    takes 90 s if it asks every two seconds, and a stream that stores ticks would end with it.
    """

    job_configuration = PlatformJobConfiguration
    stopping = False
    available = True
    restarter: FeedRestarter | None = None

    @classmethod
    def __dispatch_key__(cls) -> str:
        return "candleworks-process"  # beside Prefect's own process worker

    async def __aenter__(self) -> Self:
        """Keep files in Prefect's home: the runner's directory in /tmp belongs to the user who created it first."""
        home, shared = get_current_settings().home, tempfile.tempdir
        create_private_directory(home)
        tempfile.tempdir = str(home)
        try:
            await super().__aenter__()
        finally:
            tempfile.tempdir = shared
        return self

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        return [] if self.stopping else await self._outlast(super().get_and_submit_flow_runs()) or []

    async def _sync_and_initialize(self) -> None:
        await self._outlast(super()._sync_and_initialize())

    async def _outlast(self, request: Awaitable[T]) -> T | None:
        """Return None while the server is unavailable; the next request follows after the usual time."""
        try:
            answer = await request
        except httpx.HTTPError as error:
            if isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500:
                raise
            if self.available:
                log.warning("Prefect's server is unavailable, asking until it is back: %s", error)
            self.available = False
            return None
        if not self.available:
            log.info("Prefect's server is available again.")
        self.available = True
        return answer

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        here = self.restarter.local if self.restarter else set()
        here.add(flow_run.id)
        try:
            if IN_WORKER_TAG in flow_run.tags:
                return await self._run_here(flow_run, task_status or anyio.TASK_STATUS_IGNORED)
            return await super().run(flow_run, configuration, task_status)
        finally:
            here.discard(flow_run.id)
            gc.collect()  # see free_what_runs_leave()
            if self.restarter:
                self.restarter.check_now()

    async def _run_here(self, flow_run: FlowRun, task_status: TaskStatus[int]) -> ProcessWorkerResult:
        """Execute a short run in a thread: a process would cost 1.75 s of a core, every minute."""
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
    """Execute runs until a stop signal; the runs then have STOP_SECONDS to stop."""
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    await _wait_for_server(stop)
    if deploy and not stop.is_set():
        await deploy_if_changed(pool, stop)
    if stop.is_set():
        await _end_runs()
        return
    await remove_offline_workers(pool)
    free_what_runs_leave()
    name = worker_name(queues)
    worker = PlatformWorker(name=name, work_pool_name=pool, work_queues=queues, create_pool_if_not_found=True)
    settings = load_settings()
    worker.restarter = FeedRestarter(pool, settings, status)
    starting = worker.start(with_healthcheck=with_healthcheck, printer=log.info)
    tasks = set(map(asyncio.create_task, (starting, worker.restarter.run(), record_runs(pool, settings))))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    worker.stopping = True
    await _end_runs()
    _exit_soon()
    for task in (*tasks, stopped):
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for error in results:
        if isinstance(error, Exception):
            raise error


def free_what_runs_leave() -> None:
    """Make it cheap to collect garbage after each run, by leaving out what was there before the first.

    A run leaves clients of Prefect in reference cycles. Each holds up to 0.7 MB of certificates outside of Python's
    memory. The collector does not count them: it would wait for a hundred runs, and the worker grow by 40 MiB an hour.
    """
    gc.collect()
    gc.freeze()


def worker_name(queues: Sequence[str] | None) -> str:
    """Return the same name at each start, so that a restarted worker replaces its entry in Prefect's list."""
    return " ".join(["candleworks on", platform.node() or "localhost", *sorted(queues or ())])


async def remove_offline_workers(pool: str) -> None:
    """Delete the pool's offline workers, which Prefect would list for ever; one that comes back is listed again."""
    with contextlib.suppress(httpx.HTTPError, PrefectException):  # the next start deletes them
        async with get_client() as client:
            for each in await client.read_workers_for_work_pool(pool):
                if _is_offline(each):
                    path = {"work_pool_name": pool, "name": each.name}
                    await client.request("DELETE", "/work_pools/{work_pool_name}/workers/{name}", path_params=path)
                    log.info("Deleted the offline worker %s.", each.name)


def _is_offline(worker: Worker) -> bool:
    """Whether three heartbeats in a row are missing."""
    interval = worker.heartbeat_interval_seconds
    tolerance = timedelta(seconds=3 * (DEFAULT_HEARTBEAT_SECONDS if interval is None else interval))
    return worker.last_heartbeat_time is None or clock.now() - worker.last_heartbeat_time > tolerance


async def _wait_for_server(stop: asyncio.Event) -> None:
    """Wait for Prefect's server, polling more often than the worker would."""
    address = f"{PREFECT_API_URL.value()}/health"
    async with httpx.AsyncClient() as client:
        while not stop.is_set():
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(address)).is_success:
                    return
            await asyncio.sleep(0.1)


async def _end_runs() -> None:
    killed = await asyncio.to_thread(end_processes, _runs_to_end(), STOP_SECONDS)
    if killed:
        log.warning("%s did not stop within %s s and had to be killed.", counted(len(killed), "run"), STOP_SECONDS)


def _exit_soon() -> None:
    """Exit in any case: without its server, as after a kill of `up`, Prefect retries requests for a minute."""
    leaving = threading.Timer(EXIT_SECONDS, os._exit, [0])
    leaving.daemon = True
    leaving.start()


def _runs_to_end() -> list[psutil.Process]:
    """Return the processes of our runs, and of runs whose worker was killed, which nothing else would end."""
    runs = runs_left_behind(os.environ.get("CANDLEWORKS_HOME"))
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if RUN_MODULE in child.cmdline():
                runs.append(child)
    return runs


def main() -> None:
    """Run the worker."""
    parser = argparse.ArgumentParser(prog="python -m flows.support.worker", description=__doc__)
    parser.add_argument("--pool", default=POOL, help="work pool (default: %(default)s)")
    parser.add_argument("--queue", action="append", help="only runs of this work queue; repeatable")
    parser.add_argument("--status", type=Path, help="file to write the status of the feeds to, as JSON")
    parser.add_argument("--deploy", action="store_true", help="deploy prefect.yaml first if it has changed")
    parser.add_argument(
        "--with-healthcheck",
        action="store_true",
        help="serve /health on PREFECT_WORKER_WEBSERVER_HOST and PREFECT_WORKER_WEBSERVER_PORT",
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
