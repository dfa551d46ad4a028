"""Every fault of candles is found, with the right subject and rows."""

from datetime import datetime, timedelta

import pytest

from candleworks.database.engine import Engine
from candleworks.quality import windows
from tests.candles.conftest import stored_table
from tests.quality.conftest import FEED, NOW, Watched, failing

MINUTE = timedelta(minutes=1)
BUCKET = NOW - 10 * MINUTE


def corrupt(watched: Watched, engine: Engine, level: str, symbol: str, bucket: datetime, change: str) -> None:
    """Alter a stored candle behind the back of everything."""
    stored = stored_table(watched.connection, engine, level)
    cursor = watched.connection.execute(
        f"UPDATE {stored} SET {change} WHERE symbol = %s AND bucket = %s", [symbol, bucket]
    )
    assert cursor.rowcount == 1


def sample(watched: Watched, check: str, subject: str) -> list[dict[str, object]]:
    (row,) = watched.execute(
        'SELECT sample FROM quality_results WHERE "check" = %s AND subject = %s AND status = %s',
        check, subject, "failed",
    )  # fmt: skip
    return row[0]


def test_a_candle_whose_low_is_above_its_close_is_found(watched: Watched, engine: Engine) -> None:
    """The shape is wrong, so it differs from the level below too; nothing else is said."""
    corrupt(watched, engine, "15m", "AAPL", NOW - 45 * MINUTE, "low = high + 1")
    report = watched.check("candles")
    assert failing(report) == {("candle-shape", "AAPL"), ("candle-levels", "AAPL")}
    (row,) = [row for row in sample(watched, "candle-shape", "AAPL") if row["bucket"] == "2026-03-04T17:15:00+00:00"][
        :1
    ]
    assert row["relation"] == "candles_15m"
    assert row["symbol"] == "AAPL"
    (found,) = [result for result in report.failed if result.check == "candle-shape"]
    assert found.observed == "2 rows: close is below low, open is below low"


def test_a_candle_that_does_not_follow_from_the_level_below_is_found(watched: Watched, engine: Engine) -> None:
    """The sample shows the level, the bucket, what is stored and what should be."""
    corrupt(watched, engine, "5m", "BTC/USD", NOW - 20 * MINUTE, "ticks = ticks + 1")
    report = watched.check("candles")
    assert failing(report) == {("candle-levels", "BTC/USD")}
    rows = sample(watched, "candle-levels", "BTC/USD")
    assert {"5m"} <= {row["level"] for row in rows} <= {"5m", "15m"}
    assert rows[0]["bucket"] == "2026-03-04T17:40:00+00:00"
    assert rows[0]["stored"]["ticks"] == rows[0]["expected"]["ticks"] + 1  # type: ignore[index]


