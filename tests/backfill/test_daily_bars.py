"""Daily bars from before the minutes of a symbol: which are requested, when, and where they are stored."""

import json
from datetime import UTC, datetime

import pytest

from candleworks.backfill import backfill
from candleworks.backfill.report import BackfillProgress
from candleworks.database.engine import Engine
from candleworks.settings import Settings
from candleworks.storage.candle_reads import CandleSeries, candle_bounds
from tests.backfill.conftest import DAY, NewFeed
from tests.backfill.test_checks import check
from tests.quality.conftest import failing

SYMBOL = "BTC/USD"


def with_years(new_feed: NewFeed, years: int, **rest: object) -> Settings:
    settings = new_feed.wanting(1, **rest)
    (feed,) = settings.feeds
    return settings.model_copy(update={"feeds": (feed.model_copy(update={"backfill_years": years}),)})


def row(date: datetime, price: float = 2.0, **changes: str) -> dict[str, str]:
    values = {"open": f"{price}", "high": f"{price + 1}", "low": f"{price - 1}", "close": f"{price}", "volume": "7"}
    return {"datetime": f"{date:%Y-%m-%d}", **values, **changes}


def answer(new_feed: NewFeed, *rows: dict[str, str], symbol: str = SYMBOL) -> None:
    """Let the simulator answer the next request with these bars."""
    new_feed.vendor.running.fail_bars(200, json.dumps({"status": "ok", "values": rows}), symbol=symbol)


@pytest.fixture
def loaded(new_feed: NewFeed) -> NewFeed:
    """A symbol with minutes of yesterday and today."""
    new_feed.stream(SYMBOL)
    assert new_feed.load(None, SYMBOL).outcomes == "1 complete"
    new_feed.asked_before = new_feed.vendor.running.stats()["bar_requests"]
    return new_feed


def test_days_before_the_minutes_equal_the_vendors(new_feed: NewFeed) -> None:
    """Of all days that the simulator has; they end where the minutes begin, and no level but days has them."""
    new_feed.stream(SYMBOL, minutes=8)
    report = new_feed.load(with_years(new_feed, 20), SYMBOL)
    start = new_feed.midnight(1)
    assert (report.complete, report.outcomes, report.daily_bars) == (True, "1 complete", 179)
    assert (new_feed.found("daily_bars"), new_feed.found("daily_from < wanted_from")) == ({SYMBOL: 179}, {SYMBOL: True})
    minutes = new_feed.vendor.bars(SYMBOL, start - DAY, start)
    last = new_feed.rows("SELECT open, high, low, close, volume FROM daily_bars ORDER BY bucket DESC LIMIT 1")[0]
    prices = list(zip(*minutes.values(), strict=True))
    assert last == (prices[0][0], max(prices[1]), min(prices[2]), prices[3][-1], sum(prices[4]))
    days = new_feed.rows("SELECT min(bucket), max(bucket), count(*) FROM ohlc('BTC/USD', '1 day', NULL, NULL)")[0]
    assert days == (start - 179 * DAY, start + DAY, 181)
    assert new_feed.rows("SELECT min(bucket) FROM ohlc('BTC/USD', '4 hours', NULL, NULL)") == [(start,)]
    new_feed.assert_audited()
    assert failing(check(new_feed, (SYMBOL,))) == set()


