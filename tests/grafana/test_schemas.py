"""The dashboards' JSON, held against the schemas that Grafana publishes for its current release."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.grafana.expansion import DASHBOARDS, dashboard

pytestmark = pytest.mark.filterwarnings("ignore:Prefer using dashboardv2")  # whose files Grafana does not load
register_default_plugins()


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_the_current_release_knows_every_property(path: Any) -> None:
    """The models are generated from the schemas: they drop what Grafana does not know. `id` is null in every file."""
    assert list(unknown(dashboard(path))) == [".id"]


@pytest.mark.parametrize("place", ["options", "fieldConfig"])
def test_a_property_that_no_release_knows_is_found(place: str) -> None:
    """In what all panels have, and in the options of one type."""
    shown = dashboard(DASHBOARDS[0])
    shown["panels"][0][place]["legends"] = []
    assert list(unknown(shown)) == [".id", f".panels[0].{place}.legends"]


def unknown(shown: dict[str, Any]) -> Iterator[str]:
    kept = json.loads(json.dumps(Dashboard.from_json(shown), cls=JSONEncoder))
    return lost(shown, kept)


def lost(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Yield what is in the one and not, or otherwise, in the other."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from lost(value, after[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from lost(*pair, f"{path}[{number}]")
    elif before != after:
        yield path
