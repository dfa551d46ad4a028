"""Candles adjusted for splits, on either engine."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection
from candleworks.settings import Settings
from tests.candles.conftest import Market, Tick, tick

START = datetime(2022, 8, 1, tzinfo=UTC)
SPLIT_DAYS = ("2022-08-25", "2022-09-09")  # midnight in New York is 04:00 UTC
MIDNIGHTS = (datetime(2022, 8, 25, 4, tzinfo=UTC), datetime(2022, 9, 9, 4, tzinfo=UTC))
RATIOS = (4.0, 2.0)
COLUMNS = "bucket, open, high, low, close, volume, ticks, closed, volume_from"
PERIODS = ("30 seconds", "1 minute", "1 hour", "4 hours", "7 hours", "1 day", "3 days", "7 days", "1 month")


@pytest.fixture(autouse=True)
def calendars(connection: Connection, settings: Settings) -> None:
    sync_calendars(connection, settings)


def split(connection: Connection, date: str, ratio: float, symbol: str = "AAPL") -> None:
    connection.execute("INSERT INTO splits VALUES (%s, %s, %s)", [symbol, date, ratio])


def read(connection: Connection, function: str, period: str, **others: Any) -> list[tuple[Any, ...]]:
    wanted = {"start": START, "stop": START + timedelta(days=60), "price": "trade", "zone": None, **others}
    if "second" in period:
        wanted["start"], wanted["stop"] = MIDNIGHTS[0] - timedelta(hours=1), MIDNIGHTS[0] + timedelta(hours=1)
    return connection.execute(
        f"SELECT {COLUMNS} FROM {function}('AAPL', '{period}', %(start)s, %(stop)s, %(price)s, %(zone)s)", wanted
    ).fetchall()


def factor(time: datetime) -> float:
    product = 1.0
    for midnight, ratio in zip(MIDNIGHTS, RATIOS, strict=True):
        product *= ratio if time < midnight else 1.0
    return product


# Powers of two divide exactly. Many ticks are close to the midnight of a split, within its UTC day and its hour.
moments = st.one_of(
    st.integers(0, 55 * 1440).map(lambda minutes: START + timedelta(minutes=minutes)),
    st.integers(-300, 300).map(lambda minutes: MIDNIGHTS[0] + timedelta(minutes=minutes)),
    st.integers(-300, 300).map(lambda minutes: MIDNIGHTS[1] + timedelta(minutes=minutes)),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times=st.lists(moments, min_size=1, max_size=60, unique=True), zone=st.sampled_from([None, "America/New_York"]))
def test_adjusted_candles_are_those_of_adjusted_ticks(
    connection: Connection, market: Market, times: list[datetime], zone: str | None
) -> None:
    """In every period, also in buckets that a split falls into: as if each tick had been adjusted before."""
    connection.execute("TRUNCATE stocks_real_time, splits")
    ticks = [Tick(time, "AAPL", 64.0 + n % 17, None, float(n % 5)) for n, time in enumerate(times)]
    adjusted = [t._replace(price=t.price / factor(t.time), volume=(t.volume or 0) * factor(t.time)) for t in ticks]
    market.insert(adjusted)
    expected = {period: read(connection, "ohlc", period, zone=zone) for period in PERIODS}
    connection.execute("TRUNCATE stocks_real_time")
    market.insert(ticks)
    for date, ratio in zip(SPLIT_DAYS, RATIOS, strict=True):
        split(connection, date, ratio)
    assert {period: read(connection, "ohlc_adjusted", period, zone=zone) for period in PERIODS} == expected


def test_without_splits_candles_are_as_they_are(connection: Connection, market: Market) -> None:
    """Splits of other symbols change nothing."""
    market.insert([tick("2022-08-24 15:00:00", 100.0, volume=3.0)])
    split(connection, "2022-08-25", 4.0, symbol="TSLA")
    assert read(connection, "ohlc_adjusted", "1 hour") == read(connection, "ohlc", "1 hour") != []


def test_the_mid_of_adjusted_quotes(connection: Connection) -> None:
    """Bids, asks and their mid have the ratio of the trades; offered sizes grow with it."""
    connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [START, START])
    connection.execute(
        "INSERT INTO quotes (time, symbol, bid, ask, bid_volume, ask_volume) VALUES (%s, 'AAPL', 100, 102, 5, 7)",
        [START],
    )
    split(connection, "2022-08-25", 4.0)
    found = {price: read(connection, "ohlc_adjusted", "7 days", price=price)[0][1:6] for price in ("bid", "ask", "mid")}
    assert found == {"bid": (25,) * 4 + (20,), "ask": (25.5,) * 4 + (28,), "mid": (25.25,) * 4 + (48,)}


@pytest.fixture
def daily_bars(connection: Connection) -> None:
    """Bars of two days, both from before the split: one fetched before it, one after it."""
    connection.execute(
        "INSERT INTO daily_bars VALUES ('AAPL', '2022-08-01', 100, 104, 96, 100, 10, 'f', '2022-08-02'),"
        " ('AAPL', '2022-08-02', 25, 26, 24, 25, 40, 'f', '2022-10-01')"
    )


@pytest.mark.usefixtures("daily_bars")
@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_daily_bars_are_adjusted_for_splits_since_they_were_fetched(connection: Connection, zone: str | None) -> None:
    """The vendor has adjusted them for earlier ones; days and weeks say the same."""
    split(connection, "2022-08-25", 4.0)
    days = read(connection, "ohlc_adjusted", "1 day", zone=zone)
    assert [row[1:6] for row in days] == [(25, 26, 24, 25, 40)] * 2
    [week] = read(connection, "ohlc_adjusted", "7 days", zone=zone)
    assert week[1:6] == (25, 26, 24, 25, 80)


@pytest.mark.parametrize("ratio", [0, -1, float("inf"), float("nan")])
def test_a_ratio_is_positive(connection: Connection, ratio: float) -> None:
    """Nothing else can be divided by."""
    with pytest.raises(Exception, match="splits_ratio_check"):
        split(connection, "2022-08-25", ratio)
