"""Every query of every panel, variable, annotation and alert rule, as Grafana sends it and as its role reads."""

import re
from datetime import timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import psycopg
import pytest

from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from tests.grafana.conftest import CHOSEN, NOW, READER
from tests.grafana.expansion import Query, queries, variable_queries
from tests.storage.reads import tables_of

ASKED = [*variable_queries(NOW, CHOSEN), *queries(NOW, CHOSEN)]
# What is empty in good times.
MAY_BE_EMPTY = {"health: annotation Resolved", "storage: Compression"}
QUOTED = {"quotes": "EUR/USD"}
RANGES = (timedelta(minutes=5), timedelta(days=2), timedelta(days=90))
NUMBERS = {"int2", "int4", "int8", "float4", "float8", "numeric"}
TIMES = {"timestamptz", "timestamp", "date"}
# Everything else reaches Grafana as text; what it cannot make text of is not to be asked for.
SHOWN = NUMBERS | TIMES | {"text", "varchar", "bool", "name"}


def names(asked: list[Query]) -> list[str]:
    return [query.where for query in asked]


class Result(NamedTuple):
    """What a query gave: names and types of its columns, and its rows."""

    columns: list[str]
    types: list[str]
    rows: list[tuple[Any, ...]]


def run(reader: Connection, query: Query, *, timescaledb: bool = True) -> Result:
    cursor = reader.execute(query.expanded(timescaledb=timescaledb).encode())
    assert cursor.description is not None
    types = [reader.adapters.types[column.type_code].name for column in cursor.description]
    return Result([column.name for column in cursor.description], types, cursor.fetchall())


@pytest.mark.parametrize("query", ASKED, ids=names(ASKED))
def test_a_query_gives_what_its_panel_needs(reader: Connection, query: Query) -> None:
    """No error, columns of types that Grafana shows, rows where something is stored, in the panel's shape."""
    result = run(reader, query)
    assert len(set(result.columns)) == len(result.columns)
    assert set(result.types) <= SHOWN
    assert result.rows or query.where in MAY_BE_EMPTY
    assert len(result.rows) <= 5_000
    SHAPES.get(query.kind, anything)(result)
    if query.format == "time_series":
        time_series(result)


@pytest.mark.parametrize("span", RANGES, ids=str)
@pytest.mark.parametrize("timescaledb", [True, False])
def test_any_range_can_be_looked_at(reader: Connection, timescaledb: bool, span: timedelta) -> None:
    """Minutes and months alike, with the data source's switch for TimescaleDB on and off."""
    for query in queries(NOW, CHOSEN, span):
        SHAPES.get(query.kind, anything)(run(reader, query, timescaledb=timescaledb))


@pytest.mark.parametrize("symbol", ["BTC/USD", "EUR/USD", "ZZZ", "nobody's", "'; DROP TABLE company; --"])
def test_any_symbol_can_be_chosen(reader: Connection, symbol: str) -> None:
    """Pairs, symbols without data, and whatever somebody writes into the address bar."""
    for side in ("trade", "bid", "ask", "mid"):
        for query in queries(NOW, {**CHOSEN, "symbol": symbol, "side": side, "compare": [symbol], "period": "15m"}):
            if query.where.startswith(("market", "quotes")):
                run(reader, query)


def test_a_variable_always_has_a_value(empty: str, reader: Connection) -> None:
    """On a query of a variable without a row Grafana 9.5 shows an error; what there is to choose from is in order."""
    with psycopg.connect(empty, user=READER, autocommit=True) as reading:
        for query in variable_queries(NOW, CHOSEN):
            ((value, text),) = run(reading, query).rows
            if value:  # computed from the others
                continue
            assert text.startswith("no ")
            values = [row[0] for row in run(reader, query).rows]
            assert "" not in values
            assert values == sorted(values, key=lambda each: each in ("ZZZ", "TSLA"))  # without data: last


