"""What failed is looked at again until it is right: newer rows say nothing about older ones."""

from datetime import timedelta

import pytest

from candleworks.candles.audit import audit
from candleworks.database.engine import Engine
from candleworks.quality import Report
from tests.quality.conftest import NOW, PRICES, Watched, failing, stats
from tests.quality.test_candle_checks import corrupt

ON_PLAIN_POSTGRESQL = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
MINUTE = timedelta(minutes=1)
YESTERDAY = NOW.replace(hour=0) - timedelta(days=1)
EARLY = NOW.replace(hour=16, minute=10)  # before the window of the first run


def next_run(watched: Watched, number: int, suite: str = "candles") -> Report:
    """Five minutes later, each symbol has new ticks."""
    moment = NOW + 5 * number * MINUTE
    for symbol in PRICES:
        watched.tick(symbol, moment - MINUTE)
    watched.refresh()
    return watched.check(suite, until=moment)


def alerts(watched: Watched) -> list[tuple[str, str, str]]:
    return watched.execute('SELECT "check", subject, status FROM alerts ORDER BY 1, 2')  # type: ignore[return-value]


WRONG = {
    "AAPL": ("1m", EARLY),
    "BTC/USD": ("5m", EARLY + 30 * MINUTE),
    "ETH/USD": ("1h", NOW.replace(hour=17)),
    "EUR/USD": ("1d", YESTERDAY),
}  # of different times: on TimescaleDB the levels above a candle that was altered are computed anew, of all symbols


def test_a_wrong_candle_fails_until_it_is_repaired(watched: Watched, engine: Engine) -> None:
    """An ordinary run sees it at every level, newer windows do not end its alert, and its repair does, and says so."""
    watched.tick("EUR/USD", YESTERDAY + timedelta(hours=12), received_at=YESTERDAY)
    watched.refresh()
    for symbol, (level, bucket) in WRONG.items():
        corrupt(watched, engine, level, symbol, bucket, "high = high * 2")
    wrong = {("candle-levels", symbol) for symbol in WRONG if symbol != "AAPL"} | {("candle-audit", "AAPL")}
    for number in range(1, 4):
        assert failing(next_run(watched, number)) >= wrong
    assert {(check, symbol, "open") for check, symbol in wrong} <= set(alerts(watched))
    assert audit(watched.connection, None, None, repair=True).repaired >= len(WRONG)
    for number in range(4, 6):
        assert failing(next_run(watched, number)) == set()
    assert {status for _, _, status in alerts(watched)} == {"resolved"}
    told = watched.execute("SELECT observed FROM alert_events WHERE event = 'resolved'")
    assert len(told) >= len(WRONG)
    assert all("; the audit repaired " in observed for (observed,) in told)


def test_a_wrong_candle_of_long_ago_is_found_in_its_turn(watched: Watched, engine: Engine) -> None:
    """Each run looks at one more stored day, the newest first, and begins anew after the oldest."""
    days = [YESTERDAY - timedelta(days=days) for days in (2, 9, 40)]
    for day in days:
        watched.tick("EUR/USD", day + timedelta(hours=12), received_at=YESTERDAY)
    watched.refresh()
    assert failing(watched.check("candles")) == set()
    corrupt(watched, engine, "1h", "EUR/USD", days[1] + timedelta(hours=12), "low = low / 2")
    assert failing(watched.check("candles")) == {("candle-levels", "EUR/USD")}
    corrupt(watched, engine, "1m", "EUR/USD", days[0] + timedelta(hours=12), "volume = 7")
    assert ("candle-audit", "EUR/USD") not in failing(watched.check("candles"))  # the turn of the oldest
    assert failing(watched.check("candles")) == {("candle-levels", "EUR/USD"), ("candle-audit", "EUR/USD")}


