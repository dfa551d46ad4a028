"""How long a notebook waits for a million rows: the Python reader, psycopg with a DataFrame, and pandas.read_sql.

Each reads the same candles of one minute and the same trades of one symbol, in turn, from a database that has nothing
else to do. Trades as of quotes, which are computed, have no peer here.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sized
from datetime import UTC, datetime

import pandas as pd
import polars as pl
import psycopg
import sqlalchemy as sa

import candleworks as cw
from bench.databases import Databases
from bench.report import Measurement, Options
from bench.stored import engines
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, connect, sqlalchemy_url
from candleworks.database.profiles import READER

ROWS = 1_000_000
START = datetime(2024, 1, 1, tzinfo=UTC)
SETUP = (
    (
        "SELECT candleworks.prepare_ticks(%(start)s, %(start)s + interval '700 days'),"
        " candleworks.prepare_quotes(%(start)s, %(start)s + interval '14 days')"
    ),
    """INSERT INTO stocks_real_time (time, symbol, price, volume, day_volume)
        SELECT %(start)s + n * interval '1 minute', 'M', 100 + (n %% 1009) * 0.01, nullif(n %% 97, 0), n
        FROM generate_series(0, %(rows)s - 1) n""",
    """INSERT INTO stocks_real_time (time, symbol, price, volume, day_volume)
        SELECT %(start)s + n * interval '1 second', 'S', 100 + (n %% 1009) * 0.01, nullif(n %% 97, 0), n
        FROM generate_series(0, %(rows)s - 1) n""",
    """INSERT INTO quotes (time, symbol, bid, ask)
        SELECT %(start)s + n * interval '1 second', 'S', 99.99 + (n %% 997) * 0.01, 100.01 + (n %% 997) * 0.01
        FROM generate_series(0, %(rows)s - 1) n""",
)
CANDLES = f"SELECT * FROM ohlc('M', '1 minute', '{START}', NULL)"
TICKS = (
    "SELECT time, price, volume, day_volume, bid, ask, received_at, origin FROM stocks_real_time WHERE symbol = 'S'"
    " ORDER BY time"
)


def measure(databases: Databases, options: Options) -> Iterator[Measurement]:
    for engine, server in engines(databases):
        with server.fresh(migrated=True) as dsn:
            with connect(dsn, "bench") as connection:
                _fill(connection)
            yield from _compared(dsn, f"{engine}: 1,000,000 candles of 1m", CANDLES, _candles, options.rounds)
            yield from _compared(dsn, f"{engine}: 1,000,000 trades", TICKS, _ticks, options.rounds)
            joined = _seconds(lambda: cw.trades_with_quotes("S", START, datetime(2024, 1, 20, tzinfo=UTC), dsn=dsn))
            yield Measurement(f"{engine}: 1,000,000 trades with their quotes", f"{joined:.2f} s", "", joined, unit="s")


def _fill(connection: Connection) -> None:
    for statement in SETUP:
        connection.execute(statement, {"start": START, "rows": ROWS})
    refresh(connection)
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")


def _candles(dsn: str) -> Sized:
    return cw.candles("M", "1m", START, dsn=dsn)


def _ticks(dsn: str) -> Sized:
    return cw.ticks("S", START, dsn=dsn)


def _compared(dsn: str, what: str, statement: str, read: Callable[[str], Sized], rounds: int) -> Iterator[Measurement]:
    ways: dict[str, Callable[[], Sized]] = {
        "ours": lambda: read(dsn),
        "psycopg and polars.DataFrame": lambda: _by_psycopg(dsn, statement),
        "pandas.read_sql": lambda: _by_pandas(dsn, statement),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            taken[name].append(_seconds(way))
    ours, *others = (statistics.median(seconds) for seconds in taken.values())
    yield Measurement(what, f"{ours:.2f} s", "", ours, unit="s", budget=1.0)
    for name, theirs in zip(list(ways)[1:], others, strict=True):
        yield Measurement(what, f"{ours:.2f} s", f"{name}: {theirs:.2f} s", theirs / ours)


def _by_psycopg(dsn: str, statement: str) -> Sized:
    with psycopg.connect(dsn) as connection, connection.cursor(binary=True) as cursor:
        cursor.execute(statement.encode())
        names = [column.name for column in cursor.description or ()]
        return pl.DataFrame(cursor.fetchall(), schema=names, orient="row", infer_schema_length=None)


def _by_pandas(dsn: str, statement: str) -> Sized:
    engine = sa.create_engine(sqlalchemy_url(dsn, READER, "bench"))
    with engine.connect() as connection:
        frame = pd.read_sql(sa.text(statement.replace(":", r"\:")), connection)
    engine.dispose()
    return frame


def _seconds(read: Callable[[], Sized]) -> float:
    began = time.perf_counter()
    rows = len(read())
    seconds = time.perf_counter() - began
    if rows != ROWS:
        raise ValueError(f"{rows:,} of {ROWS:,} rows were read")
    return seconds
