"""Any period through ohlc(), the tutorial's views and its SQL, on either engine."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from candleworks.database.connection import Connection
from tests.candles.conftest import Market, Tick, candle_of, tick

MONDAY = datetime(2000, 1, 3, tzinfo=UTC)
START = datetime(2022, 9, 28, 23, 57, tzinfo=UTC)
MONTHS = {"1 month": 1, "3 months": 3, "1 year": 12}
MINUTES = {
    "1 minute": 1,
    "2 minutes": 2,
    "5 minutes": 5,
    "7 minutes": 7,
    "10 minutes": 10,
    "15 minutes": 15,
    "90 minutes": 90,
    "1 hour": 60,
    "2 hours": 120,
    "4 hours": 240,
    "1 day": 1_440,
    "3 days": 4_320,
    "1 week": 10_080,
    "10 days 12 hours": 15_120,
}

NEEDED = "it must be whole seconds below a minute, or a positive multiple of one minute."
COLUMNS = "bucket, open, high, low, close, volume, ticks"
REFUSED = {
    "0.5 seconds": f"the period is 00:00:00.5, {NEEDED}",
    "90 seconds": f"the period is 00:01:30, {NEEDED}",
    "0": f"the period is 00:00:00, {NEEDED}",
    "-1 hour": f"the period is -01:00:00, {NEEDED}",
    "1 month 1 day": "the period is 1 mon 1 day, it must be either of whole months or without months.",
    "1 year 1 hour": "the period is 1 year 01:00:00, it must be either of whole months or without months.",
    None: f"the period is <NULL>, {NEEDED}",
}


def start_of(period: str) -> Callable[[datetime], datetime]:
    if period in MONTHS:
        return lambda moment: _month(moment, MONTHS[period])
    return lambda moment: moment - (moment - MONDAY) % timedelta(minutes=MINUTES[period])


def _month(moment: datetime, months: int) -> datetime:
    number = ((moment.year - 2000) * 12 + moment.month - 1) // months * months
    return datetime(2000 + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def expected(ticks: list[Tick], period: str) -> list[tuple[Any, ...]]:
    groups: dict[datetime, list[Tick]] = {}
    for one in ticks:
        groups.setdefault(start_of(period)(one.time), []).append(one)
    candles = ((start, candle_of(group, timedelta(minutes=1))) for start, group in sorted(groups.items()))
    return [(start, c.open, c.high, c.low, c.close, c.volume, c.ticks) for start, c in candles]


def ohlc(
    connection: Connection, period: str | None, start: str | None, stop: str | None, price: str | None = "trade"
) -> list[Any]:
    return connection.execute(
        f"SELECT {COLUMNS} FROM ohlc('AAPL', %s::interval, %s::timestamptz, %s::timestamptz, %s)",
        [period, start, stop, price],
    ).fetchall()


@pytest.fixture
def ticks(market: Market) -> list[Tick]:
    """Some weeks of one symbol with minutes, hours and days between ticks, and another symbol in between."""
    gaps = [1, 1, 2, 3, 5, 8, 60, 61, 240, 1_440, 2_000, 10_080, 7, 1, 11_000]
    found = []
    moment = START
    for index, gap in enumerate(gaps * 2):
        volume = None if index % 4 == 0 else float(index)
        found.append(Tick(moment, "AAPL", 100.0 + (index * 37 % 11), None, volume))
        moment += timedelta(minutes=gap)
    market.insert([*found, *(one._replace(symbol="MSFT", price=1.0) for one in found)])
    return found


def test_every_period_is_what_the_ticks_say(connection: Connection, ticks: list[Tick]) -> None:
    """Stored levels and what lies between and above them; volume is null where no tick had one."""
    for period in (*MINUTES, *MONTHS):
        assert ohlc(connection, period, None, None) == expected(ticks, period), period


def test_a_range_holds_its_start_and_not_its_end(connection: Connection, market: Market) -> None:
    """Candles are whole: the one that holds the start begins before it, one that begins at the end is left out."""
    market.insert(tick(f"2022-10-19 {hour:02}:30:00", float(hour)) for hour in range(10, 16))

    def opens(period: str, start: str, stop: str) -> list[tuple[float, float]]:
        rows = ohlc(connection, period, f"2022-10-19 {start}+00", f"2022-10-19 {stop}+00")
        return [(row[1], row[4]) for row in rows]

    assert opens("2 hours", "12:00", "14:00") == [(12.0, 13.0)]
    assert opens("2 hours", "13:59", "14:00") == [(12.0, 13.0)]
    assert opens("2 hours", "12:00", "14:00:00.000001") == [(12.0, 13.0), (14.0, 15.0)]
    assert opens("2 hours", "14:00", "14:00") == []
    assert opens("1 week", "12:00", "12:01") == [(10.0, 15.0)]


def test_no_bound_and_infinity_mean_everything(connection: Connection, ticks: list[Tick]) -> None:
    """For minutes as well as for months."""
    for period in ("5 minutes", "1 month"):
        everything = expected(ticks, period)
        assert ohlc(connection, period, "-infinity", "infinity") == everything
        assert ohlc(connection, period, str(START), None) == everything
        assert ohlc(connection, period, None, "2022-09-01 00:00+00") == []


def test_ohlc_does_not_depend_on_the_sessions_zone(connection: Connection, ticks: list[Tick]) -> None:
    """Days and weeks are those of UTC, around a change of clocks too."""
    connection.execute("SET TimeZone = 'America/New_York'")
    for period in ("1 day", "1 week", "1 month"):
        found = [(row[0].astimezone(UTC), *row[1:]) for row in ohlc(connection, period, None, None)]
        assert found == expected(ticks, period)


def test_an_unknown_symbol_has_no_candles(connection: Connection) -> None:
    """It is no error to ask for one."""
    assert ohlc(connection, "1 minute", None, None) == []


def test_a_period_that_makes_no_candles_is_refused(connection: Connection) -> None:
    """The message says what was asked for and what is possible."""
    for period, sentence in REFUSED.items():
        with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
            ohlc(connection, period, None, None)
        assert caught.value.diag.message_primary == f"ohlc: {sentence}"


@pytest.mark.parametrize(("side", "shown"), [("last", "'last'"), (None, "NULL")])
def test_a_price_side_that_does_not_exist_is_refused(connection: Connection, side: str | None, shown: str) -> None:
    """The message names the sides there are."""
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        ohlc(connection, "1 minute", None, None, side)
    assert caught.value.diag.message_primary == f"ohlc: the price side is {shown}, it must be trade, bid, ask or mid."


@pytest.mark.usefixtures("ticks")
@pytest.mark.parametrize(
    ("view", "level"), [("one_min_candle", "1m"), ("one_hour_candle", "1h"), ("one_day_candle", "1d")]
)
def test_the_tutorials_views_show_the_candles(connection: Connection, market: Market, view: str, level: str) -> None:
    """With the columns and in the order that the tutorial gives them."""
    cursor = connection.execute(f"SELECT * FROM {view} ORDER BY symbol, bucket")
    assert [column.name for column in cursor.description or ()] == [
        *("bucket", "symbol", "open", "high", "low", "close", "day_volume")
    ]
    assert [(row[0], row[1], row[5]) for row in cursor.fetchall()] == [
        (candle.bucket, candle.symbol, candle.close) for candle in market.expected(level)
    ]


@pytest.mark.usefixtures("ticks")
def test_the_tutorials_candle_query_gives_the_candles(connection: Connection, market: Market) -> None:
    """As a reader of TimescaleDB's tutorial types it."""
    rows = connection.execute(
        """
        SELECT
            time_bucket('1 day', "time") AS day,
            symbol,
            max(price) AS high,
            first(price, time) AS open,
            last(price, time) AS close,
            min(price) AS low
        FROM stocks_real_time srt
        GROUP BY day, symbol
        ORDER BY symbol, day
        """
    ).fetchall()
    assert rows == [(c.bucket, c.symbol, c.high, c.open, c.close, c.low) for c in market.expected("1d")]


