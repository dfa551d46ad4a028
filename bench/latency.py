"""Tick to queryable: how long after it was sent a tick is seen by another session, at 10,000 ticks a second.

The feed numbers its ticks and notes when it hands them to the socket; this process asks the database for the highest
number every few milliseconds. So a figure holds everything: sockets, batching, commit, and up to one such pause.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.databases import Databases
from bench.live import client
from bench.paced_feed import SYMBOLS, burst_size
from bench.report import Measurement, Options
from candleworks import clock
from candleworks.database.connection import connect

BUDGET_MS = 50.0
TICKS_PER_SECOND = 10_000
POLL_SECONDS = 0.002
GRACE_SECONDS = 30
NEWEST = """
SELECT coalesce(max(t.price), -1) FROM unnest(%s::text[]) s(symbol)
CROSS JOIN LATERAL (SELECT price FROM stocks_real_time t WHERE t.symbol = s.symbol ORDER BY time DESC LIMIT 1) t
"""


def measure(databases: Databases, options: Options) -> Iterator[Measurement]:
    latencies_ms = _latencies_ms(databases, options.seconds)
    p50, p99, highest = (float(value) for value in np.percentile(latencies_ms, (50, 99, 100)))
    yield Measurement(
        "latency: sent to queryable",
        f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {highest:.0f} ms",
        f"{TICKS_PER_SECOND:,} ticks/s, {len(latencies_ms):,} samples",
        p99,
        unit="ms",
        budget=BUDGET_MS,
        details={"p50_ms": p50, "p99_ms": p99, "max_ms": highest},
    )


def _latencies_ms(databases: Databases, seconds: float) -> NDArray[np.float64]:
    feed = subprocess.Popen(
        [sys.executable, "-m", "bench.paced_feed", str(TICKS_PER_SECOND), str(seconds)], stdout=subprocess.PIPE
    )
    try:
        with databases.fresh(migrated=True) as dsn:
            url = f"ws://127.0.0.1:{int(feed.stdout.readline())}"
            with client("bench.candleworks_client", dsn, url, ",".join(SYMBOLS)):
                seen_at, highest = _observe(dsn, int(seconds * TICKS_PER_SECOND) - 1)
            sent_at = np.repeat(json.loads(feed.stdout.readline()), burst_size(TICKS_PER_SECOND))
    finally:
        feed.kill()
        feed.wait()
    first_seen = np.searchsorted(highest, np.arange(len(sent_at)))
    return (seen_at[first_seen] - sent_at) * 1_000


def _observe(dsn: str, last: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Look for the highest stored number until it is `last`; return the moments and what was seen at each."""
    seen_at, highest = [0.0], [-1.0]
    deadline = clock.monotonic() + last / TICKS_PER_SECOND + GRACE_SECONDS
    with connect(dsn, "bench") as connection:
        while highest[-1] < last:
            if clock.monotonic() > deadline:
                raise TimeoutError(f"tick {last} was not stored within {GRACE_SECONDS} s, the newest is {highest[-1]}")
            row = connection.execute(NEWEST, [list(SYMBOLS)]).fetchone()
            seen_at.append(clock.monotonic())
            highest.append(row[0] if row else -1.0)
            time.sleep(POLL_SECONDS)
    return np.array(seen_at), np.array(highest)
