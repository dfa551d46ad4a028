"""One migrated database on each engine, side by side."""

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from psycopg.conninfo import make_conninfo

from candleworks.settings import load_settings
from candleworks.storage.connection import Connection, connect
from candleworks.storage.embedded import EmbeddedServer
from candleworks.storage.engine import Engine, engine_of
from candleworks.storage.migrations import migrate
from tests.conftest import timescaledb_build

_numbers = itertools.count()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Engine, str]]:
    """A server per engine; skips when there is no TimescaleDB."""
    named = os.environ.get("CANDLEWORKS_TEST_TIMESCALE_DSN")
    build = None if named else timescaledb_build()
    with ExitStack() as running:
        plain = running.enter_context(EmbeddedServer(tmp_path_factory.mktemp("plain")).use())
        timescale = named or running.enter_context(EmbeddedServer(tmp_path_factory.mktemp("timescale"), build).use())
        yield {Engine.POSTGRES: plain, Engine.TIMESCALE: timescale}


@pytest.fixture
def both(servers: dict[Engine, str]) -> Iterator[dict[Engine, Connection]]:
    """An autocommit connection to an empty database of the test's own on each engine."""
    name = f"contract_{os.getpid()}_{next(_numbers)}"
    with ExitStack() as opened:
        yield {engine: opened.enter_context(_database(engine, dsn, name)) for engine, dsn in servers.items()}
    for dsn in servers.values():
        with connect(dsn) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _database(engine: Engine, server_dsn: str, name: str) -> Connection:
    with connect(server_dsn) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    dsn = make_conninfo(server_dsn, dbname=name)
    migrate(dsn, load_settings({}))
    connection = connect(dsn, "contract test")
    assert engine_of(connection) is engine
    return connection
