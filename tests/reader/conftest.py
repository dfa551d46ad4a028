"""A database with trades and quotes to read."""

from datetime import UTC, datetime, timedelta

import pytest

from candleworks.database.connection import Connection

MONDAY = datetime(2026, 3, 2, 15, tzinfo=UTC)


@pytest.fixture
def stored(connection: Connection, dsn: str) -> str:
    """The connection string of a database with ten trades of AAPL, a minute apart, and ten quotes of EUR/USD."""
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [MONDAY, MONDAY])
    connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [MONDAY, MONDAY])
    times = [MONDAY + timedelta(minutes=n) for n in range(10)]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO stocks_real_time (time, symbol, price, volume) VALUES (%s, 'AAPL', %s, %s)",
            [(time, 100.0 + n, None if n == 0 else 10.0 * n) for n, time in enumerate(times)],
        )
        cursor.executemany(
            "INSERT INTO quotes (time, symbol, bid, ask) VALUES (%s, 'EUR/USD', %s, %s)",
            [(time, 1.1 + n / 100, 1.2 + n / 100) for n, time in enumerate(times)],
        )
    return dsn
