"""The public face: what callers may rely on, name by name, and the same on every engine.

Whoever adds a relation or a function to the schema public writes it down here.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import errors

from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection

CANDLE = [
    "bucket timestamptz",
    "symbol text",
    "open float8",
    "high float8",
    "low float8",
    "close float8",
    "volume float8",
    "vwap float8",
    "day_volume float8",
    "ticks int8",
    "rebuilt bool",
]
QUOTE_CANDLE = [
    "bucket timestamptz",
    "symbol text",
    "bid_open float8",
    "bid_high float8",
    "bid_low float8",
    "bid_close float8",
    "ask_open float8",
    "ask_high float8",
    "ask_low float8",
    "ask_close float8",
    "bid_volume float8",
    "ask_volume float8",
    "ticks int8",
]
TUTORIAL_CANDLE = [
    "bucket timestamptz",
    "symbol text",
    "open float8",
    "high float8",
    "low float8",
    "close float8",
    "day_volume float8",
]
LEVELS = ("1m", "5m", "15m", "1h", "4h", "1d")

VIEWS = {
    **{f"candles_{level}": CANDLE for level in LEVELS},
    **{f"quote_candles_{level}": QUOTE_CANDLE for level in LEVELS},
    "tick_candles_1d": CANDLE,
    "one_min_candle": TUTORIAL_CANDLE,
    "one_hour_candle": TUTORIAL_CANDLE,
    "one_day_candle": TUTORIAL_CANDLE,
}
TABLES = {
    "stocks_real_time": [
        "time timestamptz NOT NULL",
        "symbol text NOT NULL",
        "price float8 NOT NULL",
        "day_volume float8",
        "volume float8",
        "bid float8",
        "ask float8",
        "received_at timestamptz NOT NULL DEFAULT now()",
        "origin text NOT NULL DEFAULT 'manual'::text",
    ],
    "quotes": [
        "time timestamptz NOT NULL",
        "symbol text NOT NULL",
        "bid float8 NOT NULL",
        "ask float8 NOT NULL",
        "bid_volume float8",
        "ask_volume float8",
        "received_at timestamptz NOT NULL DEFAULT now()",
        "origin text NOT NULL DEFAULT 'manual'::text",
    ],
    "company": ["symbol text NOT NULL", "name text NOT NULL", "exchange text", "currency text", "type text"],
    "rejected_ticks": [
        "received_at timestamptz NOT NULL",
        "feed text NOT NULL",
        "reason text NOT NULL",
        "payload text NOT NULL",
        "id int8 NOT NULL",
        "outcome text",
        "replayed_at timestamptz",
        "resolved_at timestamptz",
        "corrected text",
        "replay_reason text",
        "kind text NOT NULL DEFAULT 'frame'::text",
        "number int8",
    ],
    "ingest_stats": [
        "feed text NOT NULL",
        "at timestamptz NOT NULL",
        "ticks int8 NOT NULL",
        "batches int8 NOT NULL",
        "lag_ms_p50 float8",
        "lag_ms_p99 float8",
        "lag_ms_max float8",
        "spool_depth int8 NOT NULL",
        "reconnects int8 NOT NULL",
        "duplicates int8 NOT NULL",
        "rejected int8 NOT NULL",
        "candles int8 NOT NULL",
        "quotes int8 NOT NULL DEFAULT 0",
        "duplicate_quotes int8 NOT NULL DEFAULT 0",
        "rejected_quotes int8 NOT NULL DEFAULT 0",
    ],
    "import_files": [
        "path text NOT NULL",
        "sha256 text NOT NULL",
        "rows int8 NOT NULL",
        "stored int8 NOT NULL",
        "duplicates int8 NOT NULL",
        "rejected int8 NOT NULL",
        "first timestamptz",
        "last timestamptz",
        "status text NOT NULL",
        "imported_at timestamptz NOT NULL",
        "options jsonb",
    ],
    "feed_gaps": [
        "feed text NOT NULL",
        "symbol text",
        "started_at timestamptz NOT NULL",
        "ended_at timestamptz",
        "reason text NOT NULL",
        "filled_at timestamptz",
        "id int8 NOT NULL",
    ],
    "backfills": [
        "feed text NOT NULL",
        "symbol text NOT NULL",
        "wanted_from timestamptz NOT NULL",
        "streamed_from timestamptz",
        "fetched_from timestamptz",
        "fetched_until timestamptz",
        "bars int8 NOT NULL DEFAULT 0",
        "outcome text NOT NULL",
        "reason text",
        "attempts int4 NOT NULL DEFAULT 0",
        "retry_at timestamptz",
        "named bool NOT NULL DEFAULT false",
        "at timestamptz NOT NULL",
        "daily_wanted_from timestamptz",
        "daily_from timestamptz",
        "daily_bars int8 NOT NULL DEFAULT 0",
    ],
    "daily_bars": [
        "symbol text NOT NULL",
        "bucket timestamptz NOT NULL",
        "open float8 NOT NULL",
        "high float8 NOT NULL",
        "low float8 NOT NULL",
        "close float8 NOT NULL",
        "volume float8",
        "feed text NOT NULL",
        "received_at timestamptz NOT NULL",
    ],
    "splits": ["symbol text NOT NULL", "date date NOT NULL", "ratio float8 NOT NULL"],
    "gap_fills": [
        "gap_id int8 NOT NULL",
        "symbol text NOT NULL",
        "outcome text NOT NULL",
        "bars int8 NOT NULL",
        "reason text",
        "attempts int4 NOT NULL",
        "fetched_until timestamptz",
        "at timestamptz NOT NULL",
    ],
    "feed_symbols": [
        "feed text NOT NULL",
        "symbol text NOT NULL",
        "status text NOT NULL",
        "reason text",
        "since timestamptz NOT NULL",
    ],
    "feed_stops": [
        "feed text NOT NULL",
        "stopped_at timestamptz NOT NULL",
        "reason text NOT NULL",
        "deliberate bool NOT NULL",
    ],
    "candle_differences": [
        "found_at timestamptz NOT NULL",
        "level text NOT NULL",
        "symbol text NOT NULL",
        "bucket timestamptz NOT NULL",
        "kind text NOT NULL",
        "stored jsonb",
        "expected jsonb",
        "repaired_at timestamptz",
    ],
    "alerts": [
        "id int8 NOT NULL",
        "check text NOT NULL",
        "subject text NOT NULL",
        "severity text NOT NULL",
        "status text NOT NULL DEFAULT 'open'::text",
        "result text NOT NULL DEFAULT 'failed'::text",
        "opened_at timestamptz NOT NULL",
        "last_seen_at timestamptz NOT NULL",
        "count int8 NOT NULL DEFAULT 1",
        "observed text",
        "expected text",
        "escalated_at timestamptz",
        "acknowledged_at timestamptz",
        "acknowledged_by text",
        "silenced_until timestamptz",
        "silence_reason text",
        "resolved_at timestamptz",
        "notified_at timestamptz",
        "checked_at timestamptz NOT NULL",
        "passes int4 NOT NULL DEFAULT 0",
    ],
    "alert_events": [
        "id int8 NOT NULL",
        "alert_id int8 NOT NULL",
        "event text NOT NULL",
        "at timestamptz NOT NULL",
        "severity text NOT NULL",
        "result text NOT NULL",
        "count int8 NOT NULL",
        "observed text",
        "expected text",
        "note text",
        "pending bool NOT NULL DEFAULT false",
    ],
    "alert_deliveries": [
        "event_id int8 NOT NULL",
        "recipient text NOT NULL",
        "state text NOT NULL DEFAULT 'waiting'::text",
        "attempts int4 NOT NULL DEFAULT 0",
        "next_attempt_at timestamptz NOT NULL DEFAULT now()",
        "sending_since timestamptz",
        "sent_at timestamptz",
        "possible_repeat bool NOT NULL DEFAULT false",
        "reason text",
    ],
    "quality_results": [
        "check text NOT NULL",
        "subject text NOT NULL",
        "suite text NOT NULL",
        "severity text NOT NULL",
        "status text NOT NULL",
        "observed text",
        "expected text",
        "window tstzrange",
        "sample jsonb",
        "seconds float8",
        "at timestamptz NOT NULL DEFAULT now()",
        "id int8 NOT NULL",
        "failing tstzmultirange",
    ],
    "candleworks_migrations": [
        "name text NOT NULL",
        "sha256 text NOT NULL",
        "applied_at timestamptz NOT NULL DEFAULT now()",
    ],
}
KEYS = {
    "stocks_real_time": ["symbol, time"],
    "quotes": ["symbol, time"],
    "company": ["symbol"],
    "rejected_ticks": ["id"],
    "ingest_stats": ["feed, at"],
    "import_files": ["sha256"],
    "feed_gaps": ["id"],
    "backfills": ["feed, symbol"],
    "daily_bars": ["symbol, bucket"],
    "splits": ["symbol, date"],
    "gap_fills": ["gap_id, symbol"],
    "feed_symbols": ["feed, symbol"],
    "feed_stops": ["feed"],
    "alerts": ["id"],
    "alert_events": ["id"],
    "alert_deliveries": ["event_id, recipient"],
    "quality_results": ["id"],
    "candleworks_migrations": ["name"],
}
FUNCTIONS = {
    (
        'ohlc(symbol text, period interval, "from" timestamptz, "to" timestamptz, price text DEFAULT \'trade\'::text,'
        " zone text DEFAULT NULL::text)"
    ): (
        "TABLE(bucket timestamptz, open float8, high float8, low float8, close float8, volume float8, ticks int8,"
        " closed boolean, volume_from text) STABLE"
    ),
    (
        'ohlc_adjusted(symbol text, period interval, "from" timestamptz, "to" timestamptz,'
        " price text DEFAULT 'trade'::text, zone text DEFAULT NULL::text)"
    ): (
        "TABLE(bucket timestamptz, open float8, high float8, low float8, close float8, volume float8, ticks int8,"
        " closed boolean, volume_from text) STABLE"
    ),
    'volume_before(symbol text, period interval, "from" timestamptz, "to" timestamptz, zone text DEFAULT NULL::text)': (
        "TABLE(bucket timestamptz, volume_before float8) STABLE"
    ),
    'session_candles(symbol text, "from" timestamptz, "to" timestamptz)': (
        "TABLE(session date, open_at timestamptz, close_at timestamptz, open float8, high float8, low float8,"
        " close float8, volume float8, vwap float8, ticks int8, closed boolean) STABLE"
    ),
    'candles_filled(symbol text, period interval, "from" timestamptz, "to" timestamptz, carry boolean DEFAULT false)': (
        "TABLE(bucket timestamptz, open float8, high float8, low float8, close float8, volume float8, ticks int8,"
        " status text, closed boolean) STABLE"
    ),
    'trades_with_quotes(symbol text, "from" timestamptz, "to" timestamptz)': (
        'TABLE("time" timestamptz, price float8, volume float8, quote_time timestamptz, bid float8, ask float8,'
        " mid float8, spread float8, quote_age_seconds float8, side text) STABLE"
    ),
    "acknowledge_alert(alert int8, by text DEFAULT SESSION_USER)": "alerts VOLATILE",
    "silence_alert(alert int8, until timestamptz, reason text, by text DEFAULT SESSION_USER)": "alerts VOLATILE",
    "unsilence_alert(alert int8, by text DEFAULT SESSION_USER)": "alerts VOLATILE",
    "resolve_alert(alert int8, by text DEFAULT SESSION_USER)": "alerts VOLATILE",
}
VALUE_TYPES = ("double precision", "numeric", "bigint", "integer", "text", "timestamp with time zone")

# The schema public without what belongs to an extension, in the short names of types.
PUBLIC_COLUMNS = """
    SELECT c.relname, c.relkind IN ('r', 'p') AS is_table, array_agg(
        concat_ws(' ',
            a.attname,
            t.typname,
            CASE WHEN a.attnotnull THEN 'NOT NULL' END,
            'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid)
        ) ORDER BY a.attnum
    )
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')
    GROUP BY c.oid
