"""Deployments as trees of editable fields: read from prefect.yaml and from Prefect, merged, and sent to Prefect."""

import importlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml
from prefect import Flow
from prefect.client.schemas.actions import DeploymentCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

from candleworks.errors import TerminalError
from flows.support.run_labels import STREAM_FLOW

PREFECT_FILE = "prefect.yaml"
DEPLOYED_LABEL = "candleworks.deployed"  # the files' tree at the last deployment, as JSON
SCHEDULE_KEYS = {"interval", "cron", "rrule", "timezone", "active", "parameters", "slug"}
KEYS = {"name", "description", "entrypoint", "parameters", "tags", "work_pool"} | {
    "concurrency_limit",
    "schedules",
    "paused",
}
_UTC = "UTC"

Tree = dict[str, Any]

log = logging.getLogger("candleworks.deploy")


def read_prefect_file() -> Tree:
    """Return the content of the file; TerminalError when it cannot be used.

    A file without streams in the working directory belongs to another project and is left out.
    """
    for path in _places():
        content = _content(path)
        if isinstance(content, dict) and any(map(_is_stream, content.get("deployments") or [])):
            return content
        log.warning("%s has no deployment of %s: it is not used.", path.resolve(), STREAM_FLOW)
    raise TerminalError(
        f"There is no {PREFECT_FILE} in {Path.cwd()}, and none was installed: install candleworks again."
    )


def _places() -> Iterator[Path]:
    """Yield the files there are: in the working directory, in the installed package, and beside it in a clone."""
    package = Path(__file__).parents[1]
    for directory in (Path(), package, package.parent):
        if (directory / PREFECT_FILE).is_file():
            yield directory / PREFECT_FILE


