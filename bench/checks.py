"""What a whole run of checks takes on a long history, the start of the command and its imports included."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta

from bench.databases import Databases
from bench.report import Measurement, Options
from bench.stored import SPAN, SYMBOLS, engines
from candleworks import clock
from candleworks.candles.calendars import sync_calendars
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, connect
from candleworks.settings import load_settings

FILL = """
INSERT INTO stocks_real_time (time, symbol, price, day_volume, volume, bid, ask, received_at, origin)
SELECT t.time, 'S' || n %% %(symbols)s || '/X', 100 + (n %% 101) * 0.01, 1000000 + n %% 1000, 1, 99.99, 101.02,
    t.time + interval '200 milliseconds', 'twelvedata'
FROM generate_series(%(ticks)s::bigint, 1, -1) n
CROSS JOIN LATERAL (SELECT date_trunc('milliseconds', %(end)s - n * %(step)s) AS time) t
"""
FEED = """
INSERT INTO feed_symbols SELECT 'bench', 'S' || n || '/X', 'streaming', NULL, now() - interval '30 days'
FROM generate_series(0, %(symbols)s - 1) n
"""


def measure(databases: Databases, options: Options) -> Iterator[Measurement]:
    for engine, server in engines(databases):
        with server.fresh(migrated=True) as dsn, connect(dsn, "bench") as connection:
            _fill(connection, options.ticks)
            stored = f"{options.ticks:,} ticks of {SYMBOLS} symbols stored"
            yield _run(dsn, f"{engine}: candleworks check, the newest hour", stored, budget=20)
            yield _run(dsn, f"{engine}: candleworks check, what came since", stored)
            yield _run(dsn, f"{engine}: candleworks check --since 1d", stored, "--since", "1d", budget=20)


def _fill(connection: Connection, ticks: int) -> None:
    end = clock.now()
    sync_calendars(connection, load_settings({}))
    connection.execute("SELECT candleworks.prepare_ticks(%s, now())", [end - SPAN - timedelta(days=1)])
    connection.execute(FILL, {"symbols": SYMBOLS, "ticks": ticks, "end": end, "step": SPAN / ticks})
    connection.execute(FEED, {"symbols": SYMBOLS})
    refresh(connection)
    connection.execute("VACUUM ANALYZE")


def _run(dsn: str, name: str, stored: str, *arguments: str, budget: float | None = None) -> Measurement:
    """Time the command as a process; it has to come to its end, whatever it finds."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "candleworks", "check", *arguments],
        env=os.environ | {"CANDLEWORKS_DSN": dsn, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if " checks: " not in done.stdout:
        raise RuntimeError(done.stdout + done.stderr)
    return Measurement(
        name, f"{seconds:.1f} s", stored, seconds, unit="s", budget=budget, details={"output": done.stdout}
    )
