"""Daily bars of the vendor: days and longer periods show them where there is no candle, and nothing shorter does."""

from datetime import UTC, datetime, timedelta

import pytest

from candleworks.candles.audit import audit
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from tests.candles.conftest import Market, tick

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def barred(market: Market) -> Connection:
    """Daily bars of three weeks and of another symbol, and ticks of the last Wednesday and of one day after it."""
    market.connection.execute(
        "INSERT INTO daily_bars (symbol, bucket, open, high, low, close, volume, feed, received_at)"
        " SELECT s, %s + n * interval '1 day', 10 + n, 20 + n, 5 + n, 15 + n, 100, 'stocks', now()"
        " FROM generate_series(0, 16) n, unnest(ARRAY['AAPL', 'MSFT']) s",
        [MONDAY],
    )
    market.insert(
        [
            tick("2026-03-18 12:00:00", 1.0, volume=3.0),
            tick("2026-03-18 12:00:10", 2.0, volume=1.0),
            tick("2026-03-19 12:00:00", 4.0),
        ]
    )
    return market.connection


def test_days_begin_with_daily_bars(barred: Connection) -> None:
    """Before and after the ticks are refreshed; what is traded on a day wins over its bar."""
    for _ in range(2):
        days = barred.execute(
            "SELECT bucket, open, high, low, close, volume, ticks FROM ohlc('AAPL', '1 day', NULL, NULL)"
        ).fetchall()
        assert len(days) == 18
        assert days[0] == (MONDAY, 10.0, 20.0, 5.0, 15.0, 100.0, 0)
        assert days[-2:] == [
            (MONDAY + 16 * DAY, 1.0, 2.0, 1.0, 2.0, 4.0, 2),
            (MONDAY + 17 * DAY, 4.0, 4.0, 4.0, 4.0, None, 1),
        ]
        refresh(barred)


def test_a_bounded_range_has_no_other_day(barred: Connection) -> None:
    """Neither a bar nor a candle from outside of it."""
    days = barred.execute(
        "SELECT bucket FROM ohlc('AAPL', '1 day', %s, %s)", [MONDAY + 15 * DAY, MONDAY + 17 * DAY]
    ).fetchall()
    assert days == [(MONDAY + 15 * DAY,), (MONDAY + 16 * DAY,)]


def test_weeks_and_months_are_built_from_them(barred: Connection) -> None:
    """A week with bars and ticks is made of both."""
    weeks = barred.execute(
        "SELECT bucket, open, high, low, close, volume, ticks FROM ohlc('AAPL', '1 week', NULL, NULL)"
    ).fetchall()
    assert weeks == [
        (MONDAY, 10.0, 26.0, 5.0, 21.0, 700.0, 0),
        (MONDAY + 7 * DAY, 17.0, 33.0, 12.0, 28.0, 700.0, 0),
        (MONDAY + 14 * DAY, 24.0, 35.0, 1.0, 4.0, 204.0, 3),
    ]
    (month,) = barred.execute("SELECT open, high, low, close FROM ohlc('AAPL', '1 month', NULL, NULL)").fetchall()
    assert month == (10.0, 35.0, 1.0, 4.0)


def test_shorter_periods_and_quotes_do_not_show_them(barred: Connection) -> None:
    """Nor does tick_candles_1d, which is what the ticks say."""
    for period in ("1 minute", "4 hours", "12 hours"):
        starts = barred.execute("SELECT bucket FROM ohlc('AAPL', %s, NULL, NULL)", [period]).fetchall()
        assert [start >= MONDAY + 16 * DAY for (start,) in starts] == [True, True]
    assert barred.execute("SELECT FROM ohlc('AAPL', '1 day', NULL, NULL, 'mid')").fetchall() == []
    assert barred.execute("SELECT count(*) FROM tick_candles_1d").fetchone() == (2,)


def test_views_of_days_show_them(barred: Connection) -> None:
    """candles_1d marks them, the tutorial's view has them, and dashboards draw them."""
    counts = barred.execute("SELECT symbol, count(*), count(*) FILTER (WHERE rebuilt) FROM candles_1d GROUP BY 1")
    assert sorted(counts.fetchall()) == [("AAPL", 18, 16), ("MSFT", 17, 17)]
    assert barred.execute(
        "SELECT * FROM one_day_candle WHERE symbol = 'AAPL' AND bucket = %s", [MONDAY]
    ).fetchall() == [(MONDAY, "AAPL", 10.0, 20.0, 5.0, 15.0, 100.0)]
    assert barred.execute("SELECT count(*) FROM one_day_candle").fetchone() == (35,)
    drawn = barred.execute(
        "SELECT time, open, volume FROM dashboards.candles('AAPL', '24 hours', %s, %s, 'trade') WHERE open IS NOT NULL",
        [MONDAY, MONDAY + 17 * DAY],
    ).fetchall()
    assert (len(drawn), drawn[0], drawn[-1]) == (18, (MONDAY, 10.0, 100.0), (MONDAY + 17 * DAY, 4.0, None))


def test_a_bar_is_shown_again_when_the_ticks_are_gone(barred: Connection) -> None:
    """Such as those of an import that is undone."""
    barred.execute("DELETE FROM stocks_real_time WHERE time < %s", [MONDAY + 17 * DAY])
    for _ in range(2):
        found = barred.execute("SELECT open FROM ohlc('AAPL', '1 day', %s, %s)", [MONDAY + 16 * DAY, MONDAY + 17 * DAY])
        assert found.fetchall() == [(26.0,)]
        refresh(barred)


def test_the_audit_does_not_look_at_them(barred: Connection) -> None:
    """A day without ticks has no candle, and a bar is none; nor does a level have to follow from the one below."""
    refresh(barred)
    assert audit(barred, None, None).differences == []
    assert (
        barred.execute(
            "SELECT FROM candleworks.level_differences('1d', '4h', ARRAY['AAPL', 'MSFT'], %s, %s)",
            [MONDAY, MONDAY + 20 * DAY],
        ).fetchall()
        == []
    )
