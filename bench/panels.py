"""How long every query of the dashboards takes on a filled database, on both engines, as Grafana's own role.

50 symbols with 30 days of trades, 20 of them with quotes as well (a tenth as many), and what the feeds and checks of 30
days leave behind.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

import psycopg

from bench.dashboards import measure_open
from bench.databases import Databases
from bench.report import Measurement, Options
from bench.stored import SPAN, engines, fill, milliseconds
from candleworks import clock
from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection, connect
from candleworks.database.reader_role import READER, set_up_reader
from candleworks.settings import load_settings
from tests.grafana.expansion import Query, queries, variable_queries

ROUNDS = 7
CHOSEN: dict[str, str | list[str]] = {
    "symbol": "S7",
    "period": "auto",
    "side": "trade",
    "indicator": "rsi",
    "compare": ["S1", "S2", "S3"],
    "feed": ["stocks", "crypto"],
    "severity": ["critical", "warning", "info"],
}
BESIDE_TRADES = (
    "SELECT candleworks.prepare_quotes(%(end)s - interval '31 days', %(end)s)",
    """INSERT INTO quotes (time, symbol, bid, ask, bid_volume, ask_volume)
        SELECT %(end)s - n * %(step)s, 'S' || n %% 20, 100 + (n %% 1009) * 0.01, 100.01 + (n %% 1009) * 0.01, 1, 2
        FROM generate_series(1, %(quotes)s) n""",
    """INSERT INTO ingest_stats (feed, at, ticks, batches, lag_ms_p50, lag_ms_p99, lag_ms_max, spool_depth, reconnects,
            duplicates, rejected, candles)
        SELECT feed, %(end)s - n * interval '10 seconds', 40, 10, 20, 80, 120, 0, 0, 1, 0, 3
        FROM generate_series(0, 259200) n, unnest(ARRAY['stocks', 'crypto']) feed ORDER BY n DESC""",
    """INSERT INTO feed_symbols (feed, symbol, status, since)
        SELECT 'stocks', 'S' || n, 'streaming', %(end)s - interval '30 days' FROM generate_series(0, 49) n""",
    "INSERT INTO company (symbol, name) SELECT 'S' || n, 'Company ' || n FROM generate_series(0, 49) n",
    """INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason)
        SELECT 'stocks', 'S' || n %% 50, %(end)s - n * interval '2 hours',
            %(end)s - n * interval '118 minutes', 'silence'
        FROM generate_series(1, 360) n""",
    """INSERT INTO quality_results ("check", subject, suite, severity, status, observed, expected, sample, seconds, at)
        SELECT 'check_' || k, 'S' || n %% 50, 'live', (ARRAY['critical', 'warning', 'info'])[1 + k %% 3],
            CASE WHEN (n + k) %% 23 = 0 THEN 'failed' ELSE 'passed' END, '1', '0', '[{"a": 1}]', 0.1,
            %(end)s - n * interval '1 minute'
        FROM generate_series(1, 43200) n, generate_series(1, 10) k ORDER BY n DESC""",
    """INSERT INTO alerts ("check", subject, severity, status, opened_at, last_seen_at, checked_at, resolved_at)
        SELECT 'check_1', 'S' || n, 'critical', 'resolved', %(end)s - n * interval '10 minutes',
            %(end)s, %(end)s, %(end)s
        FROM generate_series(1, 3000) n""",
    """INSERT INTO candleworks.ingest_totals (feed, since, ticks, batches, reconnects, duplicates, rejected, candles)
        SELECT feed, %(end)s - interval '30 days', 0, 0, 0, 0, 0, 0 FROM unnest(ARRAY['stocks', 'crypto']) feed""",
    """INSERT INTO candleworks.process_samples
        SELECT feed, %(end)s - n * interval '30 seconds', 'host', 5, 1e8, 40, 1e9, 1e10, 1e11
        FROM generate_series(0, 86400) n, unnest(ARRAY['stocks', 'crypto']) feed ORDER BY n DESC""",
    """INSERT INTO candleworks.flow_schedules
        SELECT 'flow ' || n, 'pool', false, %(end)s + interval '5 minutes' FROM generate_series(1, 11) n""",
    """INSERT INTO candleworks.flow_runs
        SELECT gen_random_uuid(), 'flow ' || k, 'completed', %(end)s - n * interval '1 minute', %(end)s, 'done'
        FROM generate_series(1, 43200) n, generate_series(1, 2) k""",
    """INSERT INTO candleworks.size_history
        SELECT date_trunc('hour', %(end)s - n * interval '1 hour'), kind, %(end)s - n * interval '1 hour',
            1e6 * (9000 - n)
        FROM generate_series(1, 8760) n, unnest(ARRAY['trades', 'quotes', 'candles', 'other']) kind""",
)


def measure(databases: Databases, options: Options) -> Iterator[Measurement]:
    for engine, server in engines(databases):
        with server.fresh(migrated=True) as dsn:
            end = clock.now() - timedelta(minutes=1)
            with connect(dsn, "bench") as connection:
                _prepare(connection, end, options.ticks)
            with psycopg.connect(dsn, user=READER, autocommit=True) as reader:
                yield from _slowest(reader, engine, end)
            yield from measure_open(dsn, engine, end, CHOSEN, options)


def _prepare(connection: Connection, end: datetime, ticks: int) -> None:
    sync_calendars(connection, load_settings({}))
    set_up_reader(connection)
    quotes = ticks // 10
    # Totals are kept row by row, for a row every ten seconds: half a million at once take longer than everything else.
    connection.execute("ALTER TABLE ingest_stats DISABLE TRIGGER USER")
    for statement in BESIDE_TRADES:
        connection.execute(statement, {"end": end, "quotes": quotes, "step": SPAN / quotes})
    fill(connection, end, SPAN / ticks, 0, ticks)


def _slowest(reader: Connection, engine: str, end: datetime) -> Iterator[Measurement]:
    taken: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for query in (*variable_queries(end, CHOSEN), *queries(end, CHOSEN)):
        dashboard, _, what = query.where.partition(": ")
        taken[dashboard].append((_median_ms(reader, query), what))
    for dashboard, times in sorted(taken.items()):
        slowest, what = max(times)
        yield Measurement(
            f"{engine}: {dashboard}, slowest of {len(times)} queries",
            f"{slowest:.0f} ms",
            what,
            slowest,
            unit="ms",
            budget=100,
        )


def _median_ms(reader: Connection, query: Query) -> float:
    sql = query.expanded().encode()
    return statistics.median(milliseconds(lambda: reader.execute(sql).fetchall()) for _ in range(ROUNDS))
