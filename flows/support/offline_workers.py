"""Workers of earlier starts, which Prefect's page would list as offline for ever."""

import contextlib
import logging
import platform
from collections.abc import Sequence
from datetime import timedelta

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import Worker
from prefect.exceptions import PrefectException

from candleworks import clock

DEFAULT_HEARTBEAT_SECONDS = 30

log = logging.getLogger("candleworks.worker")


def worker_name(queues: Sequence[str] | None) -> str:
    """Return the same name at each start, so that a worker takes its own place in the list again."""
    return " ".join(["candleworks on", platform.node() or "localhost", *sorted(queues or ())])


async def remove_offline_workers(pool: str) -> None:
    """Remove those of the pool that are silent for as long as Prefect waits; one that comes back is listed again."""
    with contextlib.suppress(httpx.HTTPError, PrefectException):  # the next start removes them
        async with get_client() as client:
            for each in await client.read_workers_for_work_pool(pool):
                if _is_silent(each):
                    path = {"work_pool_name": pool, "name": each.name}
                    await client.request("DELETE", "/work_pools/{work_pool_name}/workers/{name}", path_params=path)
                    log.info("Removed the worker %s, which is offline.", each.name)


def _is_silent(worker: Worker) -> bool:
    """Whether three heartbeats in a row did not come."""
    interval = worker.heartbeat_interval_seconds
    patience = timedelta(seconds=3 * (DEFAULT_HEARTBEAT_SECONDS if interval is None else interval))
    return worker.last_heartbeat_time is None or clock.now() - worker.last_heartbeat_time > patience
