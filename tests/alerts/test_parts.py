"""Parts of `up` that keep ending are alerts."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from candleworks.alerts.parts import FRESH_SECONDS, parts_results, save_parts
from candleworks.alerts.watchdog import Watchdog
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.settings import Settings, load_settings
from tests.alerts.conftest import settings_for
from tests.alerts.receivers import Web
from tests.alerts.test_watchdog import titles, watching


@pytest.fixture
def at_home(tmp_path: Path) -> Settings:
    return load_settings({"CANDLEWORKS_HOME": str(tmp_path)})


def test_each_part_is_judged_by_what_up_wrote(at_home: Settings) -> None:
    """A part without a note runs."""
    save_parts(at_home, {"chart page": "it exited with status 1: no port", "alert watch": None})
    found = parts_results(at_home, datetime.now(UTC))
    assert [(result.subject, result.status, result.observed) for result in found] == [
        ("part/chart page", "failed", "it exited with status 1: no port"),
        ("part/alert watch", "passed", "running"),
    ]


def test_what_an_earlier_up_left_says_nothing(at_home: Settings) -> None:
    """Neither does what cannot be read."""
    now = datetime.now(UTC)
    assert parts_results(at_home, now) == []
    save_parts(at_home, {"chart page": "it exited"})
    assert parts_results(at_home, now + timedelta(seconds=FRESH_SECONDS + 60)) == []
    path = at_home.home / "run" / "parts.json"
    path.write_text("{")
    os.utime(path)
    assert parts_results(at_home, datetime.now(UTC)) == []


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_a_part_that_keeps_ending_is_notified(dsn: str, connection: Connection, web: Web, tmp_path: Path) -> None:
    """And notified again once it runs."""
    settings = watching(settings_for(dsn, web.url), tmp_path, ingest_away_seconds=86_400)
    watchdog = Watchdog(settings, dsn)
    save_parts(settings, {"chart page": "it exited with status 1: no port"})
    watchdog.run_once()
    save_parts(settings, {"chart page": None})
    for _ in range(settings.alerts.resolve_after_passes + 1):
        watchdog.run_once()
    assert titles(web) == ["WARNING firing: watch-part part/chart page", "WARNING resolved: watch-part part/chart page"]
    assert connection.execute("SELECT status FROM alerts").fetchall() == [("resolved",)]
