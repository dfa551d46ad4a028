"""Deploys prefect.yaml, one stream per configured feed, and automations: `python -m flows.support.deploy`.

What was changed in Prefect is kept; docs/decisions/0028-deployment.md describes the merge.
"""

import argparse
import asyncio
import contextlib
import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists, PrefectException
from prefect.settings import get_current_settings
from prefect.states import Cancelling
from prefect.variables import Variable

from candleworks.errors import TerminalError
from candleworks.model.notices import Notice
from candleworks.processes import python_module
from candleworks.settings import Settings, load_settings
from flows.support.artifacts import emit
from flows.support.automations import WEBHOOK, automate
from flows.support.deployments import (
    FieldDifference,
    Tree,
    flow_of,
    from_file,
    from_server,
    is_current,
    last_deployed,
    merge,
    payload,
    read_prefect_file,
)
from flows.support.run_labels import STREAM_FLOW

POOL = "candleworks"
MODULE = "flows.support.deploy"
PAGE = 200  # Prefect's limit
FINGERPRINT = "candleworks_deployed"  # Prefect variable with the hash of the last deployment
POLL_SECONDS = 0.5
WORKER_SECONDS = 5.0
END_SECONDS = 20.0
_ACTIVE = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]

log = logging.getLogger("candleworks.deploy")


def rendered(content: Tree, settings: Settings, pool: str = POOL) -> Tree:
    """Return prefect.yaml with a stream for each configured feed and for no other, in the given work pool.

    A feed without an entry of its own gets a copy of the first one's.
    """
    prefix = f"{STREAM_FLOW}-"
    streams = {each["name"]: each for each in content["deployments"] if each["name"].startswith(prefix)}
    others = [each for each in content["deployments"] if each["name"] not in streams]
    template = next(iter(streams.values()))
    wanted = [streams.get(f"{prefix}{feed.name}") or _stream(template, feed.name) for feed in settings.feeds]
    deployments = [each | {"work_pool": each["work_pool"] | {"name": pool}} for each in (*wanted, *others)]
    return {key: content[key] for key in ("name", "prefect-version", "pull")} | {"deployments": deployments}


def _stream(template: Tree, feed: str) -> Tree:
    return template | {
        "name": f"{STREAM_FLOW}-{feed}",
        "description": f"Streams the feed {feed} until its run is cancelled.",
        "parameters": {"feed": feed},
    }


def deploy(pool: str = POOL, *, reset: bool = False) -> None:
    """Create or update the work pool, deployments, blocks and automations; safe to repeat.

    What was changed in Prefect is kept, unless `reset`. Deployments that are no longer in the files are deleted.
    """
    content = _content(pool)
    asyncio.run(_deploy(pool, content["deployments"], reset=reset))
    automate()
    Variable.set(FINGERPRINT, _fingerprint(content), overwrite=True)


async def deploy_if_changed(pool: str, stop: asyncio.Event) -> None:
    """Deploy unless the last deployment, from any machine, was the same; `stop` ends it early.

    It runs in its own process: it imports all flows, which would stay in this one's memory.
    """
    if await asyncio.to_thread(_is_deployed, pool):
        return
    process = await asyncio.create_subprocess_exec(*python_module(MODULE, "--pool", pool), stdin=subprocess.DEVNULL)
    ended, stopped = asyncio.create_task(process.wait()), asyncio.create_task(stop.wait())
    await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not ended.done():
        process.kill()
    elif ended.result():
        raise TerminalError("The deployment failed: see the lines above.")
    await ended


def _is_deployed(pool: str) -> bool:
    return bool(Variable.get(FINGERPRINT) == _fingerprint(_content(pool)))


async def _deploy(pool: str, entries: list[Tree], *, reset: bool) -> None:
    async with get_client() as client:
        await _make_pool(client, pool)
        found = {(each.flow_id, each.name): each for each in await _deployments(client)}
        wanted: set[tuple[UUID, str]] = set()
        for entry in entries:
            flow_id = await client.create_flow_from_name(flow_of(entry).name)
            key = (flow_id, entry["name"])
            wanted.add(key)
            await _deploy_one(client, entry, flow_id, found.get(key), reset=reset)
        await _remove(client, pool, [each for key, each in found.items() if key not in wanted])


