"""Deploys prefect.yaml, one stream per configured feed, blocks and automations: `python -m flows.support.deploy`.

What a person changed in Prefect stays; docs/decisions/0028-deployment.md says how the two are told apart.
"""

import argparse
import asyncio
import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import httpx
import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists, PrefectException
from prefect.settings import get_current_settings
from prefect.variables import Variable

from candleworks.errors import TerminalError
from candleworks.model.notices import Notice
from candleworks.settings import Settings, load_settings
from flows.support.automations import WEBHOOK, automate
from flows.support.deployments import flow_of, from_file, from_server, is_current, last_deployed, payload
from flows.support.events import tell
from flows.support.merge import Difference, Tree, merge
from flows.support.names import STREAM_FLOW
from flows.support.removal import remove

POOL = "candleworks"
MODULE = "flows.support.deploy"
FILE = Path("prefect.yaml")
PAGE = 200  # what Prefect returns at most
FINGERPRINT = "candleworks_deployed"  # Prefect's variable that says what was deployed last

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
        "description": f"Streams the feed {feed} for as long as nobody cancels it.",
        "parameters": {"feed": feed},
    }


def deploy(pool: str = POOL, *, reset: bool = False) -> None:
    """Bring what the files changed into Prefect: work pool, deployments, blocks and automations; harmless to repeat.

    What a person changed in Prefect stays, unless `reset`. Deployments that are in the files no more are removed.
    """
    content = _content(pool)
    asyncio.run(_deploy(pool, content["deployments"], reset=reset))
    automate()
    Variable.set(FINGERPRINT, _fingerprint(content), overwrite=True)


def deploy_if_changed(pool: str = POOL) -> None:
    """Deploy unless the same was deployed last, by whichever machine.

    A process of its own does it: it imports all flows, which this one would keep in memory.
    """
    if Variable.get(FINGERPRINT) == _fingerprint(_content(pool)):
        return
    done = subprocess.run([sys.executable, "-m", MODULE, "--pool", pool], stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise TerminalError("The deployments could not be brought up to date: the lines above say why.")


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
        await remove(client, pool, [each for key, each in found.items() if key not in wanted])


async def _deploy_one(
    client: PrefectClient, entry: Tree, flow_id: UUID, found: DeploymentResponse | None, *, reset: bool
) -> None:
    tree = from_file(entry)
    if found and not reset:
        tree, differences = merge(last_deployed(found) or {}, tree, from_server(found))
        _tell(entry["name"], differences)
        _drop_unknown_parameters(entry, tree)
    wanted = payload(entry, flow_id, tree, found)
    if not found or not is_current(found, tree, wanted):
        await client.request("POST", "/deployments/", json=wanted)


async def _deployments(client: PrefectClient) -> list[DeploymentResponse]:
    found: list[DeploymentResponse] = []
    while page := await client.read_deployments(limit=PAGE, offset=len(found)):
        found += page
    return found


def _drop_unknown_parameters(entry: Tree, tree: Tree) -> None:
    """A run would fail with a parameter that the flow has had once."""
    for name in set(tree["parameters"]) - set(flow_of(entry).parameters.properties):
        value = tree["parameters"].pop(name)
        log.warning("%s: the parameter %s is no more; its value %s was dropped.", entry["name"], name, value)


def _tell(name: str, differences: Iterable[Difference]) -> None:
    for each in differences:
        if not each.conflict:
            log.info(
                "%s: %s stays %s, as it was set in Prefect (files: %s).", name, each.path, each.prefect, each.files
            )
            continue
        log.warning(
            "%s: %s was changed both in the files (%s) and in Prefect (%s): what Prefect has stays. Set it there, or"
            " take what the files say for all deployments with `make deploy ARGS=--reset`.",
            name,
            each.path,
            each.files,
            each.prefect,
        )
        facts = {"field": each.path, "files": str(each.files), "prefect": str(each.prefect)}
        tell(Notice("deployment.conflict", name, facts))


def _content(pool: str) -> Tree:
    if not FILE.is_file():
        raise TerminalError(f"{FILE.resolve()} does not exist: run this in the directory of candleworks' prefect.yaml.")
    return rendered(yaml.safe_load(FILE.read_text()), load_settings(), pool)


def _fingerprint(content: Tree) -> str:
    sources = sorted(Path(__file__).parents[1].rglob("*.py"))
    text = yaml.safe_dump(content).encode() + b"".join(path.read_bytes() for path in sources)
    outside = os.environ.get(WEBHOOK, "") + load_settings().page_url
    return hashlib.sha256(text + outside.encode()).hexdigest()


async def _make_pool(client: PrefectClient, name: str) -> None:
    try:
        await client.create_work_pool(WorkPoolCreate(name=name, type="process"))
    except ObjectAlreadyExists:
        log.debug("The work pool %s is there.", name)


def main() -> None:
    """Deploy to the server that PREFECT_API_URL names."""
    parser = argparse.ArgumentParser(prog="python -m flows.support.deploy", description=__doc__)
    parser.add_argument("--pool", default=POOL, help="work pool (default: %(default)s)")
    parser.add_argument("--reset", action="store_true", help="undo what was changed in Prefect, pauses too")
    options = parser.parse_args()
    logging.basicConfig(format="%(levelname)s %(message)s")
    log.setLevel(logging.INFO)
    try:
        deploy(options.pool, reset=options.reset)
    except (TerminalError, httpx.HTTPError, PrefectException) as error:
        sys.exit(f"Nothing could be deployed to {get_current_settings().api.url}: {error}")
    sys.stdout.write(f"deployed to {get_current_settings().api.url}\n")


if __name__ == "__main__":
    main()
