"""Profiles: what a session is allowed arrives at the server, and ends what takes too long."""

import time
from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import create_engine, text

from candleworks.database.connection import Connection, connect, is_outage, open_pool, sqlalchemy_url, transient_errors
from candleworks.database.engine import Engine
from candleworks.database.profiles import (
    ADMIN,
    CHECK,
    PROFILES,
    READER,
    WATCH,
    WEB,
    WRITER,
    Profile,
)
from candleworks.database.reader_role import READER as READER_ROLE
from candleworks.database.reader_role import set_up_reader
from candleworks.errors import TransientError

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def settings_of(connection: Connection) -> dict[str, str]:
    """What a session began with; of a Unix socket the server shows no keepalives, but keeps what was asked for."""
    rows = connection.execute("SELECT name, reset_val || coalesce(unit, '') FROM pg_settings").fetchall()
    return dict(rows)


def seconds(count: int) -> str:
    return f"{count * 1_000}ms"


def every_profile(test: object) -> object:
    return pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)(test)


@every_profile
def test_the_settings_of_a_profile_arrive_at_the_server(dsn: str, profile: Profile) -> None:
    """As numbers that a person can compare with the documentation."""
    with connect(dsn, profile=profile) as connection:
        found = settings_of(connection)
        shown = connection.execute("SHOW statement_timeout").fetchone()
    assert found["statement_timeout"] == seconds(profile.statement_timeout_seconds)
    assert found["lock_timeout"] == seconds(profile.lock_timeout_seconds)
    assert found["idle_in_transaction_session_timeout"] == seconds(profile.idle_in_transaction_timeout_seconds)
    assert [found[f"tcp_keepalives_{name}"] for name in ("idle", "interval", "count")] == ["10s", "5s", "3"]
    assert found["default_transaction_read_only"] == ("on" if profile.read_only else "off")
    assert found["TimeZone"] == "UTC"
    assert found["random_page_cost"] == "1.1"
    assert found["application_name"] == f"candleworks {profile.name}"
    limit = profile.statement_timeout_seconds
    assert shown == (f"{limit}s" if limit else "0",)


@every_profile
def test_the_network_limits_of_a_profile_reach_the_driver(dsn: str, profile: Profile) -> None:
    """They are the client's own, so that the server cannot show them."""
    with connect(dsn, "a test", profile=profile) as connection:
        given = connection.info.get_parameters()
    assert given["connect_timeout"] == str(profile.connect_timeout_seconds)
    assert given["tcp_user_timeout"] == str(profile.network_timeout_seconds * 1_000)
    assert [given[f"keepalives_{name}"] for name in ("idle", "interval", "count")] == ["10", "5", "3"]
    assert given["application_name"] == "candleworks a test"


@every_profile
def test_pools_and_sqlalchemy_open_the_same_sessions(dsn: str, profile: Profile) -> None:
    """One profile, three ways to use it."""
    with connect(dsn, "same", profile=profile) as connection:
        expected = settings_of(connection)
    with open_pool(dsn, "same", profile=profile, max_size=1) as pool, pool.connection() as connection:
        assert settings_of(connection) == expected
    engine = create_engine(sqlalchemy_url(dsn, profile, "same"))
    with engine.connect() as session:
        rows = session.execute(text("SELECT name, reset_val || coalesce(unit, '') FROM pg_settings"))
        assert dict(rows.tuples().all()) == expected
    engine.dispose()


@pytest.mark.parametrize("profile", [WRITER, READER, ADMIN], ids=lambda profile: profile.name)
def test_limits_in_the_connection_string_win(dsn: str, profile: Profile) -> None:
    """An operator knows the server and the network better than the defaults."""
    own = make_conninfo(
        dsn, options="-c statement_timeout=7s -c random_page_cost=3", connect_timeout=3, tcp_user_timeout=4000
    )
    with connect(own, profile=profile) as connection:
        found, given = settings_of(connection), connection.info.get_parameters()
    assert (found["statement_timeout"], found["random_page_cost"]) == ("7000ms", "3")
    assert (given["connect_timeout"], given["tcp_user_timeout"]) == ("3", "4000")


