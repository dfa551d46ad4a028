"""Days, weeks and months of any time zone, compared with pandas, on either engine."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle, pairwise

import pandas as pd
import psycopg
import pytest

from candleworks.database.connection import Connection
from tests.candles.conftest import Market, Tick

ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "America/Sao_Paulo",
)
PERIODS = {"1 day": "1D", "1 month": "MS", "3 months": "QS", "1 year": "YS"}
SPANS = {
    "a spring and an autumn change": (datetime(2023, 2, 25, tzinfo=UTC), datetime(2023, 11, 20, tzinfo=UTC)),
    "a change at midnight in Brazil": (datetime(2018, 10, 20, tzinfo=UTC), datetime(2019, 3, 1, tzinfo=UTC)),
}


def ticks_between(start: datetime, stop: datetime) -> list[Tick]:
    found: list[Tick] = []
    steps = cycle((25, 190, 15, 725, 45, 60, 330))
    while start < stop:
        found.append(Tick(start, "AAPL", 100.0 + len(found) * 37 % 101, None, float(len(found) % 7)))
        start += timedelta(minutes=next(steps))
    return found


def by_pandas(ticks: Sequence[Tick], zone: str, rule: str) -> list[tuple[object, ...]]:
    frame = pd.DataFrame(ticks, columns=Tick._fields).set_index("time").tz_convert(zone)
    local = frame.index.tz_localize(None)
    key = local.normalize() if rule == "1D" else local.to_period(rule[0]).start_time
    rows = frame.groupby(key).agg(
        open=("price", "first"),
        high=("price", "max"),
        low=("price", "min"),
        close=("price", "last"),
        volume=("volume", "sum"),
        ticks=("price", "count"),
    )
    starts = rows.index.tz_localize(zone, nonexistent="shift_forward", ambiguous=True).tz_convert("UTC")
    return [(start.to_pydatetime(), *row) for start, row in zip(starts, rows.itertuples(index=False), strict=True)]


def by_ohlc(
    connection: Connection, zone: str | None, period: str, start: object = None, stop: object = None
) -> list[tuple[object, ...]]:
    rows = connection.execute(
        "SELECT bucket, open, high, low, close, volume, ticks"
        " FROM ohlc('AAPL', %s::interval, %s::timestamptz, %s::timestamptz, zone => %s)",
        [period, start, stop, zone],
    )
    return [(row[0].astimezone(UTC), *row[1:]) for row in rows]


@pytest.mark.parametrize("span", SPANS)
def test_days_of_a_zone_are_those_of_pandas(connection: Connection, market: Market, span: str) -> None:
    """Through changes of clocks by an hour and by half, zones with quarters of hours, and days without midnight."""
    ticks = ticks_between(*SPANS[span])
    market.insert(ticks)
    for zone in ZONES:
        for period, rule in PERIODS.items():
            assert by_ohlc(connection, zone, period) == by_pandas(ticks, zone, rule), (zone, period)


def test_a_week_of_a_zone_begins_on_its_monday(connection: Connection, market: Market) -> None:
    """Seven days of local time, also the week in which clocks change."""
    market.insert(ticks_between(*SPANS["a spring and an autumn change"]))
    starts = pd.DatetimeIndex([row[0] for row in by_ohlc(connection, "America/New_York", "1 week")]).tz_convert(
        "America/New_York"
    )
    assert all(start.day_of_week == 0 and start.hour == 0 for start in starts)
    assert all(
        later.tz_localize(None) - start.tz_localize(None) == timedelta(days=7) for start, later in pairwise(starts)
    )


def test_the_session_does_not_matter(connection: Connection, market: Market) -> None:
    """Neither its zone nor what was asked before."""
    market.insert(ticks_between(*SPANS["a spring and an autumn change"]))
    found = by_ohlc(connection, "Europe/Berlin", "1 day")
    connection.execute("SET TimeZone = 'Asia/Tokyo'")
    assert by_ohlc(connection, "Europe/Berlin", "1 day") == found


def test_a_range_of_days_of_a_zone_has_whole_days(connection: Connection, market: Market) -> None:
    """Those that overlap the range; the day that begins at its end is left out."""
    market.insert(ticks_between(*SPANS["a spring and an autumn change"]))
    days = by_ohlc(connection, "America/New_York", "1 day")
    cut = by_ohlc(connection, "America/New_York", "1 day", "2023-03-11 12:00+00", "2023-03-13 04:00+00")
    assert cut == [day for day in days if str(day[0])[:10] in ("2023-03-11", "2023-03-12")]


def test_periods_below_a_day_are_the_same_in_every_zone(connection: Connection, market: Market) -> None:
    """Hours are counted in UTC; a zone changes days and longer periods only."""
    market.insert(ticks_between(*SPANS["a spring and an autumn change"]))
    for period in ("1 minute", "4 hours", "36 hours"):
        assert by_ohlc(connection, "Asia/Kolkata", period) == by_ohlc(connection, None, period)


def test_an_unknown_zone_is_an_error(connection: Connection) -> None:
    """PostgreSQL names it."""
    with pytest.raises(psycopg.errors.InvalidParameterValue, match='time zone "Mars/Olympus" not recognized'):
        by_ohlc(connection, "Mars/Olympus", "1 day")


def test_a_daily_bar_is_the_day_of_its_date(connection: Connection, market: Market) -> None:
    """The vendor's daily bars have dates and no times: they fill days of any zone, before those with ticks."""
    connection.execute(
        "INSERT INTO daily_bars VALUES ('AAPL', '2023-01-05', 1, 2, 0.5, 1.5, 10, 'test', now()),"
        " ('AAPL', '2023-01-06', 2, 3, 1.5, 2.5, 20, 'test', now())"
    )
    market.insert([Tick(datetime(2023, 1, 9, 15, tzinfo=UTC), "AAPL", 7.0)])
    days = by_ohlc(connection, "America/New_York", "1 day")
    assert [(f"{day[0]:%m-%d %H}", day[4], day[6]) for day in days] == [
        ("01-05 05", 1.5, 0),
        ("01-06 05", 2.5, 0),
        ("01-09 05", 7.0, 1),
    ]
    assert by_ohlc(connection, "America/New_York", "1 month")[0][1:] == (1.0, 7.0, 0.5, 7.0, 30.0, 1)