"""
PUBLIC_KEYS = """
    SELECT indrelid::regclass::text, array_agg(columns ORDER BY columns) FROM (
        SELECT i.indrelid, (
            SELECT string_agg(a.attname, ', ' ORDER BY k.position)
            FROM unnest(i.indkey) WITH ORDINALITY k(attnum, position)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        ) AS columns
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE c.relnamespace = 'public'::regnamespace AND i.indisunique AND i.indexprs IS NULL AND i.indpred IS NULL
    ) unique_index GROUP BY indrelid
"""
PUBLIC_FUNCTIONS = """
    SELECT format('%s(%s)', p.proname, pg_get_function_arguments(p.oid)), format('%s %s', pg_get_function_result(p.oid),
        CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END)
    FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND p.proname NOT IN ('time_bucket', 'first', 'last')
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')
"""
SHORT_NAMES = {
    "timestamp with time zone": "timestamptz",
    "double precision": "float8",
    "bigint": "int8",
}


def value(connection: Connection, sql: str, *parameters: object) -> Any:
    row = connection.execute(sql, parameters).fetchone()
    assert row is not None
    return row[0]


def shortened(text: str) -> str:
    for name, short in SHORT_NAMES.items():
        text = text.replace(name, short)
    return text


def test_relations_have_these_columns(connection: Connection) -> None:
    """Names, order, types, defaults, and what is never null; nothing is missing and nothing is there besides."""
    found = connection.execute(PUBLIC_COLUMNS).fetchall()
    assert {name: columns for name, is_table, columns in found if is_table} == TABLES
    assert {name: columns for name, is_table, columns in found if not is_table} == VIEWS


def test_rows_are_unique_by_these_columns(connection: Connection) -> None:
    """What ON CONFLICT may name."""
    assert dict(connection.execute(PUBLIC_KEYS).fetchall()) == KEYS


def test_functions_are_called_like_this(connection: Connection) -> None:
    """Names, arguments with their defaults, result columns and volatility."""
    found = connection.execute(PUBLIC_FUNCTIONS).fetchall()
    assert {shortened(call): shortened(result) for call, result in found} == FUNCTIONS


def test_the_start_of_a_bucket_has_one_name(connection: Connection) -> None:
    """Whatever returns candles calls it `bucket`, but for the tutorial's views and what feeds Grafana's charts."""
    called = connection.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace IN ('public'::regnamespace, 'candleworks'::regnamespace)"
        " AND 'close' = ANY(proargnames) AND 'time' = ANY(proargnames)"
    ).fetchall()
    assert called == []
    assert all(columns[0] == "bucket timestamptz" for name, columns in VIEWS.items() if "candles_" in name)


def test_time_bucket_can_be_used_in_an_index(connection: Connection) -> None:
    """Bucket starts never change, and the arguments are called as in TimescaleDB's documentation."""
    function = "to_regprocedure('public.time_bucket(interval, timestamptz)')"
    assert value(connection, f"SELECT provolatile FROM pg_proc WHERE oid = {function}") == "i"
    named = "time_bucket(bucket_width => interval '5 minutes', ts => timestamptz '2022-10-19 12:34:56+00')"
    assert value(connection, f"SELECT {named} = '2022-10-19 12:30:00+00'")
    assert value(connection, "SELECT time_bucket(NULL::interval, now())") is None
    assert value(connection, "SELECT time_bucket('1 day', NULL::timestamptz)") is None


