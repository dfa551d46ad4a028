"""Advisory locks that functions in sql/ take: those of the registry, under the same numbers."""

import re

import pytest

from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.database.locks import Lock
from candleworks.database.queries import sql_directory

HELD = (
    "SELECT classid::bigint, objid::bigint, mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
)
STATEMENTS = {
    "SELECT candleworks.take_credits('me', 1, 8, 800)": Lock.REST_CREDITS,
    "SELECT candleworks.refresh_candles()": Lock.REFRESH_CANDLES,
    "SELECT candleworks.prepare_ticks('2031-01-01 UTC', '2031-01-01 UTC')": Lock.PREPARE_PARTITIONS,
}


def sql_files() -> dict[str, str]:
    """The files that take locks, without comments."""
    found = {
        path.relative_to(sql_directory()).as_posix(): re.sub(r"--[^\n]*", "", path.read_text())
        for path in sql_directory().rglob("*.sql")
    }
    return {name: text for name, text in found.items() if "pg_advisory" in text or "pg_try_advisory" in text}


def test_files_take_locks_of_the_registry_alone() -> None:
    """With two keys, of which the first one has a name; the queries get it from the registry."""
    files = sql_files()
    queries = files.pop("queries/locks.sql")
    assert set(re.findall(r"advisory_\w+\(([^,]+),", queries)) == {"%(class)s"}
    taken = [
        call for text in files.values() for call in re.findall(r"advisory_(?:xact_)?lock(?:_shared)?\((.*)\);", text)
    ]
    named = [re.match(r"candleworks\.lock_class\('(\w+)'\), (?:0|hashtext\(\w+\))$", call) for call in taken]
    assert len(taken) >= 4
    assert all(named), taken
    assert {match[1].upper() for match in named if match} <= set(Lock.__members__)


def test_names_have_the_numbers_of_the_registry(connection: Connection) -> None:
    """Another name is an error instead of a lock on nothing."""
    names = {name for text in sql_files().values() for name in re.findall(r"lock_class\('(\w+)'\)", text)}
    for name in names:
        row = connection.execute("SELECT candleworks.lock_class(%s)", [name]).fetchone()
        assert row == (Lock[name.upper()].value,)
    with pytest.raises(Exception, match="case not found"):
        connection.execute("SELECT candleworks.lock_class('refresh_candle')")


@pytest.mark.parametrize("statement", STATEMENTS)
def test_functions_hold_the_lock_that_they_name(dsn: str, engine: Engine, statement: str) -> None:
    """As the server shows it, until their transaction ends."""
    if engine is Engine.TIMESCALE and STATEMENTS[statement] is not Lock.REST_CREDITS:
        pytest.skip("TimescaleDB's own functions do this")
    with connect(dsn, autocommit=False) as connection:
        connection.execute(statement)
        assert {row[0] for row in connection.execute(HELD).fetchall()} == {int(STATEMENTS[statement])}


@pytest.mark.parametrize("engine", [Engine.TIMESCALE], indirect=True)
def test_writing_ticks_holds_back_a_refresh(dsn: str) -> None:
    """Shared: writers do not wait for each other."""
    insert = "INSERT INTO stocks_real_time (time, symbol, price) VALUES ('2026-01-05 UTC', %s, 1)"
    with connect(dsn) as first:
        first.execute(insert, ["FIRST"])  # makes the chunk, which the others would wait for
    with connect(dsn, autocommit=False) as one, connect(dsn, autocommit=False) as other:
        for connection, symbol in ((one, "A"), (other, "B")):
            connection.execute(insert, [symbol])
            assert (int(Lock.INSERT_TICKS), 0, "ShareLock") in connection.execute(HELD).fetchall()
