"""The code blocks of the README, the tutorial and the how-to guides run as they are written."""

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from psycopg.conninfo import make_conninfo
from typer.core import TyperGroup as Group

from candleworks import clock
from candleworks.alerts import CheckResult, update
from candleworks.candles.calendars import sync_calendars
from candleworks.cli.groups import LazyCommand
from candleworks.cli.main import app
from candleworks.database.binaries import Binaries
from candleworks.database.connection import connect
from candleworks.database.engine import Engine
from candleworks.imports.importer import import_paths
from candleworks.imports.reading import Reading
from candleworks.settings import CONFIG_FILE, CONFIG_VARIABLE, ENVIRONMENT, load_settings
from tests.cli.conftest import Invoke
from tests.conftest import clone, new_template
from tests.docs.pages import PAGES, ROOT, Block, blocks, name

GUIDES = [page for page in PAGES if name(page).startswith(("README", "docs/tutorial", "docs/how-to", "docs/reference"))]
BLOCKS = [block for page in PAGES for block in blocks(page)]
LANGUAGES = {"sh", "sql", "python", "yaml", "text", "ini", "mermaid"}
# Why a block cannot run here, and how many blocks there are of each kind.
NOT_RUN = {
    "installs": 5,
    "is a dashboard, which the tests build": 1,
    "needs Docker": 11,
    "needs Grafana": 1,
    "needs a Prefect server": 3,
    "needs a database of the tutorial": 2,
    "needs a newer TimescaleDB": 1,
    "needs a recipient": 1,
    "needs a remote repository": 1,
    "needs a role of yours": 1,
    "needs a schema of somebody else": 1,
    "needs a running `make up`": 4,
    "needs an API key": 7,
    "needs a server without the role": 1,
    "needs another server": 1,
    "part of prefect.yaml": 1,
    "rules of Prometheus": 1,
    "runs tests": 1,
    "runs until it is stopped": 7,
    "tested in tests/cli/test_replay.py": 1,
    "writes into the repository": 1,
}
# What the pages write in place of the reader's own: the tests have their own, too.
OURS = {"CANDLEWORKS_DSN", "OLD", "NEW", "RESTORED", "CANDLEWORKS_ALERT_URLS"}

TRADES = (
    "time,symbol,price,day_volume\n2026-03-02 15:00:00+00,AAPL,260.5,1000\n2026-03-02 15:01:00+00,AAPL,260.6,1010\n"
)
COINS = TRADES.replace("AAPL", "BTC/USD")
QUOTES = "time,symbol,bid,ask\n2026-03-02 15:00:00+00,EUR/USD,1.1,1.2\n"
DUKASCOPY = "Local time,Ask,Bid,AskVolume,BidVolume\n08.11.2016 00:00:00.054,1.10407,1.10403,1.5,1.5\n"
FILES = {
    "candleworks.yaml": "feeds: [{name: stocks, symbols: [AAPL, MSFT]}]\n",
    "ticks.csv": TRADES,
    "day.csv": TRADES,
    "company.csv": "symbol,name\nAAPL,Apple Inc.\n",
    "EURUSD_Ticks_08.11.2016-08.11.2016.csv": DUKASCOPY,
    "history/msft.csv": TRADES.replace("AAPL", "MSFT"),
    "other.csv": "Date,Bid,Offer\n2026-03-02T15:00:00,1.1,1.2\n",
    "bare.csv": "2026-03-03T15:00:00Z,260.7,1020\n",
    "binance.csv": "id,price,qty,time\n1,60000.5,0.1,1772463600000\n",
    "bars.csv": "2026-03-02 15:00:00,260,262,259,261,100\n2026-03-02 15:01:00,261,263,260,262,100\n",
}


def rejected() -> list[tuple[str, str, str, str, int | None]]:
    """A frame of a feed, and lines of files: feed, reason, payload, kind, number."""
    frame = {"event": "price", "symbol": "AAPL", "price": -1, "timestamp": int(clock.now().timestamp())}
    line = "2026-01-05 15:00:00+00,AAPL,,700"
    return [
        ("stocks", "AAPL was not asked for", json.dumps(frame), "frame", None),
        ("ticks.csv", "line 2: price is missing", line, "line", 2),
        ("lost.csv", "line 2: price is missing", line, "line", 2),
    ]


