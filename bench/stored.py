"""What history costs: refreshing beside it, reading candles out of it, and keeping it compressed. On both engines.

The history is 30 days of 50 symbols, evenly spread, whose newest tenth serves as the small one: the same density, so
that a difference can only come from the length.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from bench.databases import Databases
from bench.live import candleworks_round
from bench.report import Measurement, Options
from candleworks import clock
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.imports.importer import import_file
from candleworks.settings import load_settings

SYMBOLS = 50
SPAN = timedelta(days=30)
MINUTES = 9
READS = 200
SAMPLE = Path("../shared/data/stocks_real_time_2022-10-19.csv")
SAMPLE_DAYS = 10
TIMESCALEDB = Path(os.environ.get("CANDLEWORKS_TIMESCALEDB") or "~/.cache/candleworks/timescaledb-pg18").expanduser()

FILL = """
INSERT INTO stocks_real_time (time, symbol, price, day_volume, volume, origin)
SELECT %(end)s - n * %(step)s, 'S' || n %% %(symbols)s, 100 + (n %% 1009) * 0.01, n, 1, 'twelvedata'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
"""
ARTICLE = """
SELECT date_trunc(%(unit)s, time) AS dt, (array_agg(price ORDER BY time))[1] AS open, max(price) AS high,
    min(price) AS low, (array_agg(price ORDER BY time DESC))[1] AS close
FROM stocks_real_time WHERE symbol = 'S7' AND time >= %(start)s AND time < %(stop)s GROUP BY 1 ORDER BY 1
"""


def measure(databases: Databases, options: Options) -> Iterator[Measurement]:
    yield from _ingest(databases, options)
    for engine, server in engines(databases):
        with server.fresh(migrated=True) as dsn, connect(dsn, "bench") as connection:
            yield from _history(connection, engine, options.ticks)
        if engine == "timescale" and SAMPLE.exists():
            with server.fresh(migrated=True) as dsn, connect(dsn, "bench") as connection:
                yield _compression(connection)


def _ingest(databases: Databases, options: Options) -> Iterator[Measurement]:
    paces = {
        engine: statistics.median(
            candleworks_round(server, options.seconds).rows_per_second for _ in range(options.rounds)
        )
        for engine, server in engines(databases)
    }
    if "timescale" in paces:
        yield Measurement(
            "timescale: live path",
            f"{paces['timescale']:,.0f} rows/s",
            f"on plain PostgreSQL: {paces['postgres']:,.0f} rows/s",
            paces["timescale"] / paces["postgres"],
            budget=1.0,
        )


def engines(databases: Databases) -> Iterator[tuple[str, Databases]]:
    yield "postgres", databases
    if (TIMESCALEDB / "share/extension/timescaledb.control").is_file():
        home = databases.directory / "timescale"
        with EmbeddedServer(home, TIMESCALEDB).use() as dsn:
            yield "timescale", Databases(dsn, home)


def _history(connection: Connection, engine: str, ticks: int) -> Iterator[Measurement]:
    end, step = clock.now() - timedelta(hours=1), SPAN / ticks
    few = ticks // 10
    fill(connection, end, step, 0, few)
    short_ms = _refresh_ms(connection, end, step)
    fill(connection, end, step, few + 1, ticks)
    long_ms = _refresh_ms(connection, end + timedelta(minutes=MINUTES), step)
    yield Measurement(
        f"{engine}: refresh after a minute of new ticks",
        f"{long_ms:.1f} ms with {ticks:,} stored",
        f"{short_ms:.1f} ms with {few:,} stored",
        long_ms / short_ms,
        unit="times",
        budget=1.2,
    )
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    day = (midnight - timedelta(days=1), midnight)
    yield from _reading(connection, engine, "one day of 1m", "candles_1m", "minute", day)
    yield from _reading(connection, engine, f"{SPAN.days} days of 1d", "candles_1d", "day", (midnight - SPAN, midnight))


def fill(connection: Connection, end: datetime, step: timedelta, first: int, last: int) -> None:
    connection.execute("SELECT candleworks.prepare_ticks(%s, now())", [end - SPAN])
    connection.execute(FILL, {"end": end, "step": step, "symbols": SYMBOLS, "first": first, "last": last})
    refresh(connection)
    connection.execute("VACUUM ANALYZE")


def _refresh_ms(connection: Connection, end: datetime, step: timedelta) -> float:
    """Return the median time of a refresh after each of some minutes of new ticks."""
    taken = []
    for minute in range(MINUTES):
        parameters = {"end": end + timedelta(minutes=minute + 1), "step": step, "symbols": SYMBOLS}
        connection.execute(FILL, {**parameters, "first": 1, "last": timedelta(minutes=1) // step})
        taken.append(milliseconds(lambda: refresh(connection)))
    return statistics.median(taken)


def _reading(
    connection: Connection, engine: str, what: str, view: str, unit: str, bounds: tuple[datetime, datetime]
) -> Iterator[Measurement]:
    parameters = {"unit": unit, "start": bounds[0], "stop": bounds[1]}
    candles = f"SELECT * FROM {view} WHERE symbol = 'S7' AND bucket >= %(start)s AND bucket < %(stop)s ORDER BY bucket"
    ours = [milliseconds(lambda: connection.execute(candles, parameters).fetchall()) for _ in range(READS)]
    article = [milliseconds(lambda: connection.execute(ARTICLE, parameters).fetchall()) for _ in range(5)]
    p50, p99 = (float(value) for value in np.percentile(ours, (50, 99)))
    yield Measurement(
        f"{engine}: {what}, one symbol",
        f"{p50:.1f} ms",
        f"the article's SQL on ticks: {statistics.median(article):.1f} ms",
        statistics.median(article) / p50,
        budget=100,
    )
    yield Measurement(f"{engine}: {what}, p99 of {READS}", f"{p99:.1f} ms", "", p99, unit="ms", budget=10)


def _compression(connection: Connection) -> Measurement:
    """Load the real day and copies of it on later days, and compress them."""
    import_file(connection, load_settings({}), SAMPLE)
    for days in range(1, SAMPLE_DAYS):
        connection.execute(
            "INSERT INTO stocks_real_time SELECT time + %(d)s, symbol, price, day_volume, volume, bid, ask,"
            " received_at + %(d)s, origin FROM stocks_real_time WHERE time < '2022-10-20'",
            {"d": timedelta(days=days)},
        )
    chunks = connection.execute("SELECT show_chunks('stocks_real_time')::text").fetchall()
    for (chunk,) in chunks:
        connection.execute("CALL convert_to_columnstore(%s::regclass)", [chunk])
    before, after = connection.execute(
        "SELECT before_compression_total_bytes, after_compression_total_bytes"
        " FROM hypertable_columnstore_stats('stocks_real_time')"
    ).fetchall()[0]
    return Measurement(
        "timescale: real ticks compressed, indexes included",
        f"{after / 1e6:.1f} MB",
        f"{before / 1e6:.1f} MB uncompressed",
        before / after,
        budget=15,
    )


def milliseconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1_000