def test_they_are_requested_once(loaded: NewFeed) -> None:
    """With one request; the date on which the minutes begin is no part of it, and a second run asks for nothing."""
    date = loaded.midnight(1)
    answer(loaded, row(date), row(date - DAY, 5.0), row(date - 3 * DAY, 6.0))
    report = loaded.load(with_years(loaded, 1), SYMBOL)
    assert (report.outcomes, report.stored, loaded.requests()) == ("1 complete", "0 bars and 2 daily bars", 1)
    assert loaded.rows("SELECT bucket, open, high, low, close, volume, feed FROM daily_bars ORDER BY 1") == [
        (date - 3 * DAY, 6.0, 7.0, 5.0, 6.0, 7.0, "crypto"),
        (date - DAY, 5.0, 6.0, 4.0, 5.0, 7.0, "crypto"),
    ]
    assert loaded.load(with_years(loaded, 1), SYMBOL).outcomes == "1 complete"
    assert loaded.load(loaded.wanting(1), SYMBOL).outcomes == "1 complete"
    assert loaded.requests() == 1


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_bars_that_are_loaded_again_replace_what_is_stored(loaded: NewFeed) -> None:
    """As after a split; no minute is requested again."""
    date = loaded.midnight(1)
    answer(loaded, row(date - DAY, 50.0))
    loaded.load(with_years(loaded, 1), SYMBOL)
    loaded.connection.execute("UPDATE backfills SET daily_from = NULL, outcome = 'loading' WHERE symbol = 'BTC/USD'")
    answer(loaded, row(date - DAY, 5.0))
    loaded.load(loaded.wanting(1), SYMBOL)
    assert (loaded.rows("SELECT open FROM daily_bars"), loaded.requests()) == ([(5.0,)], 2)


