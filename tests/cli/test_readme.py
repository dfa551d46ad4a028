"""What the README promises works as written; its code blocks run in tests/docs."""

import shlex
from pathlib import Path

import pytest
import yaml

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.settings import CONFIG_FILE, CONFIG_VARIABLE, load_settings
from tests.cli.conftest import Invoke
from tests.docs.pages import ROOT, blocks

TICKS = "time,symbol,price,day_volume\n2026-03-02 15:00:00+00,AAPL,260.5,1000\n2026-03-02 15:00:01+00,AAPL,260.6,1010\n"
COMPANIES = "symbol,name\nAAPL,Apple Inc.\n"


def texts(language: str) -> list[str]:
    return [block.text for block in blocks(ROOT / "README.md") if block.language == language]


@pytest.mark.parametrize("text", texts("yaml"))
def test_the_configuration_is_valid(tmp_path: Path, text: str) -> None:
    """As it stands."""
    path = tmp_path / CONFIG_FILE
    path.write_text(text)
    settings = load_settings({CONFIG_VARIABLE: str(path)})
    assert [feed.name for feed in settings.feeds] == [feed["name"] for feed in yaml.safe_load(text)["feeds"]]


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_the_import_works(invoke: Invoke, dsn: str, connection: Connection, tmp_path: Path) -> None:
    """With files of the names that it uses."""
    lines = [shlex.split(line) for text in texts("sh") for line in text.splitlines()]
    imports = [line[1:] for line in lines if line[:2] == ["candleworks", "import"]]
    assert imports
    (tmp_path / "ticks.csv").write_text(TICKS)
    (tmp_path / "company.csv").write_text(COMPANIES)
    for arguments in imports:
        assert invoke(*arguments, CANDLEWORKS_DSN=dsn).status == 0
    assert connection.execute("SELECT ticks FROM candles_1m").fetchall() == [(2,)]
    assert connection.execute("SELECT name FROM company").fetchall() == [("Apple Inc.",)]
