"""A real Grafana: what `candleworks grafana` starts loads without errors, and answers nobody but its own pages.

Skipped without an installed Grafana: set CANDLEWORKS_GRAFANA_HOME to the directory that one was unpacked into.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import psycopg
import pytest

from candleworks.runtime.grafana import HEALTH_PATH, find_grafana
from candleworks.settings import load_settings
from tests.grafana.expansion import GRAFANA
from tests.grafana.server import running_grafana
from tests.web.browser import until

SECONDS = 60
pytestmark = pytest.mark.skipif(
    find_grafana(load_settings()) is None, reason="needs Grafana: set CANDLEWORKS_GRAFANA_HOME to an unpacked one"
)


class Running(NamedTuple):
    """A Grafana that reads a filled database as an anonymous viewer; `log` is what it has said."""

    viewer: httpx.Client
    dsn: str
    log: Path


@pytest.fixture(scope="module")
def grafana(filled: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("grafana")
    with running_grafana(filled, home) as (viewer, _):
        yield Running(viewer, filled, home / "grafana.log")


def ask(grafana: Running, **headers: str) -> httpx.Response:
    query = {"refId": "A", "datasource": {"uid": "candleworks"}, "format": "table", "rawSql": "SELECT 42 AS answer"}
    return grafana.viewer.post("api/ds/query", json={"queries": [query]}, headers=headers)


def test_every_dashboard_is_loaded_and_nothing_is_reported(grafana: Running) -> None:
    """In a folder of ours; what Grafana does not find or understand it writes as an error."""
    ours = {(f"candleworks-{path.stem}", "candleworks") for path in (GRAFANA / "dashboards").glob("*.json")}

    def loaded() -> bool:
        found = grafana.viewer.get("api/search", params={"type": "dash-db"}).json()
        return {(entry["uid"], entry["folderTitle"]) for entry in found} == ours

    until(loaded, SECONDS, "every dashboard")
    assert [line for line in grafana.log.read_text().splitlines() if "level=error" in line] == []


def test_its_first_page_is_the_market_itself(grafana: Running) -> None:
    """Not a copy of it outside of its folder."""
    assert grafana.viewer.get("api/dashboards/home").json() == {"redirectUri": "/d/candleworks-market"}


def test_a_page_whose_name_leads_here_is_not_answered(grafana: Running) -> None:
    """It may not have queries run: its requests are sent to Grafana's own address, where it is a foreign page."""
    assert ask(grafana).json()["results"]["A"]["frames"][0]["data"]["values"] == [[42]]
    refused = ask(grafana, Host="evil.example")
    assert (refused.status_code, refused.headers["Location"]) == (
        301,
        str(grafana.viewer.base_url.join("api/ds/query")),
    )


def test_its_health_is_that_of_the_database(grafana: Running) -> None:
    """Grafana itself says "ok" without one."""
    assert grafana.viewer.get(HEALTH_PATH).is_success
    database = psycopg.conninfo.conninfo_to_dict(grafana.dsn)["dbname"]
    with psycopg.connect(grafana.dsn, dbname="postgres", autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
        try:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])
            until(lambda: grafana.viewer.get(HEALTH_PATH).is_error, SECONDS, "a data source that fails")
            assert grafana.viewer.get("api/health").is_success
        finally:
            connection.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')