async def _deploy_one(
    client: PrefectClient, entry: Tree, flow_id: UUID, found: DeploymentResponse | None, *, reset: bool
) -> None:
    tree = from_file(entry)
    if found and not reset:
        tree, differences = merge(last_deployed(found) or {}, tree, from_server(found))
        _report_differences(entry["name"], differences)
        _drop_unknown_parameters(entry, tree)
    wanted = payload(entry, flow_id, tree, found)
    if not found or not is_current(found, tree, wanted):
        await client.request("POST", "/deployments/", json=wanted)


async def _deployments(client: PrefectClient) -> list[DeploymentResponse]:
    found: list[DeploymentResponse] = []
    while page := await client.read_deployments(limit=PAGE, offset=len(found)):
        found += page
    return found


async def _remove(client: PrefectClient, pool: str, found: Iterable[DeploymentResponse]) -> None:
    """Delete those that we deployed into the pool, after their runs have stopped."""
    for each in found:
        if each.work_pool_name != pool or last_deployed(each) is None:
            continue
        runs = await _runs(client, each.id)
        for run in runs:
            state: State[Any] = Cancelling(message="Its deployment was removed from the files.")
            await client.set_flow_run_state(run.id, state, force=True)
        if runs:
            await _wait_for_runs(client, each.id)
        await client.delete_deployment(each.id)
        log.info(
            "%s was deleted, as it is no longer in the files.%s", each.name, " Its run was cancelled." if runs else ""
        )


async def _wait_for_runs(client: PrefectClient, deployment: UUID) -> None:
    """Wait for the runs, and for their worker, which reads the deployment once more; at most for END_SECONDS."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            while await _runs(client, deployment):  # noqa: ASYNC110 - Prefect sends no notification
                await asyncio.sleep(POLL_SECONDS)
            await asyncio.sleep(WORKER_SECONDS)


async def _runs(client: PrefectClient, deployment: UUID) -> list[FlowRun]:
    return await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_ACTIVE))),
    )


def _drop_unknown_parameters(entry: Tree, tree: Tree) -> None:
    """Drop parameters that the flow no longer has: a run would fail with them."""
    for name in set(tree["parameters"]) - set(flow_of(entry).parameters.properties):
        value = tree["parameters"].pop(name)
        log.warning(
            "%s: the flow no longer has the parameter %s; its value %s was dropped.", entry["name"], name, value
        )


def _report_differences(name: str, differences: Iterable[FieldDifference]) -> None:
    for each in differences:
        if not each.conflict:
            log.info("%s: %s stays %s, as set in Prefect (files: %s).", name, each.path, each.prefect, each.files)
            continue
        log.warning(
            "%s: %s was changed both in the files (%s) and in Prefect (%s); Prefect's value is kept. Change it there,"
            " or reset all deployments to the files with `python -m flows.support.deploy --reset`.",
            name,
            each.path,
            each.files,
            each.prefect,
        )
        facts = {"field": each.path, "files": str(each.files), "prefect": str(each.prefect)}
        emit(Notice("deployment.conflict", name, facts))


def _content(pool: str) -> Tree:
    return rendered(read_prefect_file(), load_settings(), pool)


def _fingerprint(content: Tree) -> str:
    sources = sorted(Path(__file__).parents[1].rglob("*.py"))
    text = yaml.safe_dump(content).encode() + b"".join(path.read_bytes() for path in sources)
    outside = os.environ.get(WEBHOOK, "") + load_settings().page_url
    return hashlib.sha256(text + outside.encode()).hexdigest()


async def _make_pool(client: PrefectClient, name: str) -> None:
    try:
        await client.create_work_pool(WorkPoolCreate(name=name, type="process"))
    except ObjectAlreadyExists:
        log.debug("The work pool %s exists.", name)


def main() -> None:
    """Deploy to the server that PREFECT_API_URL names."""
    parser = argparse.ArgumentParser(prog="python -m flows.support.deploy", description=__doc__)
    parser.add_argument("--pool", default=POOL, help="work pool (default: %(default)s)")
    parser.add_argument("--reset", action="store_true", help="discard what was changed in Prefect, including pauses")
    options = parser.parse_args()
    logging.basicConfig(format="%(levelname)s %(message)s")
    log.setLevel(logging.INFO)
    try:
        deploy(options.pool, reset=options.reset)
    except (TerminalError, httpx.HTTPError, PrefectException) as error:
        sys.exit(f"Deploying to {get_current_settings().api.url} failed: {error}")
    sys.stdout.write(f"deployed to {get_current_settings().api.url}\n")


if __name__ == "__main__":
    main()
