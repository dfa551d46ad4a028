"""prefect.yaml: what it names exists, and what it says is what is deployed."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.exceptions import ParameterTypeError
from prefect.utilities.schema_tools.validation import ValidationError, validate

from candleworks.settings import load_settings
from flows.support.deploy import rendered
from flows.support.run_labels import IN_WORKER_TAG, STREAM_FLOW

CONTENT: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "prefect.yaml").read_text())
DEPLOYMENTS = {each["name"]: each for each in CONTENT["deployments"]}


def flow_of(deployment: dict[str, Any]) -> Flow[Any, Any]:
    module, _, name = deployment["entrypoint"].rpartition(".")
    found: Flow[Any, Any] = getattr(importlib.import_module(module), name)
    return found


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_entry_point_is_a_flow(name: str) -> None:
    """Described, named for people, and with parameters that it takes."""
    deployment = DEPLOYMENTS[name]
    flow = flow_of(deployment)
    assert isinstance(flow, Flow)
    assert name.startswith(flow.name)
    assert flow.description
    assert flow.flow_run_name
    assert "candleworks" in deployment["tags"]
    assert set(deployment.get("parameters", {})) <= set(flow.parameters.properties)
    flow.validate_parameters(deployment.get("parameters", {}) or _needed(flow))


def _needed(flow: Flow[Any, Any]) -> dict[str, Any]:
    values = {"paths": ["x.csv"], "output": "x.csv"}
    return {name: values[name] for name in flow.parameters.required}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_parameter_says_what_it_is(name: str) -> None:
    """Prefect's page makes its forms of them."""
    properties = flow_of(DEPLOYMENTS[name]).parameters.properties
    assert all(each.get("description") for each in properties.values()), properties


@pytest.mark.parametrize(
    ("name", "parameter", "value", "reason", "allowed"),
    [
        ("check-quality", "hours", 0, "0 is less than the minimum of 1", "1 to 8784"),
        ("check-quality", "hours", 8785, "8785 is greater than the maximum of 8784", "1 to 8784"),
        ("check-quality", "suite", "x", "'x' is not one of ['all', 'ticks', 'candles', 'system']", ""),
        ("audit-candles", "days", -1, "-1 is less than the minimum of 0", "0 to 3660"),
        ("audit-candles", "days", 3661, "3661 is greater than the maximum of 3660", "0 to 3660"),
    ],
)
def test_a_parameter_out_of_range_is_told_the_range(
    name: str, parameter: str, value: object, reason: str, allowed: str
) -> None:
    """By the form, by the server that refuses it, and by the flow itself."""
    flow = flow_of(DEPLOYMENTS[name])
    assert allowed in flow.parameters.properties[parameter]["description"]
    schema = flow.parameters.model_dump()
    with pytest.raises(ValidationError, match=re.escape(reason)):
        validate({parameter: value}, schema, raise_on_error=True, ignore_required=True)
    with pytest.raises(ParameterTypeError, match=parameter):
        flow.validate_parameters({parameter: value})
    validate({}, schema, raise_on_error=True)


def test_nothing_but_prefect_yaml_schedules() -> None:
    """The frequent ones refuse a second run; what runs in the worker is the refresh alone."""
    schedules = {
        name: each["schedules"][0].get("interval") or each["schedules"][0]["cron"]
        for name, each in DEPLOYMENTS.items()
        if each.get("schedules")
    }
    assert schedules == {
        "refresh-candles": 60,
        "audit-candles": "40 2 * * *",
        "fill-gaps": 600,
        "backfill": 600,
        "check-quality": 300,
        "check-quality-of-the-day": "50 3 * * *",
        "maintain-storage": "10 3 * * *",
        "sync-companies": "20 1 * * 1",
    }
    limited = {name for name, each in DEPLOYMENTS.items() if each.get("concurrency_limit")}
    assert limited == {"refresh-candles", "fill-gaps", "backfill", "check-quality"}
    assert [name for name, each in DEPLOYMENTS.items() if IN_WORKER_TAG in each["tags"]] == ["refresh-candles"]
    assert {each["work_pool"]["name"] for each in DEPLOYMENTS.values()} == {"candleworks"}


def test_as_it_is_it_streams_the_feeds_of_the_default_configuration() -> None:
    """So that `prefect deploy --all` alone is enough there."""
    streams = [each["parameters"]["feed"] for name, each in DEPLOYMENTS.items() if name.startswith(STREAM_FLOW)]
    assert streams == [feed.name for feed in load_settings({}).feeds]
    assert rendered(CONTENT, load_settings({}))["deployments"] == list(DEPLOYMENTS.values())


def test_every_configured_feed_gets_a_stream(tmp_path: Path) -> None:
    """A copy of the one that is written out, unless it has its own; a feed that is gone gets none."""
    (tmp_path / "candleworks.yaml").write_text("feeds: [{name: stocks, symbols: [AAPL]}, {name: own, symbols: [MSFT]}]")
    settings = load_settings({"CANDLEWORKS_CONFIG": str(tmp_path / "candleworks.yaml")})
    own = DEPLOYMENTS["stream-ticks-twelvedata"] | {"name": "stream-ticks-own", "tags": ["mine"]}
    found = rendered(CONTENT | {"deployments": [*CONTENT["deployments"], own]}, settings, "elsewhere")["deployments"]
    streams = [each for each in found if each["name"].startswith(STREAM_FLOW)]
    assert [(each["name"], each["parameters"]) for each in streams] == [
        ("stream-ticks-stocks", {"feed": "stocks"}),
        ("stream-ticks-own", {"feed": "twelvedata"}),
    ]
    assert streams[0]["description"] == "Streams the feed stocks until its run is cancelled."
    assert streams[1]["tags"] == ["mine"]
    assert {each["work_pool"]["name"] for each in found} == {"elsewhere"}
    assert streams[0]["work_pool"]["work_queue_name"] == "default"