@pytest.mark.parametrize("span", RANGES, ids=str)
def test_quotes_are_drawn_with_one_period(reader: Connection, span: timedelta) -> None:
    """However wide a panel is."""
    chosen = {**CHOSEN, "symbol": "EUR/USD"}
    drawn = [
        query
        for query in queries(NOW, chosen, span)
        if query.where.startswith("quotes") and query.kind == "candlestick"
    ]
    times = [[row[0] for row in run(reader, query).rows] for query in drawn]
    assert len(times) == 3
    assert times[0]
    assert times[0] == times[1] == times[2]


def test_the_line_of_spreads_ends_where_no_quotes_came(empty: str) -> None:
    """An empty value between candles that are further apart than a few minutes, none between others."""
    with connect(empty, "test") as connection:
        connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [NOW - timedelta(hours=6), NOW])
        connection.execute(
            "INSERT INTO quotes (time, symbol, bid, ask)"
            " SELECT %s - n * interval '1 minute', 'EUR/USD', 1, 1.5 FROM unnest(ARRAY[0, 1, 4, 60, 61]) n",
            [NOW],
        )
    chosen = {**CHOSEN, "symbol": "EUR/USD"}
    (query,) = (each for each in queries(NOW, chosen) if (each.where, each.kind) == ("quotes: Spread", "timeseries"))
    with psycopg.connect(empty, user=READER, autocommit=True) as reading:
        assert [spread for _, spread in run(reading, query).rows] == [4000.0, 4000.0, None, 4000.0, 4000.0, 4000.0]


def test_nothing_to_choose_from_is_no_error(reader: Connection) -> None:
    """As on the first day: no feed, no symbol, and so nothing chosen."""
    nothing: dict[str, str | list[str]] = {"symbol": "", "compare": [], "feed": [], "severity": []}
    for query in queries(NOW, {**CHOSEN, **nothing}):
        run(reader, query)


def anything(_: Result) -> None:
    """A table shows whatever comes."""


def candles(result: Result) -> None:
    """One wide frame, sorted and unique in time, on one grid; every row is a candle or nothing but a time."""
    assert result.columns[:6] == ["time", "open", "high", "low", "close", "volume"]
    assert result.types[0] == "timestamptz"
    assert set(result.types[1:]) <= {"float8", "int4"}
    times = [row[0] for row in result.rows]
    assert all(earlier < later for earlier, later in pairwise(times))
    drawn = [row for row in result.rows if row[1] is not None]
    if len(drawn) > 1:
        step = min(later[0] - earlier[0] for earlier, later in pairwise(drawn))
        assert step in {timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 240, 1440)}
        assert all(row[0].timestamp() % step.total_seconds() == 0 for row in drawn)
    assert all(row[3] <= min(row[1], row[4]) <= max(row[1], row[4]) <= row[2] for row in drawn)
    said = [number for number, column in enumerate(result.columns) if column not in {"time", "decimals"}]
    assert all(row[number] is None for row in result.rows if row[1] is None for number in said)


def one_row(result: Result) -> None:
    """A stat shows one row, or says that there is none."""
    assert len(result.rows) <= 1


def annotations(result: Result) -> None:
    """Moments, or regions with an end: Grafana finds their parts by these names."""
    assert result.columns in (["time", "timeend", "text", "tags"], ["time", "text", "tags"])
    assert set(result.types[:-2]) == {"timestamptz"}
    assert result.types[-2:] == ["text", "text"]
    assert all(row[0] <= row[-3] and row[-2] for row in result.rows)


def options(result: Result) -> None:
    """At least one value, or Grafana shows an error; or values and what is shown for them."""
    assert result.rows
    assert result.columns in (["__value", "__text"], ["feed"])
    assert len({row[0] for row in result.rows}) == len(result.rows)