def test_a_candle_that_is_not_what_its_ticks_say_is_found(watched: Watched, engine: Engine) -> None:
    """All levels agree with each other, and are wrong."""
    for level, bucket in (("1m", BUCKET), ("5m", BUCKET), ("15m", NOW - 15 * MINUTE), ("1h", NOW - 60 * MINUTE)):
        if engine is Engine.TIMESCALE and level == "1h":
            continue  # 18:00 has not passed: the hour is computed when it is read
        corrupt(watched, engine, level, "EUR/USD", bucket, "volume = volume + 7")
    report = watched.check("candles", until=NOW - timedelta(seconds=1))
    assert ("candle-audit", "EUR/USD") in failing(report)
    assert {subject for _, subject in failing(report)} == {"EUR/USD"}
    (row,) = sample(watched, "candle-audit", "EUR/USD")
    assert row["bucket"] == "2026-03-04T17:50:00+00:00"
    assert row["stored"]["volume"] == row["expected"]["volume"] + 7  # type: ignore[index]


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_a_symbol_that_was_found_wrong_is_in_every_sample(
    watched: Watched, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs that look at others do not say that it is well; nor that all are."""
    monkeypatch.setattr(windows, "AUDITED_TICKS", 0)
    corrupt(watched, engine, "1m", "AAPL", BUCKET, "volume = volume + 7")
    assert ("candle-audit", "AAPL") in failing(watched.check("candles"))
    watched.configured(candles={"audited_symbols": 1})
    for minute in range(1, 4):
        report = watched.check("candles", since=NOW - 30 * MINUTE, until=NOW + minute * MINUTE)
        assert ("candle-audit", "AAPL") in failing(report)
    watched.execute("DELETE FROM quality_results")
    watched.configured(candles={"audited_symbols": 2})
    corrupt(watched, engine, "1m", "AAPL", BUCKET, "volume = volume - 7")
    (found,) = [found for found in watched.check("candles").results if found.check == "candle-audit"]
    assert (found.observed or "").endswith(" new ticks of 2 symbols")


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_a_minute_whose_ticks_still_come_is_audited_by_the_next_run(watched: Watched, engine: Engine) -> None:
    """Its candle holds ticks that came after the run had begun; a fault of it is found all the same."""
    assert failing(watched.check("candles", until=NOW - timedelta(seconds=30))) == set()
    corrupt(watched, engine, "1m", "AAPL", NOW - MINUTE, "volume = volume + 7")
    assert ("candle-audit", "AAPL") not in failing(watched.check("candles", until=NOW - timedelta(seconds=20)))
    assert ("candle-audit", "AAPL") in failing(watched.check("candles", until=NOW + timedelta(seconds=10)))


def test_a_candle_that_only_waits_for_its_refresh_is_no_fault(watched: Watched) -> None:
    """Ticks that nobody refreshed for yet are refreshed before the check complains."""
    watched.tick("AAPL", NOW - 20 * MINUTE + timedelta(seconds=1), 259.0)
    assert failing(watched.check("candles")) == set()


def test_missing_minutes_are_found_when_a_candle_follows(watched: Watched) -> None:
    """The ticks of 20 minutes are missing, and no gap is recorded."""
    watched.execute(
        "DELETE FROM stocks_real_time WHERE symbol = 'MSFT' AND time >= %s AND time < %s",
        NOW - 40 * MINUTE, NOW - 20 * MINUTE,
    )  # fmt: skip
    watched.refresh()
    report = watched.check("candles")
    assert failing(report) == {("empty-minutes", "MSFT")}
    assert report.failed[0].observed == "20 minutes without a candle in market hours, from 2026-03-04 17:20 UTC"
    assert sample(watched, "empty-minutes", "MSFT")[0]["start"] == "2026-03-04T17:20:00+00:00"


@pytest.mark.parametrize("symbol", ["MSFT", None])
def test_a_recorded_gap_is_no_empty_minute(watched: Watched, symbol: str | None) -> None:
    """`unfilled-gaps` reports what the feed itself recorded as missing."""
    start, stop = NOW - 40 * MINUTE, NOW - 20 * MINUTE
    watched.execute("DELETE FROM stocks_real_time WHERE symbol = 'MSFT' AND time >= %s AND time < %s", start, stop)
    watched.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason) VALUES (%s, %s, %s, %s, 'silence')",
        FEED, symbol, start, stop,
    )  # fmt: skip
    watched.refresh()
    assert failing(watched.check("candles")) == set()


def test_a_gap_of_a_feed_without_the_symbol_explains_nothing(watched: Watched) -> None:
    """A gap of all symbols affects those of its own feed."""
    start, stop = NOW - 40 * MINUTE, NOW - 20 * MINUTE
    watched.execute("DELETE FROM stocks_real_time WHERE symbol = 'MSFT' AND time >= %s AND time < %s", start, stop)
    watched.execute(
        "INSERT INTO feed_symbols (feed, symbol, status, since) VALUES ('coins', 'BTC/USD', 'streaming', %s)", start
    )
    watched.execute(
        "INSERT INTO feed_gaps (feed, started_at, ended_at, reason) VALUES ('coins', %s, %s, 'silence')", start, stop
    )
    watched.refresh()
    assert ("empty-minutes", "MSFT") in failing(watched.check("candles"))


def test_a_filled_gap_explains_nothing(watched: Watched) -> None:
    """Minutes that are still empty after a gap was filled are quiet, as candles_filled() calls them."""
    start, stop = NOW - 40 * MINUTE, NOW - 20 * MINUTE
    watched.execute("DELETE FROM stocks_real_time WHERE symbol = 'MSFT' AND time >= %s AND time < %s", start, stop)
    watched.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason, filled_at)"
        " VALUES (%s, 'MSFT', %s, %s, 'silence', %s)",
        FEED, start, stop, NOW,
    )  # fmt: skip
    watched.refresh()
    assert failing(watched.check("candles")) == {("empty-minutes", "MSFT")}
    shown = watched.execute("SELECT DISTINCT status FROM candles_filled('MSFT', '1 minute', %s, %s)", start, stop)
    assert shown == [("quiet",)]
