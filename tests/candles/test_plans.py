"""What dashboards ask must never read ticks from end to end."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.database.queries import query
from tests.conftest import clone
from tests.storage.reads import counted, tables_of

SYMBOL = "S1"
NOW, HOUR = datetime.now(UTC), timedelta(hours=1)
RECENT = {"symbol": SYMBOL}
QUERIES = {
    **{
        f"a day of {level}": (
            f"SELECT * FROM candles_{level} WHERE symbol = %(symbol)s AND bucket >= now() - interval '1 day'",
            RECENT,
        )
        for level in ("1m", "5m", "15m", "1h", "4h", "1d")
    },
    "a year of days": (
        "SELECT * FROM candles_1d WHERE symbol = %(symbol)s AND bucket >= now() - interval '1 year' ORDER BY bucket",
        RECENT,
    ),
    "the tutorial's view": (
        "SELECT * FROM one_min_candle WHERE symbol = %(symbol)s AND bucket >= now() - interval '1 hour'",
        RECENT,
    ),
    "all symbols today": ("SELECT * FROM candles_1d WHERE bucket >= now() - interval '1 day'", {}),
    "the latest ticks of a symbol": (
        "SELECT * FROM stocks_real_time WHERE symbol = %(symbol)s ORDER BY time DESC LIMIT 20",
        RECENT,
    ),
    "the last price of every symbol": (
        """
        SELECT c.symbol, t.price FROM candles_1d c
        CROSS JOIN LATERAL (
            SELECT price FROM stocks_real_time t WHERE t.symbol = c.symbol ORDER BY t.time DESC LIMIT 1
        ) t
        WHERE c.bucket = (SELECT max(bucket) FROM candles_1d)
        """,
        {},
    ),
    "10-minute candles": ("SELECT * FROM ohlc(%(symbol)s, '10 minutes', now() - interval '1 day', now())", RECENT),
    "weekly candles": ("SELECT * FROM ohlc(%(symbol)s, '7 days', now() - interval '1 year', now())", RECENT),
    "the platform's status": (query("platform_status"), {}),
    "since when a complete candle waits": (
        query("due_since"),
        {"watermark": NOW - HOUR, "until": NOW, "width": timedelta(minutes=1)},
    ),
    "the feeds' status": (query("feed_status"), {"feeds": ["a", "a"], "symbols": ["S1", "S2"]}),
}


@pytest.fixture(scope="module")
def busy(server_dsn: str, template: str) -> Iterator[Connection]:
    """Two weeks of ticks, refreshed but for the newest minutes, with fresh statistics."""
    with clone(server_dsn, template) as dsn, connect(dsn, "test") as connection:
        _fill(connection)
        yield connection


def _fill(connection: Connection) -> None:
    connection.execute("SELECT candleworks.prepare_ticks(now() - interval '14 days', now())")
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price, day_volume, volume)"
        " SELECT now() - n * interval '20 seconds', 'S' || n / 20 % 5, 100 + n % 7, n, 1"
        " FROM generate_series(20, 60000) n"
    )
    refresh(connection)
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price)"
        " SELECT now() - n * interval '1 second', 'S' || n % 5, 100 FROM generate_series(0, 60) n"
    )
    connection.execute("ANALYZE")
    connection.execute("INSERT INTO ingest_stats VALUES ('a', now(), 1, 1, 1, 1, 1, 0, 0, 0, 0, 0)")


@pytest.mark.parametrize("name", QUERIES)
def test_no_dashboard_query_scans_ticks(name: str, busy: Connection, engine: Engine) -> None:
    """A query that reads a partition or chunk of ticks from end to end would get slower with every day of history."""
    statement, parameters = QUERIES[name]
    before = _sequential_scans(busy, engine)
    rows = busy.execute(statement, parameters).fetchall()
    assert rows
    assert _sequential_scans(busy, engine) == before


def test_candles_of_a_symbol_are_read_through_an_index(busy: Connection) -> None:
    """A year of daily candles of one symbol touches no stored candle of another."""
    statement, parameters = QUERIES["a year of days"]
    plan = busy.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters).fetchone()
    assert plan is not None
    scans = [node["Relation Name"] for node in _nodes(plan[0][0]["Plan"]) if node["Node Type"] == "Seq Scan"]
    large = (
        "SELECT relname FROM pg_class WHERE relname = ANY(%s) AND relpages > 10"  # a nearly empty week may be scanned
    )
    scanned = [name for (name,) in busy.execute(large, [scans]).fetchall()]
    assert [name for name in scanned if "stocks_real_time" in name or "_hyper_1_" in name] == []


def _sequential_scans(connection: Connection, engine: Engine) -> int:
    """Count the sequential scans of tick tables so far, as PostgreSQL's statistics have them."""
    return counted(connection, "seq_scan", tables_of(engine, "stocks_real_time"))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def test_the_guard_sees_a_scan(busy: Connection, engine: Engine) -> None:
    """The counter that the guard compares moves when ticks are scanned, so the guard can fail."""
    before = _sequential_scans(busy, engine)
    busy.execute("SELECT max(bid) FROM stocks_real_time")
    assert _sequential_scans(busy, engine) > before


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
@pytest.mark.parametrize("analyzed", [False, True])
def test_notes_are_taken_in_the_order_of_their_index(connection: Connection, analyzed: bool) -> None:
    """A refresh in steps neither sorts all notes nor reads more of them than it takes, whatever the planner knows."""
    connection.execute(
        "INSERT INTO candleworks.candle_invalidations (symbol, bucket)"
        " SELECT 'S' || n % 20, now() - n * interval '1 minute' FROM generate_series(1, 50000) n"
    )
    if analyzed:
        connection.execute("ANALYZE candleworks.candle_invalidations")
    row = connection.execute(
        "SELECT candleworks.take_notes_query(f) FROM candleworks.candle_families f WHERE f.name = 'trade'"
    ).fetchone()
    assert row is not None
    plan = connection.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + row[0].replace("$1", "1000")).fetchone()
    assert plan is not None
    scans = [
        (node["Node Type"], node["Index Name"], node["Actual Rows"])
        for node in _nodes(plan[0][0]["Plan"])
        if node.get("Relation Name") == "candle_invalidations" and "Scan" in node["Node Type"]
    ]
    assert scans == [
        ("Index Only Scan", "candle_invalidations_bucket_symbol", 1000),
        ("Index Scan", "candle_invalidations_bucket_symbol", 1000),
    ]


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_many_noted_minutes_stay_readable_and_are_refreshed(connection: Connection) -> None:
    """History that was copied in without a refresh costs time in proportion; it once took minutes, then for ever."""
    connection.execute("SELECT candleworks.prepare_ticks(now() - interval '15 days', now())")
    connection.execute("ANALYZE")
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price)"
        " SELECT now() - n * interval '1 minute', 'S1', 100 FROM generate_series(1, 20000) n"
    )
    connection.execute("SET statement_timeout = '30s'")
    assert connection.execute("SELECT sum(ticks) FROM candles_1d WHERE symbol = 'S1'").fetchone() == (20_000,)
    refresh(connection)
    assert connection.execute("SELECT count(*) FROM candleworks.candle_invalidations").fetchone() == (0,)