@pytest.mark.parametrize("value_type", VALUE_TYPES)
@pytest.mark.parametrize("name", ["first", "last"])
def test_first_and_last_keep_the_type_of_the_value(connection: Connection, name: str, value_type: str) -> None:
    """They are aggregates over any value that candles and dashboards use."""
    call = f"SELECT pg_typeof({name}(NULL::{value_type}, now()))::text"
    assert value(connection, call) == value_type


@pytest.fixture
def reader(connection: Connection) -> Iterator[str]:
    """A role that may do nothing yet."""
    name = f"reader_{value(connection, 'SELECT current_database()')}"
    connection.execute(f"CREATE ROLE {name}")
    yield name
    connection.execute(f"RESET ROLE; DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize("refreshed", [False, True])
def test_a_right_on_a_view_is_enough_to_read_it(connection: Connection, reader: str, refreshed: bool) -> None:
    """A reader of candles needs no right on ticks or on other candles, whether they are stored or still computed."""
    connection.execute("SELECT candleworks.prepare_ticks(now(), now()), candleworks.prepare_quotes(now(), now())")
    connection.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (now(), 'A', 1)")
    connection.execute("INSERT INTO quotes (time, symbol, bid, ask) VALUES (now(), 'A', 1, 2)")
    if refreshed:
        refresh(connection)
    for relation in VIEWS:
        connection.execute(f"GRANT SELECT ON {relation} TO {reader}; SET ROLE {reader}")
        assert value(connection, f"SELECT count(*) FROM {relation}") == 1
        connection.execute(f"RESET ROLE; REVOKE SELECT ON {relation} FROM {reader}")
    connection.execute(f"SET ROLE {reader}")
    with pytest.raises(errors.InsufficientPrivilege):
        connection.execute("SELECT FROM candles_1d")


def test_candles_need_no_more_than_rights_on_ticks_to_change(connection: Connection, reader: str) -> None:
    """Who may insert ticks needs no right on what keeps their candles."""
    connection.execute("SELECT candleworks.prepare_ticks(now(), now()), candleworks.prepare_quotes(now(), now())")
    connection.execute(f"GRANT INSERT ON stocks_real_time, quotes TO {reader}; SET ROLE {reader}")
    connection.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (now(), 'A', 1)")
    connection.execute("INSERT INTO quotes (time, symbol, bid, ask) VALUES (now(), 'A', 1, 2)")
    connection.execute("RESET ROLE")
    assert value(connection, "SELECT (SELECT ticks FROM candles_1d) + (SELECT ticks FROM quote_candles_1d)") == 2
