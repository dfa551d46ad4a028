"""A small database in which every panel has something to show, read by the role that Grafana reads with."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from candleworks.candles.calendars import sync_calendars
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, connect
from candleworks.database.reader_role import set_up_reader
from candleworks.settings import load_settings
from tests.conftest import clone

NOW = datetime(2026, 11, 18, 16, 30, 20, tzinfo=UTC)  # a Wednesday, New York has been open for two hours
READER = "candleworks_reader"
CHOSEN: dict[str, str | list[str]] = {
    "symbol": "AAPL",
    "period": "auto",
    "side": "trade",
    "indicator": "rsi",
    "compare": ["AAPL", "BTC/USD"],
    "feed": ["crypto", "stocks"],
    "severity": ["critical", "warning", "info"],
}

# Eight days of a tick every twenty seconds for each symbol: those of stocks in New York's hours only.
TICKS = """
INSERT INTO stocks_real_time (time, symbol, price, day_volume, volume, origin)
SELECT time, symbol, 100 + 10 * sin(n / 500.0) + CASE symbol WHEN 'MSFT' THEN -n ELSE n END / 10000.0, n, 1,
    CASE WHEN symbol = 'AAPL' AND time BETWEEN %(now)s - interval '90 minutes' AND %(now)s - interval '80 minutes'
        THEN 'bar' ELSE 'test' END
