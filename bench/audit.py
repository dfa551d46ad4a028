"""How long an audit of every candle takes on plain PostgreSQL, against TimescaleDB, over the same 30 days."""

import time
from collections.abc import Iterator
from datetime import timedelta

from bench.databases import Databases
from bench.report import Measurement, Options
from bench.stored import SPAN, engines, fill
from candleworks import clock
from candleworks.candles.audit import audit
from candleworks.database.connection import connect


def measure(databases: Databases, options: Options) -> Iterator[Measurement]:
    """Yield nothing without a TimescaleDB."""
    seconds = {}
    for engine, server in engines(databases):
        with server.fresh(migrated=True) as dsn, connect(dsn, "bench") as connection:
            fill(connection, clock.now() - timedelta(hours=1), SPAN / options.ticks, 0, options.ticks)
            began = time.monotonic()
            report = audit(connection, None, None)
            seconds[engine] = time.monotonic() - began
            if report.differences:
                raise RuntimeError(f"{engine}: the audit found {len(report.differences)} differences")
    if "timescale" in seconds:
        yield Measurement(
            f"postgres: audit of {options.ticks:,} ticks",
            f"{seconds['postgres']:.1f} s",
            f"timescale: {seconds['timescale']:.1f} s",
            seconds["postgres"] / seconds["timescale"],
            unit="times",
            budget=1.5,
        )