def runnable(language: str, guides: list[Path] = GUIDES) -> list[str]:
    """The pages with blocks of the language that can run."""
    found = {
        name(page) for page in guides for block in blocks(page) if block.language == language and not block.not_run
    }
    return sorted(found)


def these(page: str, language: str) -> Iterator[Block]:
    return (block for block in blocks(ROOT / page) if block.language == language and not block.not_run)


def engines(page: str) -> list[Engine]:
    """Commands run on both engines where the page tells them apart."""
    apart = any(block.engine for block in these(page, "sh"))
    return list(Engine) if apart else [Engine.POSTGRES]


@pytest.fixture(scope="module")
def filled(engine: Engine, server_dsn: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with trades, quotes, a company, rejected ticks and a firing alert."""
    directory = tmp_path_factory.mktemp("files")
    with new_template(server_dsn, f"documented_{engine}", template) as dsn, connect(dsn, "test") as connection:
        settings = load_settings({"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_HOME": str(directory)})
        sync_calendars(connection, settings)
        files = {"a.csv": TRADES, "b.csv": QUOTES, "c.csv": FILES["company.csv"], "d.csv": COINS}
        for file, content in files.items():
            (directory / file).write_text(content)
        assert all(not report.error for report in import_paths(connection, settings, [str(directory)], Reading()))
        for row in rejected():
            connection.execute(
                "INSERT INTO rejected_ticks (received_at, feed, reason, payload, kind, number)"
                " VALUES (now(), %s, %s, %s, %s, %s)",
                row,
            )
        update(dsn, settings, [CheckResult("freshness", "AAPL", "warning", "failed", "none", "one", clock.now())])
    return f"documented_{engine}"


@pytest.fixture
def database(server_dsn: str, filled: str) -> Iterator[str]:
    """A copy of the filled database."""
    with clone(server_dsn, filled) as dsn:
        yield dsn


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the files that the pages name."""
    for file, content in FILES.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(content)
    for file, symbol in (("ticks.csv.gz", "TSLA"), ("2016/a.csv.gz", "AMZN")):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(gzip.compress(TRADES.replace("AAPL", symbol).encode()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def statements(text: str) -> Iterator[str]:
    """The commands of a shell block; one whose quotes are open goes on in the next line."""
    waiting = ""
    for line in text.splitlines():
        waiting += f"{line}\n"
        try:
            if shlex.split(waiting, comments=True):
                yield waiting.strip()
            waiting = ""
        except ValueError:
            continue
    assert not waiting


class Shell:
    """Runs `candleworks` in this process, which saves a second each, and everything else in bash."""

    def __init__(self, invoke: Invoke, dsn: str) -> None:
        self._invoke = invoke
        self._variables = {
            "CANDLEWORKS_DSN": dsn,
            "OLD": dsn,
            "NEW": make_conninfo(dsn, dbname="market_new"),
            "RESTORED": make_conninfo(dsn, dbname="market_restored"),
        }

    def run(self, statement: str) -> None:
        words = shlex.split(statement, comments=True)
        if words[0] == "export":
            self._variables |= self._assigned(words[1:], ours=False)
        elif "|" in words or "candleworks" not in " ".join(words[:2]):
            self._run_in_bash(statement)
        else:
            count = sum("=" in word for word in words[:2]) if not words[0].endswith("candleworks") else 0
            variables = self._variables | self._assigned(words[:count], ours=True)
            ended = self._invoke(*words[count + 1 :], **variables)
            assert ended.status in ((0, 1) if words[count + 1] == "check" else (0,)), (statement, ended)
            assert "Traceback" not in ended.errors

    def _assigned(self, words: list[str], *, ours: bool) -> dict[str, str]:
        """The variables of `NAME=value`; with `ours`, also those that the tests have a value for."""
        pairs = dict(word.split("=", 1) for word in words)
        pairs = {key: self._expanded(value) for key, value in pairs.items()}
        return {
            key: value for key, value in pairs.items() if ours or key not in OURS or value in self._variables.values()
        }

    def _expanded(self, text: str) -> str:
        return re.sub(r"\$(\w+)", lambda found: self._variables[found[1]], text)

    def _run_in_bash(self, statement: str) -> None:
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("CANDLEWORKS_", "TWELVEDATA_"))}
        environment = (
            plain
            | self._variables
            | {"PATH": f"{Binaries().programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
        )
        bash = ["/bin/bash", "-euo", "pipefail", "-c", statement]
        done = subprocess.run(bash, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (statement, done.stdout, done.stderr)


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(
    ("engine", "page"),
    [(engine, page) for page in runnable("sh") for engine in engines(page)],
    indirect=["engine"],
)
def test_the_commands_run(page: str, engine: Engine, database: str, server_dsn: str, invoke: Invoke) -> None:
    """In the order of the page, in one directory and against one database."""
    shell = Shell(invoke, database)
    with connect(server_dsn) as admin:
        admin.execute("DROP DATABASE IF EXISTS market_restored WITH (FORCE)")
        admin.execute("DROP DATABASE IF EXISTS market_new WITH (FORCE)")
        admin.execute("CREATE DATABASE market_new")
    for block in these(page, "sh"):
        if block.engine in (None, engine):
            for statement in statements(block.text):
                shell.run(statement)


@pytest.mark.parametrize("page", runnable("sql", PAGES))
def test_the_queries_run(page: str, database: str) -> None:
    """On both engines; what they change is rolled back."""
    with connect(database, "test") as connection, connection.transaction(force_rollback=True):
        for block in these(page, "sql"):
            for statement in block.text.split(";"):
                if re.sub(r"--.*", "", statement).strip():
                    connection.execute(statement)


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
@pytest.mark.parametrize("page", runnable("python"))
def test_the_python_runs(page: str, database: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the page says that its names are."""
    monkeypatch.setenv("CANDLEWORKS_DSN", database)
    settings = load_settings({"CANDLEWORKS_DSN": database, "CANDLEWORKS_HOME": str(directory / "home")})
    with connect(database, "test") as connection:
        known = {"connection": connection, "dsn": database, "settings": settings, "now": clock.now()}
        for block in these(page, "python"):
            exec(compile(block.text, f"{page}:{block.line}", "exec"), known)  # noqa: S102 - the page's own code


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(each, id=f"{each.page}:{each.line}")
        for each in BLOCKS
        if each.language == "yaml" and not each.not_run
    ],
)
def test_the_configuration_is_valid(tmp_path: Path, block: Block) -> None:
    """As a file of its own."""
    path = tmp_path / CONFIG_FILE
    path.write_text(block.text)
    assert load_settings({CONFIG_VARIABLE: str(path)})


def test_blocks_that_do_not_run_say_why() -> None:
    """Each reason is known and counted, so that none is added unnoticed; every block has a language."""
    assert Counter(block.not_run for block in BLOCKS if block.not_run) == NOT_RUN
    assert {block.language for block in BLOCKS} <= LANGUAGES


def calls() -> Iterator[tuple[str, str]]:
    """Each call of `candleworks`, in a block or between backticks, with its page."""
    for page in PAGES:
        lines = [line for block in blocks(page) if block.language == "sh" for line in statements(block.text)]
        inline = re.findall(
            r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        )
        for code in [*lines, *inline]:
            for call in re.findall(r"^(?:\w+=\S+ )?(?:zcat \S+ \| )?(?:\.venv/bin/)?candleworks ([a-z][^|#]*)", code):
                yield name(page), call.strip()


@pytest.mark.parametrize(("page", "call"), sorted(set(calls())))
def test_every_command_and_option_exists(page: str, call: str) -> None:
    """Also of commands that cannot run here."""
    command: Any = typer.main.get_command(app)
    words = shlex.split(call, comments=True)
    while isinstance(command, Group):
        assert words, page
        assert words[0] in command.commands, (page, call)
        command = command.commands[words.pop(0)]
        command = command.load() if isinstance(command, LazyCommand) else command
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    options = {word.split("=")[0] for word in words if word.startswith("-") and word != "-"}
    assert options <= known | {"--help", "--debug"}, page


def test_every_target_of_make_exists() -> None:
    """In the Makefile."""
    rules = re.findall(r"^([a-z ]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = {target for rule in rules for target in rule.split()}
    text = "\n".join(page.read_text() for page in PAGES)
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)) <= targets


def test_every_variable_is_read() -> None:
    """By the settings, or it is listed with them."""
    configuration = (ROOT / "docs/reference/configuration.md").read_text()
    named = {
        variable
        for page in GUIDES
        for variable in re.findall(r"\b(?:CANDLEWORKS|TWELVEDATA)_[A-Z_]+\b", page.read_text())
    }
    for variable in sorted(named - set(ENVIRONMENT)):
        assert variable in configuration or variable in (ROOT / "docs/how-to/grafana.md").read_text()