FROM generate_series(1, 34560) n
CROSS JOIN LATERAL (SELECT %(now)s - interval '8 days' + n * interval '20 seconds' AS time) t
CROSS JOIN unnest(ARRAY['AAPL', 'MSFT', 'BTC/USD']) symbol
WHERE symbol = 'BTC/USD' OR extract(isodow FROM time) < 6 AND time::time BETWEEN '14:30' AND '21:00'
"""
QUOTES = """
INSERT INTO quotes (time, symbol, bid, ask, bid_volume, ask_volume)
SELECT %(now)s - n * interval '30 seconds', symbol, 1 + n / 1e6, 1.0002 + n / 1e6, 1, 2
FROM generate_series(1, 20160) n CROSS JOIN unnest(ARRAY['EUR/USD', 'AAPL']) symbol
"""
FILLING = (
    """INSERT INTO company VALUES ('AAPL', 'Apple Inc'), ('MSFT', 'Microsoft'), ('ZZZ', 'Never traded')""",
    """INSERT INTO feed_symbols VALUES
        ('stocks', 'AAPL', 'streaming', NULL, %(now)s - interval '9 days'),
        ('stocks', 'TSLA', 'asked', NULL, %(now)s - interval '9 days'),
        ('stocks', 'NOPE', 'refused', 'not in your plan', %(now)s - interval '9 days'),
        ('crypto', 'BTC/USD', 'streaming', NULL, %(now)s - interval '9 days')""",
    """INSERT INTO ingest_stats (feed, at, ticks, batches, lag_ms_p50, lag_ms_p99, lag_ms_max, spool_depth, reconnects,
            duplicates, rejected, candles)
        SELECT feed, %(now)s - n * interval '10 seconds', 10, 1, 20, 90, 120, n %% 3, 0, 1, 1, 2
        FROM generate_series(0, 400) n, unnest(ARRAY['stocks', 'crypto']) feed""",
    """INSERT INTO ingest_stats (feed, at, ticks, batches, lag_ms_p50, lag_ms_p99, lag_ms_max, spool_depth, reconnects,
            duplicates, rejected, candles)
        SELECT 'stocks', now() - n * interval '10 seconds', 10, 1, 20, 90, 120, 0, 0, 0, 0, 2
        FROM generate_series(0, 5) n""",
    """INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason, filled_at) VALUES
        ('stocks', NULL, %(now)s - interval '40 minutes', %(now)s - interval '35 minutes', 'connection lost', NULL),
        ('stocks', 'AAPL', %(now)s - interval '90 minutes', %(now)s - interval '80 minutes', 'silence', %(now)s),
        ('crypto', 'BTC/USD', %(now)s - interval '2 minutes', NULL, 'silence', NULL)""",
    """INSERT INTO rejected_ticks (received_at, feed, reason, payload)
        VALUES (%(now)s - interval '5 minutes', 'stocks', 'price is not a number', '{}')""",
    """INSERT INTO quality_results ("check", subject, suite, severity, status, observed, expected, sample, seconds, at)
        SELECT check_name, subject, 'live', severity, CASE WHEN n %% 5 = 0 THEN failing ELSE 'passed' END, '3', '0',
            '[{"symbol": "AAPL", "time": "2026-11-18"}]', 0.1, %(now)s - n * interval '20 minutes'
        FROM generate_series(0, 60) n, (VALUES
            ('stale_ticks', 'AAPL', 'critical', 'failed'), ('stale_ticks', 'MSFT', 'critical', 'passed'),
            ('candles_agree', 'candles_1m', 'warning', 'error')
        ) c(check_name, subject, severity, failing)""",
    """INSERT INTO alerts ("check", subject, severity, status, opened_at, last_seen_at, checked_at, resolved_at) VALUES
        ('stale_ticks', 'AAPL', 'critical', 'open', %(now)s - interval '1 hour', %(now)s, %(now)s, NULL),
        ('lag', 'feed/stocks', 'warning', 'resolved', %(now)s - interval '3 hours', %(now)s, %(now)s, %(now)s)""",
    """INSERT INTO candleworks.retention_horizons VALUES ('stocks_real_time', %(now)s - interval '30 days')
        ON CONFLICT DO NOTHING""",
    """INSERT INTO candleworks.process_samples
        SELECT feed, %(now)s - n * interval '30 seconds', 'host', 5, 1e8, 40, 1e9, 1e10, 1e11
        FROM generate_series(0, 200) n, unnest(ARRAY['stocks', 'crypto']) feed""",
    """INSERT INTO candleworks.flow_schedules VALUES ('fill-gaps', 'pool', false, now() + interval '5 minutes')""",
    """INSERT INTO candleworks.flow_runs
        VALUES (gen_random_uuid(), 'fill-gaps', 'failed', now() - interval '5 minutes', now(), 'no credits')""",
    """INSERT INTO candleworks.size_history
        SELECT date_trunc('hour', %(now)s - n * interval '1 hour'), kind, %(now)s - n * interval '1 hour', 1e6 * n
        FROM generate_series(0, 48) n, unnest(ARRAY['trades', 'candles']) kind""",
)


@pytest.fixture(scope="module")
def filled(server_dsn: str, template: str) -> Iterator[str]:
    """A filled database whose newest minutes are not refreshed yet."""
    with clone(server_dsn, template) as dsn, connect(dsn, "test") as connection:
        fill(connection)
        yield dsn


def fill(connection: Connection) -> None:
    parameters = {"now": NOW}
    sync_calendars(connection, load_settings({}))
    set_up_reader(connection)
    connection.execute("SELECT candleworks.prepare_ticks(%(now)s - interval '9 days', %(now)s)", parameters)
    connection.execute("SELECT candleworks.prepare_quotes(%(now)s - interval '9 days', %(now)s)", parameters)
    for statement in (TICKS, QUOTES, *FILLING):
        connection.execute(statement, parameters)
    refresh(connection)
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price) SELECT %(now)s - n * interval '1.5 seconds', 'AAPL', 101"
        " FROM generate_series(0, 10) n",
        {"now": NOW - timedelta(seconds=1)},
    )
    connection.execute("ANALYZE")


@pytest.fixture(scope="module")
def reader(filled: str) -> Iterator[Connection]:
    """Grafana's own connection."""
    with psycopg.connect(filled, user=READER, autocommit=True) as connection:
        yield connection


@pytest.fixture
def empty(server_dsn: str, template: str) -> Iterator[str]:
    """A database in which nothing is stored."""
    with clone(server_dsn, template) as dsn:
        with connect(dsn, "test") as connection:
            set_up_reader(connection)
        yield dsn
