"""What `up` tells Prefect's processes, and what it reads of them."""

import asyncio
import ssl
from pathlib import Path

import pytest
from prefect.server.utilities.postgres_listener import get_pg_notify_connection
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, temporary_settings
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from candleworks.database.connection import connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.engine import Engine
from candleworks.database.server import prefect_database, revive_database
from candleworks.runtime.prefect import (
    clear_feed_status,
    failed_feeds,
    prefect_environment,
    prefect_state,
    status_file,
    stopped_by_operator,
    stopped_feeds,
)
from candleworks.settings import Settings, load_settings


@pytest.fixture
def at_home(tmp_path: Path) -> Settings:
    """A home of its own, with the embedded server."""
    return load_settings({"CANDLEWORKS_HOME": str(tmp_path), "CANDLEWORKS_PREFECT_PORT": "4299"})


def test_prefect_lives_below_the_home_and_on_loopback(at_home: Settings, tmp_path: Path) -> None:
    """Nothing leaves the machine, and nothing of another Prefect leaks in."""
    found = prefect_environment(at_home)
    assert found["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert found["PREFECT_API_URL"] == found["PREFECT_SERVER_UI_API_URL"] == "http://127.0.0.1:4299/api"
    assert found["PREFECT_SERVER_API_HOST"] == "127.0.0.1"
    assert (found["PREFECT_SERVER_ANALYTICS_ENABLED"], found["DO_NOT_TRACK"]) == ("false", "1")
    assert found["PREFECT_API_KEY"] is found["PREFECT_PROFILE"] is None
    authorities = ssl.create_default_context(cafile=found["PREFECT_API_SSL_CERT_FILE"]).get_ca_certs()
    assert len(authorities) == 1, "each client of Prefect in a run would load all of them, for an API without TLS"


def test_the_database_is_beside_ours(settings: Settings, dsn: str) -> None:
    """It is made once; the server that has ours has it, too."""
    with prefect_database(settings, dsn) as found, prefect_database(settings, dsn) as again:
        assert (found.server, again.url) == (settings, found.url)
        name = make_url(found.url).database
    with connect(dsn) as admin:
        ours = admin.info.dbname
        admin.execute(f"DROP DATABASE {name}")
    assert name == f"{ours}_prefect"


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_a_database_that_is_named_is_used(settings: Settings, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And none is made."""
    named = "postgresql+asyncpg://prefect@db.example/prefect"
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", named)
    with prefect_state(settings, dsn) as found, connect(dsn) as admin:
        assert found.url == named
        query = "SELECT count(*) FROM pg_database WHERE datname = current_database() || '_prefect'"
        assert admin.execute(query).fetchone() == (0,)


def test_a_role_that_may_not_make_a_database_gets_one_on_an_embedded_server(settings: Settings, dsn: str) -> None:
    """SQLite cannot be written by two at once."""
    with connect(dsn) as admin:
        admin.execute("CREATE ROLE tenant LOGIN")
    try:
        own = settings.model_copy(update={"dsn": SecretStr(make_conninfo(dsn, user="tenant"))})
        with prefect_database(own, make_conninfo(dsn, user="tenant")) as found:
            assert make_url(found.url).query["host"] == str(EmbeddedServer(settings.home).sockets)
            assert found.server.dsn is None
            assert not revive_database(found.server)
    finally:
        with connect(dsn) as admin:
            admin.execute("DROP ROLE tenant")


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_both_of_prefects_drivers_understand_the_url(settings: Settings, dsn: str) -> None:
    """SQLAlchemy's engine, and asyncpg alone, which listens for notifications."""

    async def connections(url: str) -> int:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            found = (await connection.execute(text("SELECT 1"))).scalar_one()
        await engine.dispose()
        listener = await get_pg_notify_connection()
        assert listener is not None
        await listener.close()
        return int(found)

    with (
        prefect_database(settings, dsn) as found,
        temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: found.url}),
    ):
        assert asyncio.run(connections(found.url)) == 1
    with connect(dsn) as admin:
        admin.execute(f"DROP DATABASE {make_url(found.url).database} WITH (FORCE)")


def test_what_the_worker_says_of_feeds_is_shown(at_home: Settings) -> None:
    """Those that are streamed need no words; nothing is known before the worker has looked."""
    assert (stopped_feeds(at_home), failed_feeds(at_home)) == ({}, {})
    status_file(at_home).parent.mkdir()
    status_file(at_home).write_text(
        '{"a": {"state": "Running", "message": null, "note": null, "stopped": false},'
        ' "b": {"state": "Cancelled", "message": "m", "note": "cancelled in Prefect", "stopped": true},'
        ' "c": {"state": "Refused", "message": "m", "note": "The key is wrong.", "stopped": false}}'
    )
    assert stopped_feeds(at_home) == {"b": "cancelled in Prefect", "c": "The key is wrong."}
    assert failed_feeds(at_home) == {"c": "The key is wrong."}
    assert stopped_by_operator(at_home) == {"b"}
    clear_feed_status(at_home)
    assert (stopped_feeds(at_home), stopped_by_operator(at_home)) == ({}, set())
