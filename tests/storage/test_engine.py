"""Which engine is chosen, and that a database keeps it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.engine import Engine, detect, engine_of
from candleworks.database.migrations import migrate
from candleworks.errors import TerminalError
from candleworks.settings import load_settings
from candleworks.storage.inspection import inspect
from tests.conftest import timescaledb_build


@pytest.fixture
def timescale_dsn(tmp_path: Path) -> Iterator[str]:
    """A TimescaleDB server of the test's own, whose licence may be changed."""
    with EmbeddedServer(tmp_path / "home", timescaledb_build()).use() as dsn:
        yield dsn


def _run_under(dsn: str, licence: str) -> None:
    with connect(dsn) as connection:
        connection.execute(f"ALTER SYSTEM SET timescaledb.license = '{licence}'")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("SELECT pg_sleep(0.5)")


def test_the_tests_run_on_the_engine_they_name(connection: Connection, engine: Engine) -> None:
    """A migrated database tells its engine, and why."""
    seen = inspect(connection)
    assert seen.engine is engine
    if engine is Engine.POSTGRES:
        assert seen.engine_reason == "TimescaleDB is not installed on this server."
    else:
        assert seen.timescaledb_licence == "timescale"
        version = seen.timescaledb_version
        assert seen.engine_reason == f"TimescaleDB {version} with the licence 'timescale' is available."


def test_looking_for_the_engine_leaves_nothing_behind(timescale_dsn: str) -> None:
    """Detection creates the extension only to roll it back."""
    with connect(timescale_dsn) as connection:
        assert detect(connection).engine is Engine.TIMESCALE
        assert connection.execute("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'").fetchone() == (0,)


def test_under_the_apache_licence_the_plain_engine_is_used(timescale_dsn: str) -> None:
    """Without continuous aggregates and compression our own tables serve, beside TimescaleDB's functions."""
    _run_under(timescale_dsn, "apache")
    with connect(timescale_dsn) as connection:
        connection.execute("CREATE EXTENSION timescaledb")
    migrate(timescale_dsn, load_settings({}))
    with connect(timescale_dsn) as connection:
        assert engine_of(connection) is Engine.POSTGRES
        assert inspect(connection).engine_reason == (
            "TimescaleDB runs under the licence 'apache', which lacks continuous aggregates and compression:"
            " set timescaledb.license = 'timescale' before the first migration to use them."
        )
        connection.execute("SELECT candleworks.prepare_ticks(now(), now())")
        connection.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (now(), 'AAPL', 1)")
        assert connection.execute("SELECT close, ticks FROM candles_1d").fetchall() == [(1.0, 1)]
        tutorial = (
            "SELECT time_bucket('1 day', time), first(price, time), last(price, time) FROM stocks_real_time GROUP BY 1"
        )
        assert len(connection.execute(tutorial).fetchall()) == 1


def test_a_database_keeps_its_engine(timescale_dsn: str) -> None:
    """What was set up as plain stays plain when the licence improves later, and says so."""
    _run_under(timescale_dsn, "apache")
    migrate(timescale_dsn, load_settings({}))
    _run_under(timescale_dsn, "timescale")
    assert migrate(timescale_dsn, load_settings({})) == []
    with connect(timescale_dsn) as connection:
        assert inspect(connection).engine is Engine.POSTGRES
        assert inspect(connection).engine_reason == (
            "TimescaleDB is available now, but this database was created without it and stays on plain PostgreSQL."
        )


def test_a_lost_licence_is_refused(timescale_dsn: str) -> None:
    """A hypertable with aggregates takes no ticks under the Apache licence, so nothing starts to try."""
    migrate(timescale_dsn, load_settings({}))
    _run_under(timescale_dsn, "apache")
    with pytest.raises(TerminalError) as refusal:
        migrate(timescale_dsn, load_settings({}))
    assert str(refusal.value) == (
        "The database was created with TimescaleDB under the licence 'timescale', and the server now runs under"
        " 'apache', which cannot store ticks: set timescaledb.license = 'timescale' and reload the server."
    )


def test_a_server_that_does_not_load_timescaledb_is_refused(tmp_path: Path) -> None:
    """The embedded server was started without the build that its database needs."""
    with EmbeddedServer(tmp_path / "home", timescaledb_build()).use() as dsn:
        migrate(dsn, load_settings({}))
    with EmbeddedServer(tmp_path / "home").use() as dsn, pytest.raises(TerminalError) as refusal:
        migrate(dsn, load_settings({}))
    assert str(refusal.value) == (
        "The database was created with TimescaleDB, which the server has not loaded: add timescaledb to"
        " shared_preload_libraries and restart the server; for the embedded server set CANDLEWORKS_TIMESCALEDB."
    )
