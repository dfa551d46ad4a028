"""One migrated database on each engine, side by side."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.engine import Engine, engine_of
from candleworks.database.migrations import migrate
from candleworks.settings import load_settings
from tests.conftest import clone, timescaledb_build


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
    with ExitStack() as opened:
        yield {engine: opened.enter_context(_database(engine, dsn)) for engine, dsn in servers.items()}


@contextmanager
def _database(engine: Engine, server_dsn: str) -> Iterator[Connection]:
    with clone(server_dsn) as dsn:
        migrate(dsn, load_settings({}))
        with connect(dsn, "contract test") as connection:
            assert engine_of(connection) is engine
            yield connection
