"""Where the code opens connections: in one place, and each with a profile that was chosen."""

import ast
from collections.abc import Iterator
from pathlib import Path

import candleworks
from candleworks.database.profiles import PROFILES

OPENERS = {
    "connect", "AsyncConnection", "ConnectionPool", "AsyncConnectionPool", "create_engine", "create_async_engine"
}  # fmt: skip
ROOT = Path(candleworks.__file__).parents[1]


def test_nobody_else_opens_connections() -> None:
    """Every session has a profile: outside of one module nothing of the drivers that opens one is called."""
    found = {
        (str(path.relative_to(ROOT)), name)
        for folder in ("candleworks", "flows")
        for path in (ROOT / folder).rglob("*.py")
        for name in _driver_calls(ast.parse(path.read_text()))
    }
    assert found == {
        ("candleworks/database/connection.py", "psycopg.connect"),
        ("candleworks/database/connection.py", "_ConnectionPool"),
    }


def _driver_calls(tree: ast.Module) -> Iterator[str]:
    """Name what is called of a database driver to open a connection, by the name under which it was imported."""
    drivers = ("psycopg", "psycopg_pool", "asyncpg", "sqlalchemy")
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.split(".")[0] in drivers
    }
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in drivers
        for alias in node.names
        if alias.name in OPENERS
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in modules and node.attr in OPENERS:
            yield ast.unparse(node)
        elif isinstance(node, ast.Name) and node.id in names:
            yield node.id


def test_every_production_connection_names_its_profile() -> None:
    """The default is for tests: what a session may cost is decided where it is opened."""
    calls = [
        (path.name, node.lineno)
        for folder in ("candleworks", "flows")
        for path in (ROOT / folder).rglob("*.py")
        if "database.connection import" in path.read_text()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"connect", "open_pool"}
        and "profile" not in {keyword.arg for keyword in node.keywords}
    ]
    assert calls == []


def test_the_documented_limits_are_those_of_the_profiles() -> None:
    """Row by row, in the same order."""
    page = (ROOT / "docs/decisions/0034-connection-profiles.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert [[row[0], *row[2:]] for row in rows] == [
        [
            f"`{profile.name}`",
            str(profile.statement_timeout_seconds),
            str(profile.lock_timeout_seconds),
            str(profile.idle_in_transaction_timeout_seconds),
            str(profile.connect_timeout_seconds),
            str(profile.network_timeout_seconds),
            "yes" if profile.read_only else "no",
            "yes" if profile.strict else "no",
        ]
        for profile in PROFILES
    ]
