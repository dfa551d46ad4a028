"""What the README promises can be done as written."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from candleworks.cli.main import app
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.settings import CONFIG_FILE, ENVIRONMENT, load_settings
from tests.cli.conftest import Invoke

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TICKS = "time,symbol,price,day_volume\n2026-03-02 15:00:00+00,AAPL,260.5,1000\n2026-03-02 15:00:01+00,AAPL,260.6,1010\n"
COMPANIES = "symbol,name\nAAPL,Apple Inc.\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def programs() -> list[list[str]]:
    """The arguments of each call of the program, in blocks and in sentences."""
    found = re.findall(r"(?:\.venv/bin/|`)candleworks ([a-z-][^`\"\n#]*)", README)
    return [shlex.split(text.split(")")[0]) for text in found]


def test_every_command_exists() -> None:
    """With the options that it is called with."""
    root = typer.main.get_command(app)
    assert programs()
    for arguments in programs():
        if not arguments[0].startswith("--"):
            context = root.make_context("candleworks", [arguments[0], "--help"], resilient_parsing=True)
            assert root.get_command(context, arguments[0]), arguments


def test_every_target_of_make_exists() -> None:
    """In the Makefile."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"\bmake ([a-z]+)", "\n".join(blocks("sh")))
    assert named
    assert set(named) <= set(targets)


def test_every_variable_is_read() -> None:
    """By the settings."""
    named = set(re.findall(r"\b(?:CANDLEWORKS|TWELVEDATA)_[A-Z_]+\b", README))
    assert named
    assert named <= {*ENVIRONMENT, "CANDLEWORKS_CONFIG"}


def test_every_link_leads_somewhere() -> None:
    """Within the repository."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("text", blocks("yaml"))
def test_the_configuration_is_valid(tmp_path: Path, text: str) -> None:
    """As it stands."""
    path = tmp_path / CONFIG_FILE
    path.write_text(text)
    settings = load_settings({"CANDLEWORKS_CONFIG": str(path)})
    assert [feed.name for feed in settings.feeds] == [feed["name"] for feed in yaml.safe_load(text)["feeds"]]


@pytest.mark.parametrize("text", blocks("sql"))
def test_the_queries_run(connection: Connection, text: str) -> None:
    """On both engines."""
    statements = [statement for statement in text.split(";") if statement.strip()]
    assert statements
    for statement in statements:
        assert connection.execute(statement).description


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_the_import_works(invoke: Invoke, dsn: str, connection: Connection, tmp_path: Path) -> None:
    """With files of the names that it uses."""
    imports = [arguments for arguments in programs() if arguments[0] == "import"]
    assert imports
    (tmp_path / "ticks.csv").write_text(TICKS)
    (tmp_path / "company.csv").write_text(COMPANIES)
    for arguments in imports:
        assert invoke(*arguments, CANDLEWORKS_DSN=dsn).status == 0
    assert connection.execute("SELECT ticks FROM candles_1m").fetchall() == [(2,)]
    assert connection.execute("SELECT name FROM company").fetchall() == [("Apple Inc.",)]