def time_series(result: Result) -> None:
    """A time, at most text result.columns that become labels, and numbers; sorted by time and unique per series."""
    assert result.columns[0] == "time"
    assert result.types[0] in TIMES | NUMBERS
    labels = [index for index, kind in enumerate(result.types) if kind in {"text", "name"}]
    assert all(kind in NUMBERS for index, kind in enumerate(result.types) if index not in (0, *labels))
    assert not labels or "metric" in result.columns or len(result.columns) - len(labels) == 2
    times = [row[0] for row in result.rows]
    assert times == sorted(times)
    keys = [(row[0], *(row[index] for index in labels)) for row in result.rows]
    assert len(set(keys)) == len(keys)


def bar_chart(result: Result) -> None:
    """A name and a number per bar."""
    assert result.types[0] == "text"
    assert set(result.types[1:]) <= NUMBERS


SHAPES = {
    "candlestick": candles,
    "stat": one_row,
    "annotation": annotations,
    "variable": options,
    "barchart": bar_chart,
    "bargauge": bar_chart,
}


def test_sql_in_panels_is_short() -> None:
    """Fifteen lines at most: what is longer belongs into a function."""
    assert [query.where for query in ASKED if len(query.sql.strip().splitlines()) > 15] == []


def test_the_change_is_against_the_last_regular_close(reader: Connection) -> None:
    """On Wednesday noon against Tuesday's 16:00 in New York; for pairs against 00:00 UTC."""
    rows = reader.execute(
        "SELECT symbol, price, previous_close, change_percent FROM dashboards.prices(%s) ORDER BY symbol", [NOW]
    ).fetchall()
    closes = {
        "AAPL": "2026-11-17 21:00+00",
        "MSFT": "2026-11-17 21:00+00",
        "BTC/USD": "2026-11-18 00:00+00",
    }
    for symbol, price, previous, percent in rows:
        expected = reader.execute(
            "SELECT price FROM stocks_real_time WHERE symbol = %s AND time < %s ORDER BY time DESC LIMIT 1",
            [symbol, closes[symbol]],
        ).fetchall()
        assert [(previous,)] == expected
        assert percent == pytest.approx(100 * (price / previous - 1))
    assert {row[0] for row in rows} == set(closes)


def test_silence_counts_only_while_the_market_is_open(reader: Connection) -> None:
    """From the opening bell for what has not ticked yet, from the last tick otherwise, not at all at night."""
    silent = "SELECT symbol, round(silent_seconds) FROM dashboards.silence(%s) ORDER BY symbol"
    assert reader.execute(silent, [NOW]).fetchall() == [("AAPL", 0), ("BTC/USD", 0), ("TSLA", 7220)]
    at_night = NOW.replace(hour=23)
    assert dict(reader.execute(silent, [at_night]).fetchall()) == {"AAPL": None, "TSLA": None, "BTC/USD": 25200}


def test_a_feed_that_a_person_stopped_is_not_silent(reader: Connection, filled: str) -> None:
    """Its symbols say so; those of other feeds go on."""
    found = "SELECT DISTINCT feed, status, silent_seconds IS NULL FROM dashboards.silence(%s) ORDER BY feed"
    with connect(filled, "test") as owner, owner.transaction(force_rollback=True):
        owner.execute("INSERT INTO feed_stops VALUES ('stocks', now(), 'cancelled in Prefect', true)")
        stopped = owner.execute(found, [NOW]).fetchall()
    assert stopped == [("crypto", "streaming", False), ("stocks", "stopped by an operator", True)]
    assert {status for _, status, _ in reader.execute(found, [NOW]).fetchall()} == {"asked", "streaming"}


def test_candles_read_one_level_and_no_ticks(reader: Connection, engine: Engine) -> None:
    """PostgreSQL's own count of what a query touched: one candle relation, and of ticks only what is not stored yet.

    Where history is shorter than an average, its first day is looked for, too.
    """
    yesterday = NOW.replace(hour=20) - timedelta(days=1)
    for minutes, relation in ((1, "candles_1m"), (5, "candles_5m"), (60, "candles_1h"), (1440, "tick_candles_1d")):
        statement = "SELECT * FROM dashboards.candles('AAPL', make_interval(mins => %s), %s, %s, 'trade')"
        start = yesterday - timedelta(minutes=minutes * 100)
        touched = relations_read(reader, statement, [minutes, start, yesterday], engine)
        assert touched - {"tick_candles_1d"} == {relation} - {"tick_candles_1d"}
        assert minutes > 5 or touched == {relation}


