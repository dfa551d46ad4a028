"""`migrate`, `dsn`, `status` and `candles refresh`."""

import json
import re
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest

from candleworks.candles.refresh import REFRESHED
from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.engine import Engine
from candleworks.model.trades import MICROSECONDS, Trades
from candleworks.storage.trades import TradeStore
from tests.cli.commands import candleworks
from tests.cli.conftest import Invoke


def store(connection: Connection, symbol: str, price: float) -> None:
    """Store a trade of ten minutes ago."""
    event_us = (int(time.time()) - 600) * MICROSECONDS
    trades = Trades([event_us], [0], [symbol], [price], [None], [None], [None], [None], [event_us])
    target = TradeStore(connection, "test", lambda _: ZoneInfo("UTC"))
    target.prepare([event_us])
    target.copy(trades)


on_one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def test_migrating_twice_is_harmless(invoke: Invoke, empty_dsn: str) -> None:
    """The first time says what it applied, and to what; the second time says that there is nothing to do."""
    first = invoke("migrate", CANDLEWORKS_DSN=empty_dsn)
    assert (first.status, first.errors) == (0, "")
    assert re.match(r"Applied \d\d migrations to test_\S+ on \S+: common/0001_schema to \w+/\w+\.\n", first.output)
    assert invoke("migrate", CANDLEWORKS_DSN=empty_dsn) == (0, "Nothing to apply: the database is up to date.\n", "")


def test_ticks_can_be_inserted_by_sql_after_a_migration(invoke: Invoke, empty_dsn: str) -> None:
    """Those of a quarter of a year before and after now need no further command."""
    assert invoke("migrate", CANDLEWORKS_DSN=empty_dsn).status == 0
    with connect(empty_dsn) as connection:
        connection.execute(
            "INSERT INTO stocks_real_time (time, symbol, price)"
            " SELECT now() + n * interval '1 day', 'A', 1 FROM generate_series(-90, 90) n"
        )
        connection.execute("INSERT INTO quotes (time, symbol, bid, ask) VALUES (now(), 'A', 1, 2)")


def test_candles_can_be_refreshed_by_hand(invoke: Invoke, dsn: str, connection: Connection, engine: Engine) -> None:
    """It says how many changed per level (on TimescaleDB: were refreshed); a second time none."""
    store(connection, "AAPL", 1.5)
    first = invoke("candles", "refresh", CANDLEWORKS_DSN=dsn)
    assert (first.status, first.errors) == (0, "")
    assert first.output.startswith(f"candles {REFRESHED[engine]}: 1 of 1m")
    assert connection.execute("SELECT close, ticks FROM candles_1d").fetchall() == [(1.5, 1)]


@on_one_engine
def test_a_second_refresh_has_nothing_to_do(invoke: Invoke, dsn: str) -> None:
    """It says so."""
    assert invoke("candles", "refresh", CANDLEWORKS_DSN=dsn) == (0, "candles changed: none\n", "")


def test_the_status_of_an_empty_database_is_shown(invoke: Invoke, dsn: str) -> None:
    """As text for people and as JSON for programs."""
    text = invoke("status", CANDLEWORKS_DSN=dsn)
    assert (text.status, text.errors) == (0, "")
    assert "No feed has run yet." in text.output
    ended = invoke("status", "--json", CANDLEWORKS_DSN=dsn)
    status = json.loads(ended.output)
    assert (ended.status, ended.errors) == (0, "")
    assert (status["ticks_stored"], status["rejected_ticks"], status["feeds"]) == (0, 0, [])


@on_one_engine
def test_the_status_tells_what_each_feed_did(invoke: Invoke, dsn: str, connection: Connection) -> None:
    """Its newest ten seconds, and the newest tick of its symbols."""
    connection.execute(
        "INSERT INTO ingest_stats VALUES ('twelvedata', date_trunc('minute', now()), 7, 2, 1, 2.5, 3, 0, 1, 3, 4, 5)"
    )
    store(connection, "BTC/USD", 30361.2)
    (feed,) = json.loads(invoke("status", "--json", CANDLEWORKS_DSN=dsn).output)["feeds"]
    assert (feed["feed"], feed["ticks"], feed["batches"], feed["lag_ms_p99"]) == ("twelvedata", 7, 2, 2.5)
    assert (feed["duplicates"], feed["rejected"], feed["reconnects"]) == (3, 4, 1)
    assert (feed["last_symbol"], feed["last_price"]) == ("BTC/USD", 30361.2)
    assert "twelvedata" in invoke("status", CANDLEWORKS_DSN=dsn).output


def test_the_connection_string_works_and_its_server_stays(tmp_path: Path) -> None:
    """It is all that is printed; the server ends with the next command that uses it and does not ask it to stay."""
    server = EmbeddedServer(tmp_path / "home")
    try:
        ended = candleworks("dsn", directory=tmp_path)
        assert (ended.status, ended.errors) == (0, "")
        for _ in range(2):
            with psycopg.connect(ended.output.strip()) as connection:
                assert connection.execute("SELECT count(*) FROM candles_1m").fetchone() == (0,)
        assert candleworks("dsn", directory=tmp_path).output == ended.output
        assert candleworks("migrate", directory=tmp_path).output == "Nothing to apply: the database is up to date.\n"
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(ended.output.strip())
    finally:
        server.stop()


def test_a_connection_string_of_ones_own_is_handed_through(invoke: Invoke, empty_dsn: str, tmp_path: Path) -> None:
    """Nothing is embedded then."""
    assert invoke("dsn", CANDLEWORKS_DSN=empty_dsn) == (0, f"{empty_dsn}\n", "")
    assert not (tmp_path / "home").exists()
