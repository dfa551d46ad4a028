"""session_candles(): the regular-hours candle of each exchange day, the same on both engines."""

import random
from datetime import timedelta

import exchange_calendars
import psycopg
import pytest

from candleworks import clock
from candleworks.database.connection import Connection

from .conftest import Market, at

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pandas, about exchange_calendars


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            ("2026-03-06", "2026-03-06 14:30", "2026-03-06 21:00"),
            ("2026-03-09", "2026-03-09 13:30", "2026-03-09 20:00"),
            id="clocks go forward on 2026-03-08",
        ),
        pytest.param(
            ("2026-10-30", "2026-10-30 13:30", "2026-10-30 20:00"),
            ("2026-11-02", "2026-11-02 14:30", "2026-11-02 21:00"),
            id="clocks go back on 2026-11-01",
        ),
    ],
)
def test_regular_hours_move_with_the_clocks_of_new_york(
    market: Market, before: tuple[str, str, str], after: tuple[str, str, str]
) -> None:
    """The sessions around a change of clocks begin and end at 9:30 and 16:00 in New York, not at fixed UTC hours."""
    for day, (_, open_at, close_at) in enumerate((before, after)):
        opening, closing = at(open_at), at(close_at)
        for price, moment in enumerate(
            [opening - timedelta(minutes=1), opening, closing - timedelta(microseconds=1), closing]
        ):
            market.tick("AAPL", f"{moment:%Y-%m-%d %H:%M:%S.%f}", 10 * day + price)
    found = market.sessions(
        "AAPL", before[0], "2027-01-01", "session, open_at, close_at, open, high, low, close, ticks"
    )
    assert found == [
        (before[0], f"{before[1]}:00+00:00", f"{before[2]}:00+00:00", 1, 2, 1, 2, 2),
        (after[0], f"{after[1]}:00+00:00", f"{after[2]}:00+00:00", 11, 12, 11, 12, 2),
    ]


def test_half_day_ends_at_one_o_clock(market: Market) -> None:
    """On the day after Thanksgiving 2026 the session ends at 13:00 in New York: later ticks are after-hours."""
    market.tick("AAPL", "2026-11-27 14:30", 1)
    market.tick("AAPL", "2026-11-27 17:59:59", 2)
    market.tick("AAPL", "2026-11-27 18:00", 3)
    market.tick("AAPL", "2026-11-27 20:30", 4)
    assert market.sessions("AAPL", "2026-11-26", "2026-11-28", "session, close_at, high, close, ticks") == [
        ("2026-11-27", "2026-11-27 18:00:00+00:00", 2, 2, 2)
    ]


def test_holiday_has_no_session(market: Market) -> None:
    """Ticks that come on Thanksgiving belong to no session."""
    market.tick("AAPL", "2026-11-25 15:00", 1)
    market.tick("AAPL", "2026-11-26 15:00", 2)
    assert market.sessions("AAPL", "2026-11-25", "2026-11-27") == [("2026-11-25", 1, 1)]


def test_pre_market_and_after_hours_ticks_are_left_out(market: Market) -> None:
    """A day with ticks outside regular hours only has no candle; with ticks inside, only those count."""
    market.tick("AAPL", "2026-06-02 13:29:59.999999", 1, 100)
    market.tick("AAPL", "2026-06-02 20:00", 2, 100)
    assert market.sessions("AAPL", "2026-06-02", "2026-06-03") == []
    market.tick("AAPL", "2026-06-02 13:30", 5, 10)
    assert market.sessions("AAPL", "2026-06-02", "2026-06-03", "open, high, low, close, volume, vwap, ticks") == [
        (5, 5, 5, 5, 10, 5, 1)
    ]


def test_session_counts_by_its_open(market: Market) -> None:
    """Sessions whose open lies in [from, to) are returned whole, whatever the bounds cut through."""
    for day in ("02", "03", "04"):
        market.tick("AAPL", f"2026-06-{day} 13:30", 1)
        market.tick("AAPL", f"2026-06-{day} 19:00", 2)
    found = market.sessions("AAPL", "2026-06-02 13:30:00.000001", "2026-06-04 13:30")
    assert found == [("2026-06-03", 1, 2)]
    assert len(market.sessions("AAPL", "2026-06-02 13:30", "2026-06-04 13:30:00.000001")) == 3
    unbounded = market.connection.execute("SELECT session FROM session_candles('AAPL', NULL, NULL)").fetchall()
    assert [str(row[0]) for row in unbounded] == ["2026-06-02", "2026-06-03", "2026-06-04"]


def test_lunch_break_is_outside_the_session(market: Market) -> None:
    """Ticks during the break of Hong Kong's exchange belong to no candle, those on both sides to one."""
    market.configure("{symbols: {'0700': XHKG}}")
    for moment, price in (
        ("01:30", 1),
        ("03:59:59", 2),
        ("04:00", 90),
        ("04:59:59", 91),
        ("05:00", 3),
        ("07:59:59", 4),
        ("08:00", 92),
    ):
        market.tick("0700", f"2026-06-02 {moment}", price)
    assert market.sessions("0700", "2026-06-02", "2026-06-03", "session, open, high, low, close, ticks") == [
        ("2026-06-02", 1, 4, 1, 4, 4)
    ]


