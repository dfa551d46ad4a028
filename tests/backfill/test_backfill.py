"""What is loaded before the first tick of a symbol, and what is left alone."""

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from candleworks.candles.refresh import refresh
from candleworks.database.engine import Engine
from candleworks.errors import UsageError
from candleworks.settings import VENDOR_REST_URL
from candleworks.storage.backfills import locked_feed_history
from candleworks.storage.gaps import locked_symbol
from tests.backfill.conftest import DAY, SECOND, NewFeed
from tests.gapfill.filling import LEVELS, MINUTE, SYMBOLS


def test_candles_before_the_first_tick_equal_the_vendors_bars(new_feed: NewFeed) -> None:
    """From midnight on to the minute in which the stream began, which has ticks and a part that nobody saw."""
    new_feed.stream()
    report = new_feed.load()
    assert (report.complete, report.outcomes) == (True, "3 complete")
    new_feed.assert_audited()
    for symbol in SYMBOLS:
        start, stop = new_feed.midnight(1), new_feed.first_tick(symbol).replace(second=0, microsecond=0) + MINUTE
        candles = new_feed.candles(symbol, start, stop)
        bars = new_feed.vendor.bars(symbol, start, stop)
        assert {minute: candle[:4] for minute, candle in candles.items()} == {
            minute: bar[:4] for minute, bar in bars.items()
        }
        assert sum(candle[4] or 0 for candle in candles.values()) == pytest.approx(
            sum(bar[4] or 0 for bar in bars.values()), rel=1e-3
        )


def test_ticks_are_left_as_they_are(new_feed: NewFeed) -> None:
    """Behind the first tick no bar is stored, and candles of minutes with ticks alone are not marked."""
    new_feed.stream()
    before = new_feed.rows("SELECT symbol, time, price, day_volume FROM stocks_real_time ORDER BY 1, 2")
    new_feed.load()
    after = new_feed.rows(
        "SELECT symbol, time, price, day_volume FROM stocks_real_time WHERE origin <> 'bar' ORDER BY 1, 2"
    )
    assert after == before
    for symbol in SYMBOLS:
        first = new_feed.first_tick(symbol)
        assert (
            new_feed.rows(
                "SELECT FROM stocks_real_time WHERE symbol = %s AND origin = 'bar' AND time >= %s", symbol, first
            )
            == []
        )
        rebuilt = new_feed.rows("SELECT max(bucket) FROM candles_1m WHERE symbol = %s AND rebuilt", symbol)[0][0]
        assert rebuilt == first.replace(second=0, microsecond=0)


def test_every_level_is_filled(new_feed: NewFeed) -> None:
    """Also days, which begin with a whole one."""
    new_feed.stream("BTC/USD")
    new_feed.load()
    for level in LEVELS:
        first = new_feed.rows(f"SELECT min(bucket) FROM candles_{level} WHERE symbol = 'BTC/USD'")[0][0]
        assert first == new_feed.midnight(1)


def test_a_second_run_does_nothing(new_feed: NewFeed) -> None:
    """Nor does a later one with more ticks, or with fewer days."""
    new_feed.stream()
    new_feed.load()
    asked = new_feed.requests()
    assert asked == 2 * len(SYMBOLS)  # a response holds the day, and another one the minutes before the first tick
    new_feed.stream(minutes=6)
    report = new_feed.load()
    assert (report.outcomes, report.credits, new_feed.requests()) == ("nothing to load", 0, asked)


