"""The recipes of CONTRIBUTING.md name what there is, and give what the code takes."""

import re
from typing import Any

import yaml

from candleworks.database.connection import Connection
from candleworks.quality.registry import Check
from tests.docs.pages import ROOT, Block, blocks

PAGE = ROOT / "CONTRIBUTING.md"
NEW = re.compile("no-currency|companies")  # what the recipes add


def block(language: str, part: str) -> Block:
    """The block of the language that has the text."""
    [found] = [each for each in blocks(PAGE) if each.language == language and part in each.text]
    return found


def test_every_file_that_is_named_exists() -> None:
    """But for those that a recipe writes."""
    named = re.findall(r"`((?:candleworks|docs|flows|grafana|sql|tests)/[\w./-]*)`", PAGE.read_text())
    assert len(named) > 10
    assert [path for path in named if not NEW.search(path) and not (ROOT / path).exists()] == []


def test_the_check_is_one(connection: Connection) -> None:
    """Its query returns the columns of a result, and its entry is valid."""
    found = connection.execute(block("sql", "no currency").text)
    assert [column.name for column in found.description or []] == ["subject", "observed", "expected", "sample"]
    check: Check = eval(block("python", "no-currency").text, {"Check": Check})  # noqa: S307 - the page's own code
    assert (check.name, check.suite, check.severity) == ("no-currency", "system", "info")


def test_the_dashboard_is_one(connection: Connection) -> None:
    """It is built as the others are, and its query runs."""
    scope: dict[str, Any] = {"__file__": str(ROOT / "grafana/build.py"), "__name__": "build"}
    exec((ROOT / "grafana/build.py").read_text(), scope)  # noqa: S102 - a script
    built = scope["dashboard"](yaml.safe_load(block("yaml", "candleworks-companies").text))
    assert built["uid"] == "candleworks-companies"
    [panel] = built["panels"]
    assert connection.execute(panel["targets"][0]["rawSql"]).fetchall() == []