def test_more_years_extend_what_is_there(loaded: NewFeed) -> None:
    """Only the earlier ones are requested, also when a person asks for them."""
    date = loaded.midnight(1)
    answer(loaded, row(date - DAY), row(date - 400 * DAY))
    loaded.load(with_years(loaded, 1), SYMBOL)
    assert loaded.rows("SELECT count(*) FROM daily_bars") == [(1,)]  # the other one is older than a year
    first = loaded.found("daily_from")[SYMBOL]
    assert abs(first - (datetime.now(UTC) - 365 * DAY)) < 2 * DAY
    answer(loaded, row(first), row(first - DAY), row(first - 500 * DAY))
    report = loaded.load(loaded.wanting(1), SYMBOL, years=3)
    assert (report.outcomes, report.daily_bars, loaded.requests()) == ("1 complete", 2, 2)
    assert loaded.found("daily_from")[SYMBOL] < first - 700 * DAY


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_an_interrupted_run_is_resumed(loaded: NewFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A response is stored with how far it reaches; here it holds 100 bars, and the second request never happens."""
    monkeypatch.setattr(backfill, "MAX_BARS", 100)
    steps: list[str] = []

    def interrupt(progress: BackfillProgress) -> None:
        steps.append(progress.now)
        if len(steps) > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loaded.load(loaded.wanting(1), SYMBOL, years=1, progress=interrupt)
    reached = loaded.midnight(1) - 99 * DAY
    assert steps[1] == f"daily bars of BTC/USD before {reached:%Y-%m-%d}"
    assert (loaded.found("outcome"), loaded.found("daily_bars")) == ({SYMBOL: "loading"}, {SYMBOL: 99})
    assert loaded.found("daily_from") == {SYMBOL: reached}
    resumed = loaded.load(loaded.wanting(1))
    assert resumed.records[0].outcome == "complete"
    assert resumed.daily_bars == 80
    assert loaded.rows("SELECT count(*), max(bucket) - min(bucket) FROM daily_bars") == [(179, 178 * DAY)]


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
@pytest.mark.parametrize(
    ("fault", "outcome", "words"),
    [
        ((403, "not in your plan"), "refused", "not in your plan"),
        ((500, "away"), "failed", "failed with status 500"),
        ((200, '{"values": [{"datetime": "2026-01-01 00:00:00", "open": "1"}]}'), "failed", "a bar without a date"),
    ],
)
def test_a_failure_leaves_the_minutes_alone(loaded: NewFeed, fault: tuple[int, str], outcome: str, words: str) -> None:
    """It is recorded and waits for its retry; then only the daily bars are requested."""
    loaded.vendor.running.fail_bars(*fault, symbol=SYMBOL)
    report = loaded.load(with_years(loaded, 1), SYMBOL)
    assert (report.complete, report.outcomes, loaded.requests()) == (False, f"1 {outcome}", 1)
    assert words in loaded.found("reason")[SYMBOL]
    assert loaded.found("retry_at")[SYMBOL] > datetime.now(UTC)
    answer(loaded, row(loaded.midnight(2)))
    report = loaded.load(with_years(loaded, 1), SYMBOL)
    assert (report.outcomes, report.stored, loaded.requests()) == ("1 complete", "0 bars and 1 daily bar", 2)


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_an_unusable_daily_bar_is_left_out(loaded: NewFeed) -> None:
    """A symbol without volume has none in its bars, either."""
    date = loaded.midnight(1)
    without_volume = row(date - DAY)
    del without_volume["volume"]
    answer(loaded, without_volume, row(date - 2 * DAY, high="nan"), row(date - 3 * DAY, high="1", low="3"))
    loaded.load(with_years(loaded, 1), SYMBOL)
    assert loaded.rows("SELECT bucket, volume FROM daily_bars") == [(date - DAY, None)]
    assert loaded.found("outcome") == {SYMBOL: "complete"}


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_a_vendor_without_daily_bars_completes_the_history(loaded: NewFeed) -> None:
    """It is not asked again."""
    loaded.vendor.running.fail_bars(400, "No data is available on the specified dates.", in_body=True, symbol=SYMBOL)
    settings = with_years(loaded, 30)
    assert loaded.load(settings, SYMBOL).outcomes == "1 complete"
    assert (loaded.load(settings, SYMBOL).outcomes, loaded.requests()) == ("1 complete", 1)


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_days_without_minutes(new_feed: NewFeed) -> None:
    """With backfill_days of 0 there are daily bars up to the last day that is over in every zone."""
    new_feed.stream(SYMBOL)
    settings = with_years(new_feed, 1)
    feed = settings.feeds[0].model_copy(update={"backfill_days": 0})
    end = (datetime.now(UTC) - DAY / 2).replace(hour=0, minute=0, second=0, microsecond=0)
    answer(new_feed, row(end), row(end - DAY), row(end - 2 * DAY))
    report = new_feed.load(settings.model_copy(update={"feeds": (feed,)}), SYMBOL)
    assert (report.outcomes, report.stored, new_feed.requests()) == ("1 complete", "0 bars and 2 daily bars", 1)
    assert new_feed.rows("SELECT max(bucket) FROM daily_bars") == [(end - DAY,)]


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_a_dry_run_counts_them(new_feed: NewFeed) -> None:
    """At most a credit for 5,000 days, beside those of the minutes."""
    new_feed.stream(SYMBOL)
    report = new_feed.load(with_years(new_feed, 20), SYMBOL, dry_run=True)
    (planned,) = report.planned
    assert (planned.wanted_from, planned.daily_wanted_from) == (new_feed.midnight(1), new_feed.midnight(7305))
    assert (planned.days, report.credits, new_feed.requests()) == (7304, 3, 0)


def test_the_page_reads_days_from_before_the_minutes(loaded: NewFeed) -> None:
    """Where to look for candles of days and weeks: from the first bar on, also before a time without a tick."""
    date = loaded.midnight(1)
    answer(loaded, row(date - DAY), row(date - 30 * DAY))
    loaded.load(with_years(loaded, 1), SYMBOL)
    stop = date - 10 * DAY

    def bounds(period: str, until: datetime | None) -> tuple[datetime | None, datetime | None]:
        return candle_bounds(loaded.connection, CandleSeries(SYMBOL, period, "trade"), None, until)

    assert bounds("1 day", None) == (date - 30 * DAY, loaded.midnight(0) + DAY)
    assert bounds("1 day", stop) == (date - 30 * DAY, date - 29 * DAY)
    assert bounds("4 hours", None)[0] == date
    assert bounds("4 hours", stop) == (date, None)