def test_no_panel_scans_ticks(reader: Connection, engine: Engine) -> None:
    """Ticks are met through their index, and few of them, whatever panel is drawn over whatever time."""
    for span in (None, timedelta(days=8)):
        for query in queries(NOW, CHOSEN, span):
            scans, rows = ticks_read(reader, query, engine)
            assert (query.where, scans) == (query.where, 0)
            assert rows <= 1_000, query.where


COUNTS = "SELECT relid::bigint, ARRAY[seq_scan, seq_tup_read + coalesce(idx_tup_fetch, 0)] FROM pg_stat_xact_all_tables"
# Which relation of candles a table belongs to.
CANDLE_TABLES = {
    Engine.POSTGRES: "SELECT to_regclass(stored)::bigint, relation FROM candleworks.candle_relations",
    Engine.TIMESCALE: "SELECT format('%I.%I', c.chunk_schema, c.chunk_name)::regclass::bigint, a.view_name"
    " FROM timescaledb_information.chunks c JOIN timescaledb_information.continuous_aggregates a"
    " ON a.materialization_hypertable_name = c.hypertable_name",
}


def tick_tables(reader: Connection, engine: Engine) -> list[int]:
    return [table for (table,) in reader.execute(tables_of(engine, "stocks_real_time", "quotes"))]


def ticks_read(reader: Connection, query: Query, engine: Engine) -> tuple[int, int]:
    """Return how often tables of ticks were scanned from end to end, and how many ticks were read."""
    read = tables_read(reader, query.expanded().encode(), [])
    ticks = [read[table] for table in tick_tables(reader, engine) if table in read]
    return sum(scans for scans, _ in ticks), sum(rows for _, rows in ticks)


def relations_read(reader: Connection, statement: str, parameters: list[Any], engine: Engine) -> set[str]:
    """Return the relations of candles and ticks that rows were read from."""
    known = dict.fromkeys(tick_tables(reader, engine), "ticks")
    known |= dict(reader.execute(CANDLE_TABLES[engine]).fetchall())
    read = tables_read(reader, statement, parameters)
    return {known[table] for table, (_, rows) in read.items() if rows and table in known}


def tables_read(reader: Connection, statement: str | bytes, parameters: list[Any]) -> dict[int, tuple[int, int]]:
    """Return scans from end to end and rows read by table, also of what functions did.

    PostgreSQL's counts of the running transaction may hold what a former one has not reported yet.
    """
    with reader.transaction():
        before = dict(reader.execute(COUNTS).fetchall())
        reader.execute(statement, parameters or None)
        after = dict(reader.execute(COUNTS).fetchall())
    found = {
        table: tuple(a - b for a, b in zip(counts, before.get(table, (0, 0)), strict=True))
        for table, counts in after.items()
    }
    return {table: (scans, rows) for table, (scans, rows) in found.items() if scans or rows}


def test_the_guard_sees_a_scan(reader: Connection, engine: Engine) -> None:
    """A query that goes through all ticks is noticed."""
    everything = Query("x", "table", "table", "SELECT max(price) FROM stocks_real_time", NOW, NOW, 1_000)
    scans, rows = ticks_read(reader, everything, engine)
    assert scans > 0
    assert rows > 30_000


def test_variables_are_quoted_by_their_format() -> None:
    """What comes from the address bar cannot leave its quotes."""
    query = Query("x", "table", "table", "SELECT ${symbol:sqlstring}", NOW, NOW, 1_000, {"symbol": "it's"})
    assert query.expanded() == "SELECT 'it''s'"
    with pytest.raises(ValueError, match=re.escape("$symbol would be put into SQL without quotes that hold")):
        Query("x", "table", "table", "SELECT '$symbol'", NOW, NOW, 1_000, {"symbol": "it's"}).expanded()