@pytest.mark.parametrize("profile", [WEB, CHECK, WATCH], ids=lambda profile: profile.name)
def test_limits_of_a_strict_profile_win(dsn: str, profile: Profile) -> None:
    """Whoever waits for a page, a check or a notification does not wait longer because an import has to."""
    own = make_conninfo(dsn, options="-c statement_timeout=0 -c lock_timeout=0", connect_timeout=99, keepalives=0)
    with connect(own, profile=profile) as connection:
        found, given = settings_of(connection), connection.info.get_parameters()
    assert found["statement_timeout"] == seconds(profile.statement_timeout_seconds)
    assert found["lock_timeout"] == seconds(profile.lock_timeout_seconds)
    assert given["connect_timeout"] == str(profile.connect_timeout_seconds)
    assert given.get("keepalives", "1") == "1"


@every_profile
def test_what_makes_results_right_is_not_taken_from_the_connection_string(dsn: str, profile: Profile) -> None:
    """Neither the zone, nor the encoding, nor the right to write of a profile that reads; other options are kept."""
    options = "-c TimeZone=Asia/Tokyo -c default_transaction_read_only=off -c work_mem=5MB"
    own = make_conninfo(dsn, options=options, client_encoding="LATIN1", application_name="mine")
    with connect(own, profile=profile) as connection:
        found = settings_of(connection)
    assert (found["TimeZone"], found["client_encoding"]) == ("UTC", "UTF8")
    assert found["default_transaction_read_only"] == ("on" if profile.read_only else "off")
    assert found["work_mem"] == "5120kB"
    assert found["application_name"] == f"candleworks {profile.name}"


def test_a_statement_that_takes_too_long_is_ended(dsn: str) -> None:
    """By the server, and the caller may try again."""
    began = time.monotonic()
    with (
        connect(dsn, profile=replace(WEB, statement_timeout_seconds=1)) as connection,
        pytest.raises(TransientError, match=r"did not answer in time \(canceling statement due to statement timeout\)"),
        transient_errors(dsn),
    ):
        connection.execute("SELECT pg_sleep(30)")
    assert time.monotonic() - began < 10


def test_a_lock_that_somebody_keeps_is_given_up(dsn: str) -> None:
    """The sentence says that the database is there."""
    with connect(dsn) as owner, connect(dsn, profile=replace(READER, lock_timeout_seconds=1)) as waiting:
        owner.execute("BEGIN; LOCK TABLE company")
        with pytest.raises(TransientError) as caught, transient_errors(dsn):
            waiting.execute("SELECT FROM company")
    assert "did not grant a lock that another session holds (canceling statement due to lock timeout" in str(
        caught.value
    )


def test_a_transaction_that_is_left_open_is_ended(dsn: str) -> None:
    """A suspended process would keep its locks for as long; what it does next fails, and may be tried again."""
    profile = replace(WRITER, idle_in_transaction_timeout_seconds=1)
    with connect(dsn, profile=profile) as idle, connect(dsn) as other:
        idle.execute("BEGIN; LOCK TABLE company")
        other.execute("SELECT FROM company")  # waits until the other one is ended
        with pytest.raises(TransientError, match="ended a session that took too long"), transient_errors(dsn):
            idle.execute("SELECT 1")
        assert is_outage(psycopg.errors.IdleInTransactionSessionTimeout())


def test_a_profile_that_reads_cannot_write(dsn: str) -> None:
    """The server refuses it."""
    for profile in (READER, WEB, CHECK):
        with connect(dsn, profile=profile) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM company")


def test_the_role_of_dashboards_has_the_limits_of_checks(connection: Connection) -> None:
    """Grafana opens its sessions itself: what a profile is elsewhere is set for the role."""
    set_up_reader(connection)
    row = connection.execute(
        "SELECT setconfig FROM pg_db_role_setting WHERE setrole = %s::regrole AND setdatabase = 0", [READER_ROLE]
    ).fetchone()
    assert row is not None
    found = {name.lower(): value for name, _, value in (entry.partition("=") for entry in row[0])}
    expected = CHECK.settings | CHECK.fixed
    expected = {name.lower(): value for name, value in expected.items() if not name.startswith(("tcp_", "lock_"))}
    assert found == expected
