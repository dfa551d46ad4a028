"""What followers get is what SQL says, however the ticks came to be stored."""

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from candleworks import clock
from candleworks.candles.reads import Period
from candleworks.database.connection import Connection, connect
from candleworks.model.trades import microseconds_of, moment_of
from candleworks.stream import Hub, SeriesKey, TooManyClientsError, Wanted
from candleworks.stream.buckets import Buckets
from candleworks.stream.client import MAX_WAITING_EVENTS
from tests.stream.conftest import (
    MINUTE,
    SECOND,
    Follow,
    Follower,
    insert,
    insert_by_hand,
    shape,
    stored,
    wanted,
)

MICROSECOND = timedelta(microseconds=1)


def now() -> datetime:
    """A moment in the middle of the last whole minute but one: everything around it is over."""
    return clock.now().replace(second=30, microsecond=0) - timedelta(minutes=2)


def same(follower: Follower, connection: Connection, symbol: str = "A", period: str = "1m") -> bool:
    """Whether the follower has the newest candles of SQL; of older ones it need not know."""
    interval = {"1s": "1 second", "1m": "1 minute", "5m": "5 minutes", "1d": "1 day"}[period]
    expected = {row[0]: row for row in stored(connection, symbol, interval)}
    seen = {time: shape(candle) for time, candle in follower.candles(period).items()}
    return bool(seen) and seen == {time: expected.get(int(time)) for time in seen} and max(expected) in seen


def test_a_stream_begins_with_a_snapshot(connection: Connection, follow: Follow) -> None:
    """Per series the newest closed and the forming candle, and the newest tick."""
    moment = clock.now()
    insert(connection, [(moment - timedelta(hours=5), "A", 1.0, 2.0), (moment, "A", 3.0, 4.0)])
    follower = follow("A", periods=[MINUTE, SECOND])
    first, second = follower.named("snapshot")
    assert (first["symbol"], first["period"], second["period"]) == ("A", "1m", "1s")
    assert [(candle["close"], candle["closed"]) for candle in first["candles"]] == [(1.0, True), (3.0, False)]
    assert first["tick"]["price"] == 3.0
    assert same(follower, connection)


def test_ticks_make_candles_grow(connection: Connection, follow: Follow) -> None:
    """Each tick is an event, and the candles of all periods follow without a look into the database."""
    follower = follow("A", periods=[SECOND, MINUTE, Period("5m", seconds=300)])
    moment = clock.now()
    for number in range(5):
        time = moment + number * MICROSECOND
        insert(connection, [(time, "A", 10.0 + number, 1.0), (time, "B", 1.0, 1.0)])
    follower.until(lambda _: len(follower.named("tick")) == 5, "five ticks")
    assert [tick["price"] for tick in follower.named("tick")] == [10.0, 11.0, 12.0, 13.0, 14.0]
    follower.until(lambda _: all(same(follower, connection, period=p) for p in ("1s", "1m", "5m")), "the candles")


def test_a_candle_is_closed_when_sql_says_so(connection: Connection, follow: Follow) -> None:
    """Two seconds after its bucket, with a revision that is not lower."""
    follower = follow("A", periods=[SECOND])
    insert(connection, [(clock.now(), "A", 1.0, 1.0)])
    follower.until(lambda _: any(candle["closed"] for candle in follower.named("candle")), "the end of the candle")
    forming, closed = follower.named("candle")
    assert (forming["closed"], closed["closed"]) == (False, True)
    assert closed["revision"] >= forming["revision"]
    assert same(follower, connection, period="1s")


def test_nothing_is_closed_while_the_feed_is_behind(connection: Connection, follow: Follow) -> None:
    """The rule is that of SQL, which knows how far a feed has stored everything."""
    connection.execute("INSERT INTO feed_symbols VALUES ('test', 'A', 'streaming', NULL, now() - interval '1 hour')")
    follower = follow("A", periods=[SECOND])
    insert(connection, [(clock.now() - timedelta(seconds=10), "A", 1.0, 1.0)])
    follower.until(lambda _: follower.named("candle"), "the candle")
    threading.Event().wait(1)
    follower.read()
    assert not any(candle["closed"] for candle in follower.named("candle"))
    connection.execute("INSERT INTO feed_stops VALUES ('test', now(), 'maintenance', true)")
    follower.until(lambda _: any(candle["closed"] for candle in follower.named("candle")), "the end of the candle")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stocks_real_time SET price = price * 2",
        "DELETE FROM stocks_real_time WHERE price = 2",
        "INSERT INTO stocks_real_time (time, symbol, price, origin)"  # noqa: ISC004 - one statement
        " SELECT time + interval '9 microseconds', symbol, 9, 'file' FROM stocks_real_time WHERE price = 2",
    ],
)
def test_corrections_come_with_a_higher_revision(connection: Connection, follow: Follow, statement: str) -> None:
    """Of candles that were closed long ago as well."""
    moment = now()
    insert(connection, [(moment, "A", 2.0, 1.0), (moment + MICROSECOND, "A", 3.0, 1.0)])
    follower = follow("A")
    (before,) = follower.candles().values()
    connection.execute(statement)
    follower.until(lambda _: follower.named("candle"), "the correction")
    (after,) = follower.candles().values()
    assert after["revision"] > before["revision"]
    assert shape(after) != shape(before)
    assert same(follower, connection)


