"""What waits for a refresh of TimescaleDB's continuous aggregates, and what a refresh says that it did."""

from datetime import UTC, datetime, timedelta

import pytest

from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.storage.inspection import inspect

pytestmark = pytest.mark.parametrize("engine", [Engine.TIMESCALE], indirect=True)
LEVELS = ("1m", "5m", "15m", "1h", "4h", "1d")
NOON = (datetime.now(UTC) - timedelta(days=3)).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def refreshed(connection: Connection) -> Connection:
    """Trades of three days ago and of an hour ago, and their candles."""
    for time in (NOON, datetime.now(UTC) - timedelta(hours=1)):
        insert(connection, time)
    refresh(connection)
    return connection


def insert(connection: Connection, time: datetime, symbol: str = "A") -> None:
    connection.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (%s, %s, 1)", [time, symbol])


def test_aggregates_of_others_do_not_wait_for_our_refresh(refreshed: Connection) -> None:
    """What somebody else's aggregate has yet to refresh is not counted, before ours are up to date or afterwards."""
    refreshed.execute(
        "CREATE MATERIALIZED VIEW public.mine WITH (timescaledb.continuous) AS"
        " SELECT time_bucket('1 minute', time), symbol, count(*) FROM stocks_real_time GROUP BY 1, 2 WITH NO DATA"
    )
    assert inspect(refreshed).pending == 0
    insert(refreshed, NOON + timedelta(seconds=1))
    assert inspect(refreshed).pending == 1
    refresh(refreshed)
    assert inspect(refreshed).pending == 0


def test_dropped_quotes_do_not_hide_trades_that_wait(refreshed: Connection) -> None:
    """The times of dropped ticks are those of their own table."""
    refreshed.execute("INSERT INTO candleworks.retention_horizons VALUES ('quotes', now())")
    insert(refreshed, NOON + timedelta(seconds=1))
    assert inspect(refreshed).pending == 1


def test_late_ticks_where_ticks_were_dropped_do_not_wait(refreshed: Connection) -> None:
    """No refresh will compute their candles."""
    refreshed.execute(
        "INSERT INTO candleworks.retention_horizons VALUES ('stocks_real_time', %s)", [NOON + timedelta(hours=1)]
    )
    insert(refreshed, NOON + timedelta(seconds=1))
    assert inspect(refreshed).pending == 0


def test_candles_of_late_ticks_are_counted(refreshed: Connection) -> None:
    """Every candle of a bucket that was refreshed, at every level; a second refresh has nothing to do."""
    insert(refreshed, NOON + timedelta(seconds=1), "B")
    assert refresh(refreshed) == dict.fromkeys(LEVELS, 2)
    assert refresh(refreshed) == {}
