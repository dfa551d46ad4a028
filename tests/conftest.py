"""One real server per test run, one migrated template database per engine, one clone of it per test."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from candleworks.settings import Settings, load_settings
from candleworks.storage.connection import Connection, connect
from candleworks.storage.embedded import EmbeddedServer
from candleworks.storage.migrations import migrate

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An embedded server for this test run."""
    with EmbeddedServer(tmp_path_factory.mktemp("server")).use() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def template(server_dsn: str) -> str:
    """The name of a migrated database that nobody is connected to."""
    with connect(server_dsn) as connection:
        connection.execute("CREATE DATABASE template_postgres")
    migrate(_named(server_dsn, "template_postgres"), load_settings({}))
    return "template_postgres"


@pytest.fixture
def dsn(server_dsn: str, template: str) -> Iterator[str]:
    """A migrated, empty database of the test's own."""
    name = f"test_{next(_numbers)}"
    with connect(server_dsn) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield _named(server_dsn, name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    """An autocommit connection to the test's database."""
    with connect(dsn, "test") as connection:
        yield connection


@pytest.fixture
def settings(dsn: str, tmp_path: Path) -> Settings:
    """The default configuration, pointed at the test's database and an empty home."""
    return load_settings({"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_HOME": str(tmp_path / "home")})


def _named(dsn: str, name: str) -> str:
    return dsn.replace("/candleworks?", f"/{name}?")
