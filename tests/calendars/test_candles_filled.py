"""candles_filled(): every bucket, and why it is empty where it is."""

from collections import Counter
from datetime import UTC, timedelta
from itertools import pairwise

import psycopg
import pytest

from candleworks import clock
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection

from .conftest import Market, at

TUESDAY = "2025-06-03"


def gap(market: Market, symbol: str | None, start: str, stop: str | None, *, filled: bool = False) -> None:
    market.connection.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason, filled_at)"
        " VALUES ('test', %s, %s, %s, 'test', %s)",
        [symbol, at(start), at(stop) if stop else None, clock.now() if filled else None],
    )


def statuses(market: Market, symbol: str, period: str, start: str, stop: str) -> list[tuple[str, str]]:
    rows = market.filled(symbol, period, start, stop, "bucket, status")
    return [(f"{time.astimezone(UTC):%H:%M}", status) for time, status in rows]


def test_empty_bucket_says_why(market: Market) -> None:
    """Around the opening: closed before it, then traded, quiet where nobody traded, down where the feed was away."""
    market.tick("AAPL", f"{TUESDAY} 13:31", 1)
    gap(market, None, f"{TUESDAY} 13:33:59", f"{TUESDAY} 13:34")
    assert statuses(market, "AAPL", "1 minute", f"{TUESDAY} 13:28", f"{TUESDAY} 13:36") == [
        ("13:28", "closed"),
        ("13:29", "closed"),
        ("13:30", "quiet"),
        ("13:31", "traded"),
        ("13:32", "quiet"),
        ("13:33", "down"),
        ("13:34", "quiet"),
        ("13:35", "quiet"),
    ]


def test_half_day_closes_early_and_a_holiday_all_day(market: Market) -> None:
    """After Thanksgiving 2025 buckets are closed from 13:00 in New York on; on the holiday itself all of them are."""
    assert statuses(market, "AAPL", "1 hour", "2025-11-28 16:00", "2025-11-28 20:00") == [
        ("16:00", "quiet"),
        ("17:00", "quiet"),
        ("18:00", "closed"),
        ("19:00", "closed"),
    ]
    holiday = statuses(market, "AAPL", "1 hour", "2025-11-27 00:00", "2025-11-28 00:00")
    assert {status for _, status in holiday} == {"closed"}


def test_opening_follows_the_clocks_of_new_york(market: Market) -> None:
    """The first quiet bucket of the Fridays and Mondays around both changes of clocks is the opening."""
    for day, opening in (
        ("2025-03-07", "14:30"),
        ("2025-03-10", "13:30"),
        ("2025-10-31", "13:30"),
        ("2025-11-03", "14:30"),
    ):
        rows = statuses(market, "AAPL", "30 minutes", f"{day} 12:00", f"{day} 22:00")
        assert next(time for time, status in rows if status == "quiet") == opening
        assert Counter(status for _, status in rows) == {"quiet": 13, "closed": 7}


def test_bucket_inside_the_lunch_break_is_closed(market: Market) -> None:
    """A break closes the buckets that lie wholly in it; a bucket that reaches out of it is quiet."""
    market.configure("{symbols: {'0700': XHKG}}")
    assert statuses(market, "0700", "40 minutes", f"{TUESDAY} 03:20", f"{TUESDAY} 06:00") == [
        ("03:20", "quiet"),
        ("04:00", "closed"),
        ("04:40", "quiet"),
        ("05:20", "quiet"),
    ]


def test_pair_is_never_closed(market: Market) -> None:
    """A pair that trades around the clock is quiet on a Saturday night, in any year."""
    assert statuses(market, "BTC/USD", "12 hours", "1971-01-02 00:00", "1971-01-03 00:00") == [
        ("00:00", "quiet"),
        ("12:00", "quiet"),
    ]


def test_gap_concerns_its_symbol_or_all(market: Market) -> None:
    """A hole of another symbol and a filled one change nothing; an open one lasts until now."""
    gap(market, "MSFT", f"{TUESDAY} 14:00", f"{TUESDAY} 15:00")
    gap(market, "AAPL", f"{TUESDAY} 15:00", f"{TUESDAY} 16:00", filled=True)
    gap(market, "AAPL", f"{TUESDAY} 16:00", f"{TUESDAY} 17:00")
    assert statuses(market, "AAPL", "1 hour", f"{TUESDAY} 14:00", f"{TUESDAY} 18:00") == [
        ("14:00", "quiet"),
        ("15:00", "quiet"),
        ("16:00", "down"),
        ("17:00", "quiet"),
    ]
    gap(market, None, f"{TUESDAY} 17:59", None)
    assert statuses(market, "AAPL", "1 hour", f"{TUESDAY} 17:00", f"{TUESDAY} 20:00") == [
        ("17:00", "down"),
        ("18:00", "down"),
        ("19:00", "down"),
    ]