def test_pair_has_a_session_every_utc_day(market: Market) -> None:
    """A pair trades around the clock: its sessions are the UTC days, weekends too."""
    market.tick("BTC/USD", "2026-06-06 00:00", 1, 2)
    market.tick("BTC/USD", "2026-06-06 23:59:59.999999", 2, 2)
    market.tick("BTC/USD", "2026-06-07 00:00", 3)
    assert market.sessions(
        "BTC/USD", "2026-06-06", "2026-06-08", "session, open_at, close_at, open, close, volume, vwap, ticks"
    ) == [
        ("2026-06-06", "2026-06-06 00:00:00+00:00", "2026-06-07 00:00:00+00:00", 1, 2, 4, 1.5, 2),
        ("2026-06-07", "2026-06-07 00:00:00+00:00", "2026-06-08 00:00:00+00:00", 3, 3, "None", "None", 1),
    ]


def test_reader_in_another_time_zone_sees_the_same_days(market: Market) -> None:
    """The zone of the reader's connection changes nothing."""
    market.tick("BTC/USD", "2026-06-06 23:00", 1)
    market.tick("AAPL", "2026-06-05 13:30", 1)
    market.connection.execute("SET TimeZone = 'Asia/Tokyo'")
    assert market.sessions("BTC/USD", "2026-06-06", "2026-06-08") == [("2026-06-06", 1, 1)]
    assert market.sessions("AAPL", "2026-06-05", "2026-06-08") == [("2026-06-05", 1, 1)]


def test_configured_calendar_wins_over_the_slash(market: Market) -> None:
    """A pair that the configuration gives an exchange follows it."""
    market.configure("{symbols: {EUR/USD: 24/5}}")
    market.tick("EUR/USD", "2026-06-05 12:00", 1)
    market.tick("EUR/USD", "2026-06-06 12:00", 2)
    assert market.sessions("EUR/USD", "2026-06-05", "2026-06-08") == [("2026-06-05", 1, 1)]


def test_session_is_what_its_ticks_say(market: Market) -> None:
    """Random ticks of two months, over the change of clocks, give the candles that exchange_calendars' hours give."""
    rng = random.Random(7)
    market.configure("{symbols: {VOD: XLON, '0700': XHKG, ES: CMES}}")
    for symbol, name in (("AAPL", "XNYS"), ("VOD", "XLON"), ("0700", "XHKG"), ("ES", "CMES")):
        calendar = exchange_calendars.get_calendar(name)
        ticks = {
            at("2026-02-15 00:00") + timedelta(seconds=second): (
                rng.randrange(1, 1000) / 8,
                float(rng.randrange(1, 50)),
            )
            for second in rng.sample(range(60 * 86_400), 600)
        }
        market.ticks(symbol, ticks)
        inside: dict[str, list[tuple[float, float]]] = {}
        for moment in sorted(ticks):
            minute = moment.replace(second=0)
            if calendar.is_open_on_minute(minute):
                inside.setdefault(str(calendar.minute_to_session(minute).date()), []).append(ticks[moment])
        expected = [
            (session, those[0][0], max(those)[0], min(those)[0], those[-1][0], sum(volume for _, volume in those))
            for session, those in sorted(inside.items())
        ]
        found = market.sessions(symbol, "2026-02-10", "2026-04-22", "session, open, high, low, close, volume")
        assert found == expected


def test_database_without_calendars_says_what_to_do(connection: Connection) -> None:
    """Before the calendars were filled, asking is an error, not an empty answer."""
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as error:
        connection.execute("SELECT * FROM session_candles('AAPL', '2026-01-01', '2026-02-01')")
    assert error.value.diag.message_primary == (
        "No sessions are stored for the calendar of AAPL: run candleworks migrate."
    )


def test_ticks_from_before_the_calendar_are_an_error(market: Market) -> None:
    """Ticks whose sessions are unknown are not left out silently; a range without ticks there is simply empty."""
    market.configure("{symbols: {'7203': XTKS}}")
    assert market.sessions("7203", "1990-01-01", "2027-01-01") == []
    market.tick("7203", "1995-05-01 03:00", 1)
    with pytest.raises(psycopg.errors.DatetimeFieldOverflow) as error:
        market.sessions("7203", "1990-01-01", "2027-01-01")
    assert error.value.diag.message_primary == (
        f"The sessions of XTKS are known from 1997-01-01 to {clock.now().year + 1}-12-31, not on 1995-05-01:"
        " ask for a range inside, or run candleworks migrate, which adds newer ones."
    )
    assert market.sessions("7203", "1997-01-01", "2027-01-01") == []
