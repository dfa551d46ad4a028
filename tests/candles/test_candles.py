"""Candles on plain PostgreSQL: what a view shows is what the ticks say, at any moment."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from tests.candles.conftest import LEVELS, Market, Tick, tick

WEEK_END = datetime(2022, 10, 24, tzinfo=UTC)  # a Monday: partitions, days and every level meet here

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)

# Moments around the edges of buckets, days and partitions; few enough that ticks meet in one bucket, and in one moment.
moments = st.builds(
    lambda edge, minutes, microseconds: edge + timedelta(minutes=minutes, microseconds=microseconds),
    st.sampled_from([WEEK_END, WEEK_END - timedelta(days=1), datetime(2022, 11, 6, 5, tzinfo=UTC)]),
    st.sampled_from([-241, -240, -61, -6, -5, -1, 0, 1, 4, 5, 14, 60]),
    st.sampled_from([0, 1, 30_000_000, 59_999_999]),
)
volumes = st.none() | st.integers(0, 1_000_000).map(float)
rows = st.lists(
    st.tuples(
        moments,
        st.sampled_from(["AAPL", "BTC/USD"]),
        st.integers(0, 1_000).map(lambda cents: cents / 100),
        volumes,
        volumes,
        st.sampled_from(["file", "file", "bar"]),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda row: row[:2],
)
changes = st.one_of(
    st.tuples(st.just("insert"), rows),
    st.tuples(st.just("insert"), rows),
    st.tuples(st.just("reprice"), moments),
    st.tuples(st.just("move"), st.tuples(moments, moments)),
    st.tuples(st.just("rename"), moments),
    st.tuples(st.just("delete"), moments),
    st.tuples(st.just("refresh"), st.sampled_from([1, 3, 20_000])),
)


def apply(market: Market, change: tuple[str, Any]) -> None:
    kind, what = change
    connection = market.connection
    if kind == "insert":
        market.insert(Tick(*row) for row in what)
    elif kind == "reprice":
        connection.execute("UPDATE stocks_real_time SET price = price + 1, volume = 7 WHERE time >= %s", [what])
    elif kind == "move":
        start, target = what
        connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [target, target])
        connection.execute(
            "UPDATE stocks_real_time t SET time = %(to)s WHERE time = %(from)s AND NOT EXISTS"
            " (SELECT FROM stocks_real_time o WHERE o.symbol = t.symbol AND o.time = %(to)s)",
            {"from": start, "to": target},
        )
    elif kind == "rename":
        connection.execute("UPDATE stocks_real_time SET symbol = symbol || '.' WHERE time = %s", [what])
    elif kind == "delete":
        connection.execute("DELETE FROM stocks_real_time WHERE time <= %s", [what])
    else:
        connection.execute("SELECT * FROM candleworks.refresh_candles(%s)", [what])


def clear(connection: Connection) -> None:
    tables = ", ".join(f"candleworks.stored_{level}" for level in LEVELS)
    connection.execute(f"TRUNCATE stocks_real_time, candleworks.candle_invalidations, {tables}")


@examples(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(changes, min_size=1, max_size=8))
def test_candles_are_what_the_ticks_say_whatever_happened_to_them(
    market: Market, history: list[tuple[str, Any]]
) -> None:
    """Inserts, late ones, updates, deletions and refreshes in any order: views are exact before and after a refresh."""
    clear(market.connection)
    for change in history:
        apply(market, change)
    market.assert_shown_exactly()
    refresh(market.connection)
    market.assert_shown_exactly()
    market.assert_stored_exactly()
    assert refresh(market.connection).total() == 0


def test_a_refresh_of_a_part_leaves_the_rest_noted(market: Market) -> None:
    """A bounded refresh takes some minutes; the views are exact while the others wait."""
    market.insert(tick(f"2022-10-19 12:{minute:02}:00", 1.0 + minute, volume=10.0) for minute in range(30))
    for left in (20, 10, 0):
        market.connection.execute("SELECT * FROM candleworks.refresh_candles(10)")
        assert market.notes() == left
        market.assert_shown_exactly()
    market.assert_stored_exactly()


def test_a_refresh_tells_what_it_changed(market: Market) -> None:
    """One count per level; rewriting a candle with the same values is no change."""
    market.insert(
        [tick("2022-10-19 12:00:00", 1.0), tick("2022-10-19 12:01:00", 2.0), tick("2022-10-19 13:00:00", 3.0)]
    )
    assert refresh(market.connection) == {"1m": 3, "5m": 2, "15m": 2, "1h": 2, "4h": 1, "1d": 1}
    market.connection.execute("UPDATE stocks_real_time SET price = price")
    assert market.notes() > 0
    assert refresh(market.connection).total() == 0
    market.connection.execute("UPDATE stocks_real_time SET price = 9 WHERE price = 3")
    assert refresh(market.connection) == {"1m": 1, "5m": 1, "15m": 1, "1h": 1, "4h": 1, "1d": 1}


def test_a_refresh_that_changes_nothing_writes_nothing(market: Market) -> None:
    """The rows of unchanged candles are not even touched."""
    market.insert([tick("2022-10-19 12:00:00", 1.0)])
    refresh(market.connection)
    before = market.connection.execute("SELECT xmin FROM candleworks.stored_1d").fetchall()
    market.connection.execute("UPDATE stocks_real_time SET price = price")
    refresh(market.connection)
    assert market.connection.execute("SELECT xmin FROM candleworks.stored_1d").fetchall() == before


@pytest.mark.parametrize("refreshed", [False, True])
def test_the_last_tick_takes_its_candles_along(market: Market, refreshed: bool) -> None:
    """When the last tick of a minute goes, its candle goes at every level."""
    market.insert([tick("2022-10-19 12:00:00", 1.0), tick("2022-10-20 12:00:00", 2.0)])
    if refreshed:
        refresh(market.connection)
    market.connection.execute("DELETE FROM stocks_real_time WHERE price = 1")
    for level in LEVELS:
        assert [candle.close for candle in market.shown(level)] == [2.0]
    refresh(market.connection)
    market.assert_stored_exactly()


def test_a_tick_on_the_edge_opens_the_next_bucket(market: Market) -> None:
    """A bucket holds its start and not its end, at every level and across days and weeks."""
    market.insert([tick("2022-10-23 23:59:59.999999", 1.0), tick("2022-10-24 00:00:00", 2.0)])
    for _ in range(2):
        for level in LEVELS:
            assert [candle.close for candle in market.shown(level)] == [1.0, 2.0]
        refresh(market.connection)
    market.assert_stored_exactly()


def test_equal_event_times_open_and_close_in_arrival_order(market: Market) -> None:
    """Ticks of one second differ by microseconds, so the first opens and the last closes."""
    market.insert(
        [
            tick("2022-10-19 12:00:00.000002", 3.0),
            tick("2022-10-19 12:00:00.000000", 2.0),
            tick("2022-10-19 12:00:00.000001", 1.0),
        ]
    )
    for level in LEVELS:
        (candle,) = market.shown(level)
        assert (candle.open, candle.high, candle.low, candle.close, candle.ticks) == (2.0, 3.0, 1.0, 3.0, 3)


def test_a_late_tick_corrects_every_level(market: Market) -> None:
    """Also after the candles were stored, and however old it is."""
    market.insert([tick("2022-10-19 12:00:30", 5.0), tick("2022-10-19 12:00:40", 6.0)])
    refresh(market.connection)
    market.insert([tick("2022-10-19 12:00:00", 9.0)])
    for level in LEVELS:
        (candle,) = market.shown(level)
        assert (candle.open, candle.high, candle.close, candle.ticks) == (9.0, 9.0, 6.0, 3)
    refresh(market.connection)
    market.assert_stored_exactly()


def test_a_candle_knows_that_bars_filled_it(market: Market) -> None:
    """`rebuilt` is true where any tick came from a vendor's bar, up to the day."""
    market.insert([tick("2022-10-19 12:00:00", 1.0, origin="bar"), tick("2022-10-19 12:01:00", 1.0)])
    assert [candle.rebuilt for candle in market.shown("1m")] == [True, False]
    assert [candle.rebuilt for candle in market.shown("1d")] == [True]


