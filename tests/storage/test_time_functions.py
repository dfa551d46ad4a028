"""The functions of TimescaleDB's tutorial give the same answers on every engine."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine

MONDAY = datetime(2000, 1, 3, tzinfo=UTC)
BUCKETS = [
    ("1 minute", "2022-10-19 23:59:59.999999+00", "2022-10-19 23:59:00"),
    ("1 minute", "2022-10-19 23:59:00+00", "2022-10-19 23:59:00"),
    ("5 minutes", "2022-10-19 23:59:59+00", "2022-10-19 23:55:00"),
    ("7 minutes", "2000-01-03 00:06:59+00", "2000-01-03 00:00:00"),
    ("7 minutes", "2000-01-02 23:59:59+00", "2000-01-02 23:53:00"),
    ("4 hours", "2022-10-19 03:59:59+00", "2022-10-19 00:00:00"),
    ("1 day", "2022-10-19 23:59:59+00", "2022-10-19 00:00:00"),
    ("3 days", "2000-01-02 12:00:00+00", "1999-12-31 00:00:00"),
    ("1 week", "2022-10-19 12:00:00+00", "2022-10-17 00:00:00"),
    ("1 week", "1999-12-31 12:00:00+00", "1999-12-27 00:00:00"),
    ("2 weeks", "2000-01-16 23:59:59+00", "2000-01-03 00:00:00"),
    ("1 month", "2022-02-28 23:59:59+00", "2022-02-01 00:00:00"),
    ("1 month", "1999-12-31 23:59:59+00", "1999-12-01 00:00:00"),
    ("3 months", "2022-10-19 12:00:00+00", "2022-10-01 00:00:00"),
    ("5 months", "2000-06-01 00:00:00+00", "2000-06-01 00:00:00"),
    ("5 months", "2000-05-31 00:00:00+00", "2000-01-01 00:00:00"),
    ("1 year", "2022-10-19 12:00:00+00", "2022-01-01 00:00:00"),
    ("10 years", "2022-10-19 12:00:00+00", "2020-01-01 00:00:00"),
    ("10 years", "1999-10-19 12:00:00+00", "1990-01-01 00:00:00"),
]

ENDS: list[tuple[str, list[object], object, object]] = [
    ("double precision", [2.5, 1.5, 3.5], 2.5, 3.5),
    ("integer", [2, 1, 3], 2, 3),
    ("bigint", [2**40, 1, 2**41], 2**40, 2**41),
    ("numeric", ["2.50", "1.50", "3.50"], "2.50", "3.50"),
    ("text", ["b", "a", "c"], "b", "c"),
    ("double precision", [None, 1.5, None], None, None),
    ("text", [None, "a", "c"], None, "c"),
]


def value(connection: Connection, sql: str, *parameters: object) -> Any:
    row = connection.execute(sql, parameters).fetchone()
    assert row is not None
    return row[0]


def bucket(connection: Connection, width: str, moment: str) -> str:
    found = value(connection, "SELECT time_bucket(%s::interval, %s::timestamptz)", width, moment)
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def test_time_bucket_counts_from_timescaledbs_origins(connection: Connection) -> None:
    """Monday 2000-01-03 for widths up to weeks, 2000-01-01 for months and years, before the origin too."""
    for width, moment, start in BUCKETS:
        assert bucket(connection, width, moment) == start, (width, moment)


def test_time_bucket_knows_no_daylight_saving(connection: Connection) -> None:
    """Buckets are UTC whatever the session's zone is, on the days of both changes too."""
    for zone in ("UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"):
        connection.execute("SELECT set_config('TimeZone', %s, false)", [zone])
        assert bucket(connection, "1 day", "2022-11-06 07:30:00+00") == "2022-11-06 00:00:00"
        assert bucket(connection, "4 hours", "2022-03-13 07:30:00+00") == "2022-03-13 04:00:00"
        assert bucket(connection, "1 week", "2022-03-13 23:59:59+00") == "2022-03-07 00:00:00"
        assert bucket(connection, "1 month", "2022-11-01 02:00:00+00") == "2022-11-01 00:00:00"


@examples(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moment=st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds are naive here
    minutes=st.integers(1, 100_000),
)
def test_time_bucket_is_a_whole_number_of_widths_from_monday(
    connection: Connection, moment: datetime, minutes: int
) -> None:
    """Every moment lies in its bucket, and buckets tile time from the origin."""
    width = timedelta(minutes=minutes)
    start = value(connection, "SELECT time_bucket(%s, %s)", width, moment)
    assert start <= moment < start + width
    assert (start - MONDAY) % width == timedelta(0)