def test_more_days_extend_what_is_there(new_feed: NewFeed) -> None:
    """Only the earlier days are requested, and the candles of all of them are right."""
    new_feed.stream("BTC/USD")
    new_feed.load(None, "BTC/USD")
    bars = new_feed.found("bars")["BTC/USD"]
    report = new_feed.load(None, "BTC/USD", days=3)
    assert (report.outcomes, report.bars) == ("1 complete", 2 * DAY // MINUTE)
    assert new_feed.found("bars")["BTC/USD"] == bars + report.bars
    assert new_feed.found("fetched_from")["BTC/USD"] == new_feed.midnight(3)
    new_feed.assert_audited()


def test_history_is_shown_up_to_now_without_a_tick(new_feed: NewFeed) -> None:
    """A closed market has a history, too; what is left waits for its first tick, and costs nothing until then."""
    report = new_feed.load(None, "BTC/USD")
    assert (report.complete, report.outcomes) == (True, "1 waiting")
    assert new_feed.found("reason") == {"BTC/USD": "it had no tick yet"}
    newest = new_feed.rows("SELECT max(bucket) FROM candles_1m")[0][0]
    assert newest >= datetime.now(UTC) - 3 * MINUTE
    asked = new_feed.requests()
    new_feed.load(None, "BTC/USD")
    assert new_feed.requests() == asked


def test_the_minutes_before_the_first_tick_follow(new_feed: NewFeed) -> None:
    """What was not final at the vendor is requested once more when it is."""
    settled = new_feed.settings
    unsettled = new_feed.wanting(1, settle_seconds=7_200)
    new_feed.stream("BTC/USD")
    waiting = new_feed.load(unsettled, "BTC/USD")
    assert waiting.outcomes == "1 waiting"
    assert new_feed.found("reason") == {"BTC/USD": "the minute of its first tick is not final at the vendor"}
    first = new_feed.first_tick("BTC/USD")
    assert new_feed.candles("BTC/USD", first - 2 * MINUTE, first - MINUTE)
    assert new_feed.load(settled, "BTC/USD").outcomes == "1 complete"
    new_feed.assert_audited()
    start, stop = new_feed.midnight(1), first.replace(second=0, microsecond=0) + MINUTE
    candles, bars = new_feed.candles("BTC/USD", start, stop), new_feed.vendor.bars("BTC/USD", start, stop)
    assert {minute: candle[:4] for minute, candle in candles.items()} == {
        minute: bar[:4] for minute, bar in bars.items()
    }


def test_gaps_are_left_to_gap_filling(new_feed: NewFeed) -> None:
    """No bar is stored in a minute that a recorded gap touches; filling the gap completes the history."""
    new_feed.stream("BTC/USD")
    start = new_feed.started - 100 * MINUTE
    new_feed.book(start + 5 * SECOND, start + 10 * MINUTE + 5 * SECOND, "BTC/USD")
    new_feed.load(None, "BTC/USD")
    first = start.replace(second=0)
    assert new_feed.candles("BTC/USD", first, first + 11 * MINUTE) == {}
    assert new_feed.fill().outcomes == "1 filled"
    assert len(new_feed.candles("BTC/USD", first, first + 11 * MINUTE)) == 11
    new_feed.assert_audited()


def test_imported_ticks_are_kept(new_feed: NewFeed) -> None:
    """A minute with ticks of a file gets no bar."""
    new_feed.stream("BTC/USD")
    start = new_feed.started.replace(second=0) - 60 * MINUTE
    imported = new_feed.vendor.ticks("BTC/USD", start, start + 30 * SECOND)
    new_feed.store(imported, "file")
    new_feed.load(None, "BTC/USD")
    assert new_feed.rows(
        "SELECT DISTINCT origin FROM stocks_real_time WHERE symbol = 'BTC/USD' AND time >= %s AND time < %s",
        start, start + MINUTE,
    ) == [("file",)]  # fmt: skip
    new_feed.assert_audited()


def test_a_symbol_that_has_streamed_for_longer_needs_nothing(new_feed: NewFeed) -> None:
    """What is missing since its first tick is in gaps."""
    ticks = new_feed.vendor.ticks("BTC/USD", new_feed.midnight(2), new_feed.midnight(2) + MINUTE)
    new_feed.store(ticks)
    report = new_feed.load(None, "BTC/USD")
    assert (report.outcomes, new_feed.requests(), new_feed.bar_ticks()) == ("1 complete", 0, 0)


def test_dropped_time_is_left_alone(new_feed: NewFeed) -> None:
    """History does not begin before the ticks that retention has left."""
    kept = new_feed.midnight(1) + 6 * 60 * MINUTE
    new_feed.stream("BTC/USD")
    refresh(new_feed.connection)
    new_feed.connection.execute(
        "INSERT INTO candleworks.retention_horizons (relation, dropped_before) VALUES ('stocks_real_time', %s)", [kept]
    )
    new_feed.load(None, "BTC/USD")
    assert new_feed.rows("SELECT min(time) >= %s FROM stocks_real_time", kept) == [(True,)]


def test_one_process_loads_a_feed(new_feed: NewFeed) -> None:
    """A second one says so, asks for nothing, and succeeds; so does one whose symbol is being filled."""
    new_feed.stream("BTC/USD")
    with locked_feed_history(new_feed.connection, "crypto"):
        report = new_feed.load()
    assert (report.complete, report.busy, new_feed.requests()) == (True, ["feed crypto"], 0)
    with locked_symbol(new_feed.connection, "BTC/USD"):
        report = new_feed.load(None, "BTC/USD")
    assert (report.busy, new_feed.bar_ticks()) == (["BTC/USD"], 0)
    assert new_feed.load().complete


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_the_newest_day_of_all_symbols_comes_first(new_feed: NewFeed) -> None:
    """From the simulator, whose requests cost nothing."""
    new_feed.stream()
    steps: list[str] = []
    simulated = new_feed.wanting(3).model_copy(update={"shows_simulated": True})
    report = new_feed.load(simulated, progress=lambda at: steps.append(at.now.partition(" before ")[0]))
    assert steps == ["names of companies", *SYMBOLS, *SYMBOLS, *SYMBOLS]
    assert (report.complete, report.named) == (True, 3)


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_the_vendor_is_not_asked_for_the_history_of_another_source(new_feed: NewFeed) -> None:
    """A feed from another URL has none, unless CANDLEWORKS_REST_URL says where it is."""
    changes = {"rest_url": VENDOR_REST_URL, "feed_url": "ws://127.0.0.1:9", "api_key": SecretStr("x")}
    assert new_feed.load(new_feed.settings.model_copy(update=changes)).outcomes == "nothing to load"


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_an_unknown_symbol_is_refused(new_feed: NewFeed) -> None:
    """Without a request."""
    with pytest.raises(UsageError, match=r"^GONE is not a symbol of a configured feed: add it to feeds\[\].symbols.$"):
        new_feed.load(None, "GONE")


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_no_history_is_loaded_where_none_is_wanted(new_feed: NewFeed) -> None:
    """With 0 days; names of companies are looked up all the same."""
    report = new_feed.load(new_feed.wanting(0))
    assert (report.outcomes, report.named, new_feed.requests()) == ("3 complete", 3, 0)
    assert new_feed.load(new_feed.wanting(0)).outcomes == "nothing to load"
    assert new_feed.load(new_feed.wanting(1)).outcomes == "3 waiting"