def test_feed_has_one_open_gap_per_symbol(market: Market) -> None:
    """A hole cannot be opened twice, cannot end before it began, and cannot be filled while it is open."""
    gap(market, None, f"{TUESDAY} 14:00", None)
    gap(market, "AAPL", f"{TUESDAY} 14:00", None)
    with pytest.raises(psycopg.errors.UniqueViolation):
        gap(market, None, f"{TUESDAY} 15:00", None)
    with pytest.raises(psycopg.errors.CheckViolation):
        gap(market, "MSFT", f"{TUESDAY} 15:00", f"{TUESDAY} 14:59")
    with pytest.raises(psycopg.errors.CheckViolation):
        gap(market, "MSFT", f"{TUESDAY} 15:00", None, filled=True)


def test_empty_buckets_have_null_prices_and_no_volume(market: Market) -> None:
    """Without carry an empty bucket has no prices, 0 ticks and a volume of 0; a traded one is what ohlc() says."""
    market.tick("AAPL", f"{TUESDAY} 13:30:01", 5, 7)
    market.tick("AAPL", f"{TUESDAY} 13:30:02", 4, 3)
    market.tick("AAPL", f"{TUESDAY} 13:32:00", 6)
    found = market.filled(
        "AAPL", "1 minute", f"{TUESDAY} 13:30", f"{TUESDAY} 13:33", "open, high, low, close, volume, ticks"
    )
    assert found == [(5, 5, 4, 4, 10, 2), (None, None, None, None, 0, 0), (6, 6, 6, 6, None, 1)]


def test_carry_repeats_the_last_close(market: Market) -> None:
    """With carry an empty bucket of any status has the close before it as all of its prices."""
    market.tick("AAPL", f"{TUESDAY} 19:58", 5)
    market.tick("AAPL", f"{TUESDAY} 19:58:30", 4, 9)
    found = market.filled(
        "AAPL",
        "1 minute",
        f"{TUESDAY} 19:57",
        f"{TUESDAY} 20:01",
        "open, high, low, close, volume, ticks, status",
        carry=True,
    )
    assert found == [
        (None, None, None, None, 0, 0, "quiet"),
        (5, 5, 4, 4, 9, 2, "traded"),
        (4, 4, 4, 4, 0, 0, "quiet"),
        (4, 4, 4, 4, 0, 0, "closed"),
    ]


@pytest.mark.parametrize(
    "moment", [f"{TUESDAY} 13:29:59", f"{TUESDAY} 00:00", "2025-06-02 23:59:59", "2024-02-01 15:00"]
)
@pytest.mark.parametrize("refreshed", [False, True])
def test_carry_finds_a_close_before_the_range(market: Market, moment: str, *, refreshed: bool) -> None:
    """The last close before the range is found in the same day, in the day before and years before."""
    market.tick("AAPL", "2024-01-15 15:00", 1)
    market.tick("AAPL", moment, 2)
    market.tick("AAPL", f"{TUESDAY} 13:31", 3)
    if refreshed:
        refresh(market.connection)
    found = market.filled("AAPL", "1 minute", f"{TUESDAY} 13:30", f"{TUESDAY} 13:32", "close", carry=True)
    assert found == [(2,), (3,)]


def test_buckets_are_those_of_ohlc(market: Market) -> None:
    """Any multiple of a minute works: buckets start where ohlc() has them, the first and the last one are whole."""
    for day in range(1, 28):
        market.tick("BTC/USD", f"2025-02-{day:02} 10:07", day)
    for period in ("7 minutes", "90 minutes", "1 day", "7 days", "1 month"):
        bounds = ["2025-02-03 10:05+00", "2025-02-20 10:10+00"]
        market.connection.execute("SET TimeZone = 'America/New_York'")
        traded = market.connection.execute(
            "SELECT bucket, open, high, low, close, volume, ticks FROM candles_filled('BTC/USD', %s, %s, %s)"
            " WHERE status = 'traded'",
            [period, *bounds],
        ).fetchall()
        assert (
            traded
            == market.connection.execute(
                "SELECT bucket, open, high, low, close, volume, ticks FROM ohlc('BTC/USD', %s, %s, %s)",
                [period, *bounds],
            ).fetchall()
        )
        assert len(traded) > 0
        times = [row[0] for row in market.filled("BTC/USD", period, "2025-02-03 10:05", "2025-02-20 10:10", "bucket")]
        assert times[0] <= at("2025-02-03 10:05")
        assert times[-1] < at("2025-02-20 10:10")
        if period != "1 month":
            assert {later - earlier for earlier, later in pairwise(times)} <= {_width(period)}


