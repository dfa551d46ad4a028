"""Roles that may only read, or only write ticks, need nothing else."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from tests.candles.conftest import LEVELS, Market, Tick, tick

_numbers = itertools.count()

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


@pytest.fixture
def guest(dsn: str, connection: Connection) -> Iterator[Connection]:
    """Somebody with a role of their own and no rights yet."""
    name = f"guest_{next(_numbers)}"
    connection.execute(f"CREATE ROLE {name} LOGIN")
    with connect(make_conninfo(dsn, user=name)) as own:
        yield own
    connection.execute(f"DROP OWNED BY {name}")
    connection.execute(f"DROP ROLE {name}")


def test_a_reader_of_the_public_relations_reads_everything(market: Market, guest: Connection) -> None:
    """SELECT on the schema public suffices for stored and forming candles, ohlc() and the tutorial's SQL."""
    market.insert([tick("2022-10-19 12:00:00", 1.0)])
    refresh(market.connection)
    market.insert([tick("2022-10-19 12:00:01", 2.0)])
    market.connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {guest.info.user}")
    theirs = Market(guest)
    for level in LEVELS:
        assert [candle.close for candle in theirs.shown(level)] == [2.0]
    assert guest.execute("SELECT close FROM ohlc('AAPL', '7 minutes', '-infinity', 'infinity')").fetchall() == [(2.0,)]
    assert guest.execute(
        "SELECT time_bucket('1 day', time), first(price, time), last(price, time) FROM stocks_real_time GROUP BY 1"
    ).fetchall() == [(datetime(2022, 10, 19, tzinfo=UTC), 1.0, 2.0)]


def test_a_reader_cannot_touch_the_private_tables(guest: Connection) -> None:
    """The schema is open for its functions, the tables in it are not."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        guest.execute("SELECT * FROM candleworks.stored_1m")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        guest.execute("DELETE FROM candleworks.candle_invalidations")


def test_a_writer_of_ticks_moves_the_candles(market: Market, guest: Connection) -> None:
    """INSERT on the ticks suffices: the notes for the candles are left on its behalf."""
    market.prepare([tick("2022-10-19 12:00:00", 1.0)])
    market.connection.execute(f"GRANT INSERT ON stocks_real_time TO {guest.info.user}")
    guest.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES ('2022-10-19 12:00:00+00', 'AAPL', 5)")
    assert [candle.close for candle in market.shown("1d")] == [5.0]


@pytest.mark.parametrize("zone", ["America/New_York", "Africa/Monrovia"])
def test_a_note_is_a_minute_of_utc(market: Market, zone: str) -> None:
    """Also for a writer whose zone was some seconds off whole minutes."""
    moment = tick("1971-06-01 12:00:10", 1.0).time
    market.prepare([Tick(moment, "AAPL", 1.0)])
    market.connection.execute("SELECT set_config('TimeZone', %s, false)", [zone])
    market.connection.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (%s, 'AAPL', 5)", [moment])
    market.assert_shown_exactly()