def _content(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise TerminalError(f"{path.resolve()} cannot be read ({reason}): correct it, or remove it.") from None


def _is_stream(entry: object) -> bool:
    return isinstance(entry, dict) and str(entry.get("name")).startswith(f"{STREAM_FLOW}-")


def flow_of(entry: Tree) -> Flow[Any, Any]:
    module, _, name = entry["entrypoint"].rpartition(".")
    found: Flow[Any, Any] = getattr(importlib.import_module(module), name)
    return found


def from_file(entry: Tree) -> Tree:
    """Return the tree of an entry of prefect.yaml; schedules are identified by their slug."""
    _refuse_unknown(entry["name"], entry, KEYS)
    limit = entry.get("concurrency_limit") or {}
    limit = limit if isinstance(limit, dict) else {"limit": limit}
    pool = entry["work_pool"]
    tree: Tree = {
        "description": entry["description"],
        "parameters": dict(entry.get("parameters") or {}),
        "tags": sorted(set(entry.get("tags") or [])),
        "work_pool": pool["name"],
        "work_queue": pool.get("work_queue_name", "default"),
        "job_variables": dict(pool.get("job_variables") or {}),
        "concurrency_limit": limit.get("limit"),
        "collision_strategy": limit.get("collision_strategy"),
        "schedules": {each["slug"]: _schedule_tree(entry["name"], each) for each in entry.get("schedules") or []},
    }
    return tree | ({"paused": True} if entry.get("paused") else {})


def _schedule_tree(name: str, schedule: Tree) -> Tree:
    _refuse_unknown(f"{name}.schedules", schedule, SCHEDULE_KEYS)
    return {
        "when": _when(_schedule(schedule)),
        "active": schedule.get("active", True),
        "parameters": dict(schedule.get("parameters") or {}),
    }


def _refuse_unknown(where: str, entry: Tree, known: set[str]) -> None:
    if unknown := sorted(set(entry) - known):
        raise TerminalError(
            f"prefect.yaml: {where} has {', '.join(unknown)}, but only {', '.join(sorted(known))} are supported here:"
            " remove it, or deploy this entry with `prefect deploy`."
        )


def from_server(found: DeploymentResponse) -> Tree:
    """Return the tree in Prefect; the key `paused` is present only where it is paused."""
    limit = found.global_concurrency_limit
    options = found.concurrency_options
    tree: Tree = {
        "description": found.description,
        "parameters": found.parameters,
        "tags": sorted(set(found.tags)),
        "work_pool": found.work_pool_name,
        "work_queue": found.work_queue_name,
        "job_variables": found.job_variables,
        "concurrency_limit": limit.limit if limit else None,
        "collision_strategy": options.collision_strategy.value if options else None,
        "schedules": {
            _slug(each): {"when": _when(each.schedule), "active": each.active, "parameters": each.parameters}
            for each in found.schedules
        },
    }
    return tree | ({"paused": True} if found.paused else {})


def last_deployed(found: DeploymentResponse) -> Tree | None:
    """Return the files' tree at the last deployment; None where `prefect deploy` did it."""
    text = found.labels.get(DEPLOYED_LABEL)
    tree: Tree | None = json.loads(text) if isinstance(text, str) else None
    return tree


def payload(entry: Tree, flow_id: UUID, tree: Tree, found: DeploymentResponse | None) -> dict[str, Any]:
    """Return the request that saves the tree in Prefect, with the files' tree as a label."""
    flow = flow_of(entry)
    strategy = tree["collision_strategy"]
    made = DeploymentCreate(
        name=entry["name"],
        flow_id=flow_id,
        entrypoint=entry["entrypoint"],
        path=".",
        pull_steps=[],
        enforce_parameter_schema=True,
        parameter_openapi_schema=flow.parameters.model_dump_for_openapi(),
        description=tree["description"],
        parameters=tree["parameters"],
        tags=tree["tags"],
        labels={DEPLOYED_LABEL: json.dumps(from_file(entry))},
        work_pool_name=tree["work_pool"],
        work_queue_name=tree["work_queue"],
        job_variables=tree["job_variables"],
        concurrency_limit=tree["concurrency_limit"],
        concurrency_options={"collision_strategy": strategy} if strategy else None,
        paused=tree.get("paused", False),
    )
    schedules = _schedules(entry, tree["schedules"], found)
    return made.model_dump(mode="json", exclude_unset=True) | {"schedules": schedules}


def is_current(found: DeploymentResponse, tree: Tree, wanted: dict[str, Any]) -> bool:
    """Whether Prefect already has this tree and this version of the flow."""
    same = all(getattr(found, name) == wanted[name] for name in ("entrypoint", "parameter_openapi_schema"))
    return same and tree == from_server(found) and found.labels.get(DEPLOYED_LABEL) == wanted["labels"][DEPLOYED_LABEL]


def _schedules(entry: Tree, wanted: Tree, found: DeploymentResponse | None) -> list[Tree]:
    """Return the schedules to save: Prefect's own where the times are unchanged, so that they keep their anchor."""
    own = {_slug(each): each for each in found.schedules} if found else {}
    files = {each["slug"]: _schedule(each) for each in entry.get("schedules") or []}
    return [
        {
            "slug": own[slug].slug if slug in own else slug,
            "active": tree["active"],
            "parameters": tree["parameters"],
            "schedule": (
                own[slug].schedule if slug in own and _when(own[slug].schedule) == tree["when"] else files[slug]
            ).model_dump(mode="json"),
        }
        for slug, tree in wanted.items()
    ]


def _slug(schedule: DeploymentSchedule) -> str:
    return schedule.slug or str(schedule.id)


def _schedule(config: Tree) -> IntervalSchedule | CronSchedule | RRuleSchedule:
    timezone = config.get("timezone", _UTC)
    if "cron" in config:
        return CronSchedule(cron=config["cron"], timezone=timezone)
    if "rrule" in config:
        return RRuleSchedule(rrule=config["rrule"], timezone=timezone)
    return IntervalSchedule(interval=timedelta(seconds=config["interval"]), timezone=timezone)


def _when(schedule: Any) -> str:
    if isinstance(schedule, IntervalSchedule):
        return f"every {schedule.interval.total_seconds():g} s"
    if isinstance(schedule, CronSchedule):
        return f"cron {schedule.cron} ({schedule.timezone or _UTC})"
    return f"rrule {schedule.rrule} ({schedule.timezone or _UTC})"


class _Missing:
    """Stands for a key that is absent."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


@dataclass(frozen=True)
class FieldDifference:
    """A field whose value in Prefect differs from the files and is kept.

    In a `conflict` both have changed since the last deployment, otherwise only the one in Prefect.
    """

    path: str
    files: Any
    prefect: Any
    conflict: bool


def merge(base: Tree, files: Tree, prefect: Tree) -> tuple[Tree, list[FieldDifference]]:
    """Merge three ways: take what the files changed since `base`, but keep all that was changed in Prefect."""
    return _merge_trees("", base, files, prefect)


def _merge_trees(path: str, base: Tree, files: Tree, prefect: Tree) -> tuple[Tree, list[FieldDifference]]:
    merged: Tree = {}
    differences: list[FieldDifference] = []
    for key in {**prefect, **files}:
        value, found = _merge(f"{path}{key}", *(each.get(key, MISSING) for each in (base, files, prefect)))
        differences += found
        if value is not MISSING:
            merged[key] = value
    return merged, differences


def _merge(path: str, base: Any, files: Any, prefect: Any) -> tuple[Any, list[FieldDifference]]:
    if isinstance(files, dict) and isinstance(prefect, dict):
        return _merge_trees(f"{path}.", base if isinstance(base, dict) else {}, files, prefect)
    if prefect in (base, files):
        return files, []
    return prefect, [FieldDifference(path, files, prefect, conflict=files != base)]
