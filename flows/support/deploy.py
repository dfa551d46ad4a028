"""Deploys prefect.yaml, one stream per configured feed, blocks and automations: `python -m flows.support.deploy`."""

import argparse
import asyncio
import hashlib
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import get_current_settings

from candleworks.errors import TerminalError
from candleworks.settings import Settings, load_settings
from flows.support.automations import automate
from flows.support.names import STREAM_FLOW

POOL = "candleworks"
FILE = Path("prefect.yaml")

log = logging.getLogger("candleworks.deploy")


def rendered(content: dict[str, Any], settings: Settings, pool: str = POOL) -> dict[str, Any]:
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


def _stream(template: dict[str, Any], feed: str) -> dict[str, Any]:
    return template | {
        "name": f"{STREAM_FLOW}-{feed}",
        "description": f"Streams the feed {feed} for as long as nobody cancels it.",
        "parameters": {"feed": feed},
    }


def deploy(pool: str = POOL) -> None:
    """Make the work pool, the deployments, the blocks and the automations what the files say; harmless to repeat.

    Deployments that were paused, or whose schedules were, run again.
    """
    asyncio.run(_pool(pool))
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / FILE.name
        file.write_text(yaml.safe_dump(_content(pool), sort_keys=False))
        arguments = ["deploy", "--all", "--no-prompt", "--prefect-file", str(file)]
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            env={**os.environ, "PREFECT_CLI_PROMPT": "false"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split()[-60:])
        raise TerminalError(f"prefect deploy --all failed ({words}): correct prefect.yaml, or PREFECT_API_URL.")
    automate()


def deploy_if_changed(pool: str = POOL) -> None:
    """Deploy unless this Prefect home has deployed the same before: that takes seconds, and would undo pauses."""
    home = get_current_settings().home
    note = home / "candleworks.deployed"
    fingerprint = _fingerprint(pool)
    if note.exists() and note.read_text() == fingerprint:
        return
    deploy(pool)
    note.write_text(fingerprint)


def _content(pool: str) -> dict[str, Any]:
    if not FILE.is_file():
        raise TerminalError(f"{FILE.resolve()} does not exist: run this in the directory of candleworks' prefect.yaml.")
    return rendered(yaml.safe_load(FILE.read_text()), load_settings(), pool)


def _fingerprint(pool: str) -> str:
    sources = sorted(Path(__file__).parents[1].rglob("*.py"))
    text = yaml.safe_dump(_content(pool)).encode() + b"".join(path.read_bytes() for path in sources)
    return hashlib.sha256(text + os.environ.get("CANDLEWORKS_EVENT_WEBHOOK", "").encode()).hexdigest()


async def _pool(name: str) -> None:
    async with get_client() as client:
        try:
            await client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        except ObjectAlreadyExists:
            log.info("The work pool %s is there.", name)


def main() -> None:
    """Deploy to the server that PREFECT_API_URL names."""
    parser = argparse.ArgumentParser(prog="python -m flows.support.deploy", description=__doc__)
    parser.add_argument("--pool", default=POOL, help="work pool (default: %(default)s)")
    options = parser.parse_args()
    try:
        deploy(options.pool)
    except TerminalError as error:
        sys.exit(str(error))
    sys.stdout.write(f"deployed to {get_current_settings().api.url}\n")


if __name__ == "__main__":
    main()
