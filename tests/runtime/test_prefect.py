"""What `up` tells Prefect's processes, and what it reads of them."""

from pathlib import Path

import pytest

from candleworks.database.engine import Engine
from candleworks.runtime.prefect import (
    clear_feed_status,
    failed_feeds,
    prefect_environment,
    prefect_server,
    status_file,
    stopped_feeds,
)
from candleworks.settings import Settings, load_settings


@pytest.fixture
def at_home(tmp_path: Path) -> Settings:
    """A home of its own, with the embedded server."""
    return load_settings({"CANDLEWORKS_HOME": str(tmp_path), "CANDLEWORKS_PREFECT_PORT": "4299"})


def test_prefect_lives_below_the_home_and_on_loopback(at_home: Settings, tmp_path: Path) -> None:
    """Nothing leaves the machine, and nothing of another Prefect leaks in."""
    found = prefect_environment(at_home)
    assert found["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert found["PREFECT_API_URL"] == found["PREFECT_SERVER_UI_API_URL"] == "http://127.0.0.1:4299/api"
    assert found["PREFECT_SERVER_API_HOST"] == "127.0.0.1"
    assert (found["PREFECT_SERVER_ANALYTICS_ENABLED"], found["DO_NOT_TRACK"]) == ("false", "1")
    assert found["PREFECT_API_KEY"] is found["PREFECT_PROFILE"] is None


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_a_server_without_pg_trgm_is_not_for_prefect(settings: Settings, tmp_path: Path) -> None:
    """Its state is then in a file, as with the embedded server."""
    assert prefect_server(settings, tmp_path).environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] is None


def test_what_the_worker_says_of_feeds_is_shown(at_home: Settings) -> None:
    """Those that are streamed need no words; nothing is known before the worker has looked."""
    assert (stopped_feeds(at_home), failed_feeds(at_home)) == ({}, {})
    status_file(at_home).parent.mkdir()
    status_file(at_home).write_text(
        '{"a": {"state": "Running", "message": null, "note": null},'
        ' "b": {"state": "Cancelled", "message": "m", "note": "cancelled in Prefect"},'
        ' "c": {"state": "Refused", "message": "m", "note": "The key is wrong."}}'
    )
    assert stopped_feeds(at_home) == {"b": "cancelled in Prefect", "c": "The key is wrong."}
    assert failed_feeds(at_home) == {"c": "The key is wrong."}
    clear_feed_status(at_home)
    assert stopped_feeds(at_home) == {}