def test_the_tutorials_daily_change_query_runs(connection: Connection, market: Market) -> None:
    """Candles, window functions and companies together."""
    connection.execute("INSERT INTO company (symbol, name) VALUES ('AAPL', 'Apple')")
    market.insert(tick(f"2022-10-{day} 12:00:00", price) for day, price in (("18", 100.0), ("19", 110.0)))
    rows = connection.execute(
        """
        SELECT bucket, name, close, close - lag(close, 1) OVER (PARTITION BY symbol ORDER BY bucket) AS change
        FROM one_day_candle JOIN company USING (symbol)
        WHERE bucket >= '2022-10-18' ORDER BY bucket DESC LIMIT 1
        """
    ).fetchall()
    assert rows == [(datetime(2022, 10, 19, tzinfo=UTC), "Apple", 110.0, 10.0)]


def test_a_candle_says_what_its_volume_follows_from(connection: Connection, market: Market) -> None:
    """Sizes of trades alone, or a running total too; of every way in which candles are computed."""
    market.insert(
        [
            tick("2022-10-19 12:00:00", 1.0, volume=5.0),
            tick("2022-10-19 12:01:00", 1.0, volume=5.0),
            tick("2022-10-19 13:00:00", 1.0, volume=7.0, day_volume=100.0),
            tick("2022-10-19 13:01:00", 1.0, volume=2.0),
            tick("2022-10-19 14:00:00", 1.0),
        ]
    )
    for period in ("30 seconds", "1 minute", "10 minutes", "1 hour"):
        rows = connection.execute(
            "SELECT extract(hour FROM bucket AT TIME ZONE 'UTC')::int, array_agg(volume_from ORDER BY bucket)"
            " FROM ohlc('AAPL', %s, '2022-10-19 12:00+00', '2022-10-19 15:00+00') GROUP BY 1",
            [period],
        ).fetchall()
        found = dict(rows)
        assert set(found[12]) == {"sizes"}, period
        assert found[13][0] == "day_volume", period
        assert set(found[14]) == {None}, period
    days = connection.execute("SELECT volume_from FROM ohlc('AAPL', '1 day', NULL, NULL, zone => 'Asia/Tokyo')")
    assert days.fetchall() == [("day_volume",)]


def test_volumes_of_quotes_are_sizes(connection: Connection) -> None:
    """They have no running total."""
    connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [START, START])
    connection.execute(
        "INSERT INTO quotes (time, symbol, bid, ask, bid_volume) VALUES (%s, 'EUR/USD', 1, 2, 3)", [START]
    )
    for side in ("bid", "mid"):
        row = connection.execute("SELECT volume_from FROM ohlc('EUR/USD', '1 hour', NULL, NULL, %s)", [side]).fetchone()
        assert row == ("sizes",)
