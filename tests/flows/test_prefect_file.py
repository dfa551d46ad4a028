"""Which prefect.yaml is deployed."""

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from candleworks.errors import TerminalError
from flows.support.deployments import PREFECT_FILE as NAME
from flows.support.deployments import read_prefect_file

OURS: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / NAME).read_text())


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_one_comes_with_candleworks() -> None:
    """No directory needs to have one."""
    assert read_prefect_file() == OURS


def test_the_one_in_the_directory_is_preferred(tmp_path: Path) -> None:
    """Whoever wrote it wants it."""
    mine = OURS | {"deployments": OURS["deployments"][:2]}
    (tmp_path / NAME).write_text(yaml.safe_dump(mine))
    assert read_prefect_file() == mine


@pytest.mark.parametrize(
    "content", ["", "[]", "deployments:", "deployments: [{name: nightly, entrypoint: 'a.py:b'}]", "deployments: [1]"]
)
def test_that_of_another_project_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str) -> None:
    """And a line says so."""
    (tmp_path / NAME).write_text(content)
    with caplog.at_level(logging.WARNING):
        assert read_prefect_file() == OURS
    assert caplog.messages == [f"{tmp_path / NAME} has no deployment of stream-ticks: it is not used."]


@pytest.mark.parametrize("content", [b"deployments: [", b"\xff"])
def test_one_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes) -> None:
    """Whose it is cannot be known."""
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(TerminalError) as error:
        read_prefect_file()
    assert str(error.value).startswith(f"{tmp_path / NAME} cannot be read (")
    assert str(error.value).endswith("): correct it, or remove it.")