def test_a_bucket_can_be_compared_with_infinity(connection: Connection) -> None:
    """An open range stays open."""
    assert value(connection, "SELECT time_bucket('1 day', 'infinity'::timestamptz) = 'infinity'")
    assert value(connection, "SELECT time_bucket('1 month', '-infinity'::timestamptz) = '-infinity'")


def test_first_and_last_go_by_time_not_by_value_or_order(connection: Connection) -> None:
    """The value at the earliest and at the latest time, null when that value is null, in whatever order rows come."""
    for (kind, values, first, last), order in itertools.product(ENDS, ("at", "at DESC", "value")):
        row = connection.execute(
            f"SELECT first(value, at)::text, last(value, at)::text FROM (SELECT * FROM unnest(%s::{kind}[],"
            f" ARRAY['2022-10-19 10:00', '2022-10-19 11:00', '2022-10-19 12:00']::timestamptz[]) t(value, at)"
            f" ORDER BY {order}) ordered",
            [values],
        ).fetchone()
        assert row == tuple(None if wanted is None else str(wanted) for wanted in (first, last)), (kind, order)


def test_first_and_last_of_nothing_are_null(connection: Connection) -> None:
    """No rows, and rows without a time, have no first and no last value."""
    row = connection.execute(
        "SELECT first(v, t), last(v, t) FROM (VALUES (1.5::float8, NULL::timestamptz)) x(v, t)"
    ).fetchone()
    assert row == (None, None)
    row = connection.execute(
        "SELECT first(v, t), last(v, t) FROM (VALUES (1.5::float8, now())) x(v, t) WHERE false"
    ).fetchone()
    assert row == (None, None)


def test_rows_without_a_time_do_not_count(connection: Connection) -> None:
    """A null time is neither early nor late."""
    row = connection.execute(
        "SELECT first(v, t), last(v, t) FROM"
        " (VALUES (1.5::float8, NULL::timestamptz), (2.5, now()), (3.5, NULL)) x(v, t)"
    ).fetchone()
    assert row == (2.5, 2.5)


def test_parallel_workers_agree_with_one(connection: Connection) -> None:
    """Partial results are combined by time: a parallel plan gives the serial answer."""
    connection.execute("CREATE TABLE big (t timestamptz, v float8, g integer)")
    connection.execute(
        "INSERT INTO big SELECT timestamptz '2022-10-19' + (n * 7919 % 100003) * interval '1 second',"
        " CASE WHEN n % 3 > 0 THEN n END, n % 5 FROM generate_series(1, 100000) n"
    )
    connection.execute("ANALYZE big")
    query = "SELECT g, first(v, t), last(v, t) FROM big GROUP BY g ORDER BY g"
    connection.execute("SET max_parallel_workers_per_gather = 0")
    serial = connection.execute(query).fetchall()
    connection.execute("SET max_parallel_workers_per_gather = 2")
    connection.execute("SET parallel_setup_cost = 0")
    connection.execute("SET parallel_tuple_cost = 0")
    connection.execute("SET min_parallel_table_scan_size = 0")
    plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {query}").fetchall())
    assert "Partial" in plan
    assert connection.execute(query).fetchall() == serial
    expected: dict[int, tuple[float | None, float | None]] = {}
    rows = sorted((n * 7919 % 100003, float(n) if n % 3 else None, n % 5) for n in range(1, 100_001))
    for _, v, g in rows:
        expected[g] = (expected[g][0] if g in expected else v, v)
    assert {g: (first, last) for g, first, last in serial} == expected


def test_a_width_that_makes_no_buckets_is_refused(connection: Connection) -> None:
    """Zero, negative and mixed widths are errors, not empty answers."""
    for width in ("0 minutes", "-1 minute", "1 month 1 day"):
        with pytest.raises(psycopg.Error):
            bucket(connection, width, "2022-10-19 12:00:00+00")


def test_a_bucket_of_null_is_null(connection: Connection) -> None:
    """Of a width and of a time, also beside infinity."""
    for arguments in ("NULL, 'infinity'", "NULL, '2022-10-19'", "'1 day', NULL", "'1 month', NULL"):
        assert value(connection, f"SELECT time_bucket({arguments}::timestamptz)") is None


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_time_bucket_is_inlined(connection: Connection) -> None:
    """A call for each row would take 12 µs, and an audit minutes."""
    for width in ("1 minute", "24 hours", "1 month"):
        plan = connection.execute(
            f"EXPLAIN (VERBOSE, COSTS OFF) SELECT time_bucket('{width}', time) FROM stocks_real_time"
        ).fetchall()
        assert not [line for (line,) in plan if "time_bucket" in line]