def test_a_late_tick_corrects_the_candle_it_belongs_to(connection: Connection, follow: Follow) -> None:
    """And it is marked as late."""
    moment = now()
    insert(connection, [(moment, "A", 2.0, 1.0), (moment + timedelta(minutes=1), "A", 3.0, 1.0)])
    follower = follow("A")
    insert(connection, [(moment - timedelta(seconds=1), "A", 1.0, 1.0)])
    follower.until(lambda _: follower.named("candle"), "the correction")
    assert [tick["late"] for tick in follower.named("tick")] == [True]
    assert same(follower, connection)


def test_what_is_gone_is_a_reload(connection: Connection, follow: Follow) -> None:
    """No candle can say that it no longer exists."""
    insert(connection, [(now(), "A", 2.0, 1.0)])
    follower = follow("A")
    connection.execute("DELETE FROM stocks_real_time")
    follower.until(lambda _: follower.named("reload"), "the reload")
    (reload,) = follower.named("reload")
    assert (reload["symbol"], reload["period"]) == ("A", "1m")
    assert reload["from"] <= now().timestamp() < reload["to"]


def test_an_import_that_is_wide_is_a_reload(connection: Connection, follow: Follow) -> None:
    """With its range, and nothing for each of its candles."""
    follower = follow("A")
    start = now() - timedelta(days=3)
    insert(connection, [(start + n * timedelta(minutes=1), "A", 1.0, 1.0) for n in range(2_000)], "file")
    follower.until(lambda _: follower.named("reload"), "the reload")
    (reload,) = follower.named("reload")
    assert reload["from"] <= start.timestamp() < reload["to"]
    assert len(follower.named("candle")) < 5
    assert follower.named("tick") == []


def test_a_gap_is_an_event_and_decides_what_is_closed(connection: Connection, follow: Follow) -> None:
    """When it is recorded, and when it is settled."""
    moment = now()
    insert(connection, [(moment, "A", 2.0, 1.0)])
    follower = follow("A")
    connection.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason) VALUES ('test', 'A', %s, %s, 'lost')",
        [moment, moment + timedelta(seconds=5)],
    )
    follower.until(lambda _: follower.named("candle"), "the candle")
    assert follower.named("candle")[-1]["closed"] is False
    connection.execute("UPDATE feed_gaps SET filled_at = now()")
    follower.until(lambda _: follower.named("candle")[-1]["closed"], "the end of the gap")
    assert [gap["symbol"] for gap in follower.named("gap")] == ["A", "A"]


@pytest.mark.parametrize("price", ["bid", "ask", "mid"])
def test_quotes_make_candles_of_each_side(connection: Connection, hub: Hub, price: str) -> None:
    """As ohlc() projects them; the middle needs both sides."""
    follower = Follower(hub, Wanted((SeriesKey("Q", MINUTE, price),)))
    follower.until(lambda events: events, "the snapshot")
    moment = now()
    connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [moment, moment])
    for number, (bid, ask) in enumerate([(1.1, 1.3), (1.0, 1.4), (1.2, 1.25)]):
        connection.execute(
            "INSERT INTO quotes (time, symbol, bid, ask, bid_volume, ask_volume) VALUES (%s, 'Q', %s, %s, 1, 2)",
            [moment + number * MICROSECOND, bid, ask],
        )

    def agreed(_: object) -> bool:
        (expected,) = stored(connection, "Q", price=price)
        seen = [shape(candle) for candle in follower.candles().values()]
        return [tuple(pytest.approx(value) for value in expected)] == seen

    follower.until(agreed, "the candle")