@pytest.mark.parametrize("refreshed", [False, True])
def test_a_day_is_utc_in_every_session(dsn: str, market: Market, refreshed: bool) -> None:
    """Readers and refreshes in a zone with daylight saving see and store the same candles."""
    market.insert(
        tick(f"{day} {hour}:00", float(hour[:2]), volume=1.0)
        for day in ("2022-03-13", "2022-03-14", "2022-11-06", "2022-11-07")
        for hour in ("00:00", "04:00", "05:00", "23:59")
    )
    with connect(dsn) as elsewhere:
        elsewhere.execute("SET TimeZone = 'America/New_York'")
        if refreshed:
            refresh(elsewhere)
        theirs = Market(elsewhere)
        for level in LEVELS:
            assert theirs.shown(level) == market.expected(level), level
    market.assert_shown_exactly()


def test_ticks_of_another_session_zone_find_their_partition(dsn: str, market: Market) -> None:
    """Partitions are UTC weeks, whoever makes them: neighbours made in other zones fit together."""
    with connect(dsn) as elsewhere:
        for zone, start in (("America/New_York", "2022-10-31"), ("UTC", "2022-11-07"), ("Asia/Tokyo", "2022-11-14")):
            elsewhere.execute("SELECT set_config('TimeZone', %s, false)", [zone])
            elsewhere.execute("SELECT candleworks.prepare_ticks(%s, %s)", [f"{start} 12:00+00"] * 2)
    bounds = market.connection.execute(
        "SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid"
        " WHERE i.inhparent = 'stocks_real_time'::regclass ORDER BY c.relname"
    ).fetchall()
    assert [bound for (bound,) in bounds] == [
        f"FOR VALUES FROM ('{start} 00:00:00+00') TO ('{stop} 00:00:00+00')"
        for start, stop in (("2022-10-31", "2022-11-07"), ("2022-11-07", "2022-11-14"), ("2022-11-14", "2022-11-21"))
    ]