@ON_PLAIN_POSTGRESQL
def test_wrong_ticks_fail_until_they_are_corrected(watched: Watched) -> None:
    """Newer ticks that are right do not end the alerts of those that are stored as they were."""
    second = NOW - MINUTE + timedelta(seconds=1)
    watched.tick("AAPL", second, 0.0)
    watched.tick("MSFT", second, 800.0)
    watched.tick("ETH/USD", NOW + 10 * MINUTE, received_at=second)
    watched.tick("EUR/USD", second - MINUTE, bid=1.09, ask=1.08)
    watched.execute("DELETE FROM stocks_real_time WHERE symbol = 'BTC/USD' AND time = %s", NOW - 5 * MINUTE)
    watched.execute(
        "UPDATE stocks_real_time SET day_volume = 7 WHERE symbol = 'BTC/USD' AND time >= %s",
        NOW - timedelta(seconds=90),
    )
    stay = {
        ("price-positive", "AAPL"),
        ("price-jump", "MSFT"),
        ("future-ticks", "ETH/USD"),
        ("ordinal-gaps", "BTC/USD"),
        ("volume-decrease", "BTC/USD"),
    }
    assert failing(watched.check("ticks")) == stay | {("crossed-quotes", "EUR/USD")}
    for number in (4, 5):
        assert failing(next_run(watched, number, "ticks")) == stay
    assert [alert for alert in alerts(watched) if alert[2] == "resolved"] == [("crossed-quotes", "EUR/USD", "resolved")]
    watched.execute("DELETE FROM stocks_real_time WHERE time = %s AND symbol IN ('AAPL', 'MSFT')", second)
    watched.execute("DELETE FROM stocks_real_time WHERE symbol = 'ETH/USD' AND time = %s", NOW + 10 * MINUTE)
    watched.execute("DELETE FROM stocks_real_time WHERE symbol = 'BTC/USD' AND time < %s", NOW - MINUTE)
    for number in (6, 7):
        assert failing(next_run(watched, number, "ticks")) == set()
    assert {status for _, _, status in alerts(watched)} == {"resolved"}


SILENT = {("freshness", symbol) for symbol in PRICES if symbol != "MSFT"}


@ON_PLAIN_POSTGRESQL
def test_a_price_that_later_ticks_confirm_is_no_jump_any_more(watched: Watched) -> None:
    """After a split nobody has to correct anything: the alert ends when the new level has lasted."""
    watched.tick("MSFT", NOW - MINUTE + timedelta(seconds=1), 102.5)
    assert failing(watched.check("ticks")) == {("price-jump", "MSFT")}
    for seconds in range(0, 40 * 60, 10):
        watched.tick("MSFT", NOW + timedelta(seconds=seconds), 102.5)
    assert failing(watched.check("ticks", until=NOW + 40 * MINUTE)) == {("price-jump", "MSFT")} | SILENT
    for number in (41, 42):
        assert failing(watched.check("ticks", until=NOW + number * MINUTE)) == SILENT
    assert ("price-jump", "MSFT", "resolved") in alerts(watched)


@ON_PLAIN_POSTGRESQL
def test_what_a_person_accepts_is_not_looked_at_again(watched: Watched) -> None:
    """An alert that is resolved by hand stays resolved, though its rows are as they were."""
    watched.execute("DELETE FROM stocks_real_time WHERE symbol = 'BTC/USD' AND time = %s", NOW - 5 * MINUTE)
    assert failing(watched.check("ticks")) == {("ordinal-gaps", "BTC/USD")}
    watched.execute("SELECT resolve_alert(id) FROM alerts")
    report = next_run(watched, 2, "ticks")
    assert failing(report) == set()
    (found,) = [result for result in report.results if result.subject == "BTC/USD"]
    assert found.observed == "accepted: its alert was resolved by hand"
    assert alerts(watched) == [("ordinal-gaps", "BTC/USD", "resolved")]


@ON_PLAIN_POSTGRESQL
def test_a_feed_without_statistics_does_not_pass(watched: Watched) -> None:
    """Nothing is known about it, so its alert stays. When it passes, the result has the value."""
    for seconds in range(10, 3600, 10):
        watched.execute("UPDATE ingest_stats SET lag_ms_p99 = 9000 WHERE at = %s", NOW - timedelta(seconds=seconds))
    assert failing(watched.check("system")) == {("ingest-lag", "feed/twelvedata")}
    for minutes in (10, 15):
        watched.check("system", until=NOW + minutes * MINUTE)
    assert alerts(watched) == [("ingest-lag", "feed/twelvedata", "open")]
    for minutes in (20, 25):
        stats(watched.connection, NOW + minutes * MINUTE - timedelta(seconds=5), lag_ms_p99=80.0)
        report = watched.check("system", until=NOW + minutes * MINUTE)
    assert [r.observed for r in report.results if r.subject == "feed/twelvedata"] == ["p99 lag 80 ms"]
    assert alerts(watched) == [("ingest-lag", "feed/twelvedata", "resolved")]