def test_days_follow_daily_bars(connection: Connection, follow: Follow) -> None:
    """A day without ticks is its bar."""
    day = clock.now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
    insert(connection, [(clock.now(), "A", 2.0, 1.0)])
    follower = follow("A", periods=[Period("1d", seconds=86_400)])
    connection.execute("INSERT INTO daily_bars VALUES ('A', %s, 1, 2, 1, 2, NULL, 'test', now())", [day])
    follower.until(lambda _: day.timestamp() in follower.candles("1d"), "the bar")
    insert(connection, [(clock.now(), "A", 7.0, 1.0)])
    follower.until(lambda _: max(follower.candles("1d").items())[1]["close"] == 7.0, "the forming day")


def test_two_feeds_that_commit_at_the_same_time_lose_nothing(dsn: str, hub: Hub) -> None:
    """Every tick arrives once, in the order of each feed."""
    follower = Follower(hub, wanted("A", "B"))
    follower.until(lambda events: events, "the snapshot")
    start = clock.now()

    def write(symbol: str) -> None:
        with connect(dsn) as connection:
            for number in range(150):
                insert(connection, [(start + number * MICROSECOND, symbol, float(number), 1.0)])

    writers = [threading.Thread(target=write, args=[symbol]) for symbol in "AB"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    follower.until(lambda _: len(follower.named("tick")) >= 300, "all ticks")
    for symbol in "AB":
        assert [tick["price"] for tick in follower.named("tick") if tick["symbol"] == symbol] == list(range(150))


def test_who_comes_back_gets_what_was_missed(dsn: str, connection: Connection, hub: Hub) -> None:
    """Every tick once, from another server as well, and every candle that changed."""
    first = Follower(hub, wanted("A", periods=[SECOND]))
    first.until(lambda events: events, "the snapshot")
    start = clock.now()
    insert(connection, [(start, "A", 1.0, 1.0)])
    first.until(lambda _: first.named("tick"), "the tick")
    hub.leave(first.client)
    insert(connection, [(start + MICROSECOND, "A", 2.0, 1.0), (start - timedelta(hours=1), "A", 3.0, 1.0)])
    insert(connection, [(start + 2 * MICROSECOND, "A", 4.0, 1.0)])
    with Hub(dsn) as other:
        second = Follower(other, wanted("A", periods=[SECOND], since=first.client.seen))
        second.until(lambda _: len(second.named("tick")) == 3, "the ticks")
        insert(connection, [(start + 3 * MICROSECOND, "A", 5.0, 1.0)])
        second.until(lambda _: len(second.named("tick")) == 4, "the next tick")
        assert [tick["price"] for tick in second.named("tick")] == [3.0, 2.0, 4.0, 5.0]
        assert second.named("snapshot") == second.named("lagged") == []
        second.until(lambda _: same(second, connection, period="1s"), "the candles")
        assert (start - timedelta(hours=1)).replace(microsecond=0).timestamp() in second.candles("1s")


def test_who_was_away_for_too_long_starts_anew(connection: Connection, hub: Hub) -> None:
    """When the log no longer has what was missed, or never had the position."""
    insert(connection, [(clock.now(), "A", 1.0, 1.0)])
    connection.execute("UPDATE candleworks.stream_log SET position = position + 1000")
    for since in (1, 10_000_000):
        follower = Follower(hub, wanted("A", since=since))
        follower.until(lambda events: events, "the beginning")
        assert follower.names() == ["lagged", "snapshot"]


def test_a_slow_client_is_resumed_and_slows_nobody(connection: Connection, hub: Hub) -> None:
    """It gets `lagged`, and then every tick that it has missed."""
    slow, fast = Follower(hub, wanted("A")), Follower(hub, wanted("A"))
    for follower in (slow, fast):
        follower.until(lambda events: events, "the snapshot")
    start, count = clock.now(), 4_000
    batches = MAX_WAITING_EVENTS // count + 1
    for batch in range(batches):
        ticks = ((start + (batch * count + n) * MICROSECOND, "A", float(batch * count + n), 1.0) for n in range(count))
        insert(connection, ticks)
        fast.until(lambda _: len(fast.named("tick")) >= (batch + 1) * count, "the batch")  # noqa: B023
    insert(connection, [(start + timedelta(seconds=1), "A", 0.5, 1.0)])
    slow.until(lambda _: slow.named("lagged"), "lagged")
    slow.until(lambda _: slow.named("reload") or len(slow.named("tick")) > batches * count, "the rest")
    slow.until(lambda _: same(slow, connection), "the candles")
    assert fast.named("lagged") == []
    assert hub.lagged == 1


def test_there_are_only_so_many_clients(dsn: str) -> None:
    """A sentence says so, and a place is free again when one leaves."""
    with Hub(dsn, max_clients=1) as hub:
        client = hub.join(wanted("A"), lambda: None)
        with pytest.raises(TooManyClientsError, match="1 clients follow the stream, which is as many as are allowed"):
            hub.join(wanted("A"), lambda: None)
        hub.leave(client)
        hub.join(wanted("A"), lambda: None)


def test_a_database_that_was_away_costs_nothing(connection: Connection, hub: Hub) -> None:
    """Clients stay, are told, and get what was committed meanwhile."""
    follower = Follower(hub, wanted("A"))
    follower.until(lambda events: events, "the snapshot")
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'candleworks stream'"
        " AND datname = current_database()"
    )
    insert(connection, [(now(), "A", 1.0, 1.0)])
    follower.until(lambda _: len(follower.named("tick")) == 1, "the tick")
    assert [state["available"] for state in follower.named("database")] == [False, True]
    follower.until(lambda _: same(follower, connection), "the candles")