def _width(period: str) -> timedelta:
    number, unit = period.split()
    return timedelta(**{f"{unit.rstrip('s')}s": int(number)})


def test_future_buckets_are_not_returned(market: Market) -> None:
    """The bucket that is forming is the last one, however far the range reaches."""
    now = clock.now()
    for stop in ("infinity", None):
        rows = market.connection.execute(
            "SELECT bucket FROM candles_filled('BTC/USD', '1 hour', %s, %s)", [now - timedelta(hours=2), stop]
        ).fetchall()
        assert len(rows) in (3, 4)  # an hour may begin between our look at the clock and the database's
    assert rows[-1][0] <= clock.now() < rows[-1][0] + timedelta(hours=1, minutes=1)
    assert market.filled("BTC/USD", "1 hour", "2999-01-01", "2999-01-02", "bucket") == []


def test_too_many_buckets_are_refused(market: Market) -> None:
    """More than 100,000 buckets are an error that says how many it would be; so is a range without a beginning."""
    assert len(market.filled("BTC/USD", "1 minute", "2025-01-01 00:00", "2025-03-11 10:40", "bucket")) == 100_000
    with pytest.raises(psycopg.errors.ProgramLimitExceeded) as error:
        market.filled("BTC/USD", "1 minute", "2025-01-01 00:00", "2025-03-11 10:41", "bucket")
    assert error.value.diag.message_primary == (
        "candles_filled: the range holds 100001 buckets of 00:01:00, at most 100000 are returned:"
        " ask for a shorter range or a longer period."
    )
    for start in ("-infinity", None):
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="the range holds Infinity buckets of 1 day"):
            market.connection.execute("SELECT * FROM candles_filled('BTC/USD', '1 day', %s, now())", [start])


def test_the_periods_are_those_of_ohlc(market: Market) -> None:
    """The same periods are refused as by ohlc()."""
    with pytest.raises(
        psycopg.errors.InvalidParameterValue, match="whole seconds below a minute, or a positive multiple of one minute"
    ):
        market.filled("BTC/USD", "90 seconds", "2025-01-01", "2025-01-02", "bucket")


def test_range_without_known_sessions_is_an_error(market: Market) -> None:
    """Where the calendar does not reach, closed cannot be told from quiet."""
    with pytest.raises(psycopg.errors.DatetimeFieldOverflow) as error:
        market.filled("AAPL", "1 day", "1989-12-31", "1990-02-01", "bucket")
    assert error.value.diag.message_primary == (
        f"The sessions of XNYS are known from 1990-01-01 to {clock.now().year + 1}-12-31, not on 1989-12-31:"
        " ask for a range inside, or run candleworks migrate, which adds newer ones."
    )


def test_database_without_calendars_says_what_to_do(connection: Connection) -> None:
    """Before the calendars were filled, asking is an error, not a market that is always closed."""
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="run candleworks migrate"):
        connection.execute("SELECT * FROM candles_filled('AAPL', '1 day', '2025-01-01', '2025-02-01')")


def test_reader_of_the_public_relations_may_call_both_functions(market: Market) -> None:
    """SELECT on the public relations is all that a dashboard's role needs."""
    market.tick("AAPL", f"{TUESDAY} 14:00", 1)
    connection = market.connection
    connection.execute("DROP ROLE IF EXISTS calendar_reader")
    with connection.transaction(force_rollback=True):
        connection.execute("CREATE ROLE calendar_reader")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO calendar_reader")
        connection.execute("SET LOCAL ROLE calendar_reader")
        assert market.sessions("AAPL", TUESDAY, "2025-06-04") == [(TUESDAY, 1, 1)]
        assert len(market.filled("AAPL", "1 hour", TUESDAY, "2025-06-04", "bucket", carry=True)) == 24
