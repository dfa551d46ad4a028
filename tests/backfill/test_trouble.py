"""Backfill when it is interrupted, when the vendor does not answer as hoped, and when credits are scarce."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from candleworks.candles.calendars import sync_calendars
from candleworks.database.engine import Engine
from candleworks.vendor.credits import Credits, NoCreditsTodayError
from tests.backfill.conftest import NewFeed
from tests.cli.commands import started
from tests.gapfill.filling import MINUTE, SYMBOLS

PATIENCE_SECONDS = 60

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def test_a_killed_run_is_continued(new_feed: NewFeed, tmp_path: Path) -> None:
    """What was stored before a kill -9 stays, and is not stored again."""
    new_feed.stream("BTC/USD")
    feed = {"name": "crypto", "symbols": ["BTC/USD"], "backfill_days": 5}
    (tmp_path / "candleworks.yaml").write_text(json.dumps({"feeds": [feed], "rest": {"credits_per_minute": 1}}))
    assert new_feed.settings.dsn
    variables = {
        "CANDLEWORKS_DSN": new_feed.settings.dsn.get_secret_value(),
        "CANDLEWORKS_REST_URL": new_feed.settings.rest_url,
    }
    with started("backfill", directory=tmp_path, **variables) as running:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not new_feed.bar_ticks():
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.kill()
        running.wait(PATIENCE_SECONDS)
    assert new_feed.found("outcome") == {"BTC/USD": "loading"}
    kept = new_feed.found("bars")["BTC/USD"]
    assert 0 < kept <= 5_000
    while new_feed.rows("SELECT FROM pg_stat_activity WHERE application_name = 'candleworks backfill'"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    report = new_feed.load(new_feed.wanting(5), "BTC/USD")
    assert report.outcomes == "1 complete"
    assert new_feed.found("bars")["BTC/USD"] == kept + report.bars
    new_feed.assert_audited()


@pytest.mark.parametrize(
    ("fault", "outcome", "words", "pause"),
    [
        ({"status": 404}, "refused", "refused with status 404", timedelta(days=1)),
        ({"status": 500, "times": 3}, "failed", "failed with status 500", timedelta(minutes=1)),
    ],
)
def test_a_failure_is_recorded_and_waits(
    new_feed: NewFeed, fault: dict[str, object], outcome: str, words: str, pause: timedelta
) -> None:
    """The other symbols are loaded; a run before the time of the next attempt asks for nothing."""
    new_feed.stream()
    new_feed.vendor.running.fail_bars(**fault, symbol="ETH/USD")  # type: ignore[arg-type]
    try:
        report = new_feed.load()
        assert (report.complete, report.outcomes) == (False, f"2 complete, 1 {outcome}")
        assert words in new_feed.found("reason")["ETH/USD"]
        assert new_feed.found("retry_at")["ETH/USD"] > datetime.now(UTC) + pause - MINUTE
        asked = new_feed.requests()
        assert (new_feed.load().outcomes, new_feed.requests()) == ("nothing to load", asked)
    finally:
        while new_feed.load(None, "ETH/USD").outcomes != "1 complete":  # used up for the other tests
            pass


def test_a_vendor_that_is_away_is_not_asked_for_every_symbol(new_feed: NewFeed) -> None:
    """After three symbols that failed the run ends, and says so."""
    new_feed.stream()
    away = new_feed.settings.model_copy(update={"rest_url": "http://127.0.0.1:9"})
    report = new_feed.load(away)
    assert report.stopped == "The vendor failed for 3 symbols in a row: it is tried again later."
    assert set(new_feed.found("outcome").values()) == {"failed"}
    assert set(new_feed.found("attempts").values()) == {1}


def test_a_rejected_key_ends_the_run(new_feed: NewFeed) -> None:
    """With one request, and the reason at every symbol; it is tried again after a while."""
    new_feed.stream()
    new_feed.vendor.running.fail_bars(401, "wrong key")
    report = new_feed.load()
    assert report.stopped
    assert "rejected the API key (wrong key)" in report.stopped
    assert (new_feed.requests(), set(new_feed.found("outcome").values())) == (1, {"failed"})
    assert new_feed.load().outcomes == "nothing to load"


def test_a_run_ends_with_the_days_credits(new_feed: NewFeed) -> None:
    """What is left goes on later; a fifth of the day's credits is kept for gaps."""
    new_feed.stream()
    report = new_feed.load(new_feed.wanting(1, credits_per_day=5))
    assert report.stopped
    assert report.stopped.startswith("Today's API credits are used up (4 of 5, and the rest is kept for gaps)")
    assert "loading" in new_feed.found("outcome").values()
    assert new_feed.load(new_feed.wanting(1, credits_per_day=5)).credits == 0


def test_credits_that_open_gaps_need_are_left_to_them(new_feed: NewFeed) -> None:
    """As many as nobody has tried to fill."""
    new_feed.stream()
    sync_calendars(new_feed.connection, new_feed.settings)
    new_feed.connection.execute(
        "INSERT INTO feed_symbols (feed, symbol, status, since) SELECT 'crypto', s, 'streaming', now()"
        " FROM unnest(%s::text[]) s",
        [list(SYMBOLS)],
    )
    new_feed.book(new_feed.started + MINUTE, new_feed.started + 2 * MINUTE)
    report = new_feed.load(new_feed.wanting(1, credits_per_day=4))
    assert (report.credits, report.stopped is not None) == (1, True)
    assert new_feed.fill(new_feed.wanting(1, credits_per_day=4)).complete


def test_checks_leave_credits_to_backfill(new_feed: NewFeed) -> None:
    """Of ten a day gaps may take all, backfill eight, checks six."""
    limited = new_feed.wanting(1, credits_per_day=10)
    for purpose, amount in (("checks", 6), ("backfill", 2), ("gaps", 2)):
        budget = Credits(new_feed.connection, limited, purpose=purpose)  # type: ignore[arg-type]
        budget.spend(amount)
        with pytest.raises(NoCreditsTodayError):
            budget.spend()


def test_what_the_feed_was_refused_is_not_requested(new_feed: NewFeed) -> None:
    """A symbol that the vendor does not stream costs no credit."""
    new_feed.connection.execute(
        "INSERT INTO feed_symbols (feed, symbol, status, reason, since)"
        " VALUES ('crypto', 'ETH/USD', 'refused', 'not in your plan', now())"
    )
    new_feed.load()
    assert sorted(new_feed.found("outcome")) == ["BTC/USD", "EUR/USD"]


def test_an_unusable_bar_is_left_out(new_feed: NewFeed) -> None:
    """It does not end the history, nor is it requested again and again."""
    new_feed.stream("BTC/USD")
    minute = new_feed.started.replace(second=0) - 5 * MINUTE
    values = [
        f'{{"datetime": "{minute + number * MINUTE:%Y-%m-%d %H:%M:%S}", "open": "2", "high": "{high}", "low": "1",'
        ' "close": "2"}'
        for number, high in enumerate(("3", "nan"))
    ]
    new_feed.vendor.running.fail_bars(200, f'{{"status": "ok", "values": [{", ".join(values)}]}}')
    new_feed.load(None, "BTC/USD")
    assert len(new_feed.candles("BTC/USD", minute, minute + 2 * MINUTE)) == 1
    assert new_feed.load().outcomes != "1 loading"