def test_a_log_that_a_crash_has_emptied_starts_anew(connection: Connection, hub: Hub) -> None:
    """Nobody can say what was missed."""
    follower = Follower(hub, wanted("A"))
    follower.until(lambda events: events, "the snapshot")
    connection.execute("TRUNCATE candleworks.stream_log; SELECT setval('candleworks.stream_position', 1000)")
    insert(connection, [(now(), "A", 1.0, 1.0)])
    follower.until(lambda _: follower.names().count("snapshot") == 2, "the second snapshot")
    assert "lagged" in follower.names()
    assert same(follower, connection)


@pytest.mark.parametrize("period", ["1s", "7s", "1m", "7m", "1h", "4h", "1d", "1w", "1mo", "5mo"])
def test_buckets_are_those_of_sql(connection: Connection, period: str) -> None:
    """Also before the origin, and at the ends of months."""
    count, unit = int(period[:-1].rstrip("m")), period.lstrip("0123456789")
    seconds = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}.get(unit, 0)
    buckets = Buckets(Period(period, seconds=count * seconds, months=0 if seconds else count))
    for moment in ("1999-12-31 23:59:59.999999", "2000-01-01", "2024-02-29 12:34:56.789", "2026-11-30 07:00"):
        row = connection.execute(
            "SELECT s, candleworks.bucket_end(s, %(p)s::interval), %(t)s::timestamptz"
            " FROM candleworks.bucket_start(%(t)s::timestamptz, %(p)s::interval) s",
            {"t": f"{moment}+00", "p": buckets.period.interval},
        ).fetchone()
        assert row
        us = microseconds_of(row[2])
        assert (moment_of(buckets.start(us)), moment_of(buckets.stop(us))) == row[:2]


Change = tuple[str, Any]
_offsets = st.integers(0, 200)
_prices = st.integers(1, 50).map(float)
_changes = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), st.lists(st.tuples(_offsets, _prices), min_size=1, max_size=5)),
        st.tuples(st.just("next"), st.lists(_prices, min_size=1, max_size=5)),
        st.tuples(st.just("import"), st.lists(st.tuples(_offsets, _prices), min_size=1, max_size=5)),
        st.tuples(st.just("update"), _offsets),
    ),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(changes=_changes)
@example(changes=[("next", [1.0, 2.0, 3.0])])
def test_after_any_changes_followers_have_what_sql_says(
    connection: Connection, hub: Hub, changes: list[Change]
) -> None:
    """Ticks in order, late ones by hand, imports and corrections, in any sequence."""
    connection.execute("DELETE FROM stocks_real_time")
    start = now() - timedelta(minutes=5)
    follower = Follower(hub, wanted("A", periods=[SECOND, MINUTE, Period("5m", seconds=300)]))
    follower.until(lambda events: events, "the snapshot")
    newest = start
    for kind, what in changes:
        if kind == "update":
            connection.execute(
                "UPDATE stocks_real_time SET price = 77, volume = 3 WHERE time >= %s", [start + timedelta(seconds=what)]
            )
            continue
        if kind == "next":
            ticks = [(newest + (n + 1) * timedelta(milliseconds=700), price) for n, price in enumerate(what)]
        else:
            ticks = list({start + timedelta(seconds=offset): price for offset, price in what}.items())
        taken = {row[0] for row in connection.execute("SELECT time FROM stocks_real_time")}
        rows = [(time, "A", price, 2.0) for time, price in ticks if time not in taken]
        newest = max([newest, *(time for time, *_ in rows)])
        if rows:
            put = insert_by_hand if kind == "insert" else insert
            put(connection, rows, "file" if kind == "import" else "twelvedata")
    if stored(connection, "A"):
        for period in ("1s", "1m", "5m"):
            follower.until(lambda _: same(follower, connection, period=period), f"the candles of {period}")  # noqa: B023
    hub.leave(follower.client)
