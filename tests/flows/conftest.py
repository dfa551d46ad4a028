"""Flows against a real database, most of them without Prefect."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness


@pytest.fixture(scope="session")
def harness() -> Iterator[None]:
    """A Prefect server for the few tests that need one."""
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def here(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker's surroundings: the database in the environment, a home and a directory of its own."""
    monkeypatch.setenv("CANDLEWORKS_DSN", dsn)
    monkeypatch.setenv("CANDLEWORKS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CANDLEWORKS_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path
