"""What the checks say of history that was loaded."""

from datetime import UTC, datetime, timedelta

import pytest

from candleworks.candles.calendars import sync_calendars
from candleworks.candles.refresh import refresh
from candleworks.database.engine import Engine
from candleworks.model.trades import Trades
from candleworks.quality import Report, run_checks
from tests.backfill.conftest import NewFeed
from tests.gapfill.filling import MINUTE, SYMBOLS, append
from tests.quality.conftest import failing

HOUR = timedelta(hours=1)


def check(new_feed: NewFeed, symbols: tuple[str, ...] = SYMBOLS) -> Report:
    """All checks of what has arrived, while the feed streams."""
    sync_calendars(new_feed.connection, new_feed.settings)
    new_feed.connection.execute(
        "INSERT INTO feed_symbols (feed, symbol, status, since) SELECT 'crypto', s, 'streaming', %s"
        " FROM unnest(%s::text[]) s",
        [new_feed.started, list(symbols)],
    )
    refresh(new_feed.connection)
    assert new_feed.settings.dsn
    return run_checks(new_feed.settings, new_feed.settings.dsn.get_secret_value())


def test_loaded_history_raises_nothing(new_feed: NewFeed) -> None:
    """Neither its volumes nor its prices, and no minute of it counts as missing."""
    stop = datetime.now(UTC).replace(microsecond=0)
    for symbol in SYMBOLS:
        ticks = new_feed.vendor.ticks(symbol, new_feed.started, stop)
        ticks.received_us = [time_us + 1_000 for time_us in ticks.event_us]
        new_feed.store(ticks)
    new_feed.load(days=3)
    report = check(new_feed)
    assert failing(report) == set()
    assert {"price-jump", "empty-minutes", "volume-decrease", "candle-levels"}.isdisjoint(report.idle)


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_a_slow_symbol_is_not_compared_with_its_bars(new_feed: NewFeed) -> None:
    """A bar has four ticks, however few trades there were: 240 an hour of history, six as streamed."""
    stop = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    new_feed.started = stop - 2 * HOUR
    ticks = Trades()
    for number in range(int((datetime.now(UTC) - new_feed.started) / (10 * MINUTE))):
        second = int((new_feed.started + number * 10 * MINUTE).timestamp())
        append(ticks, second, "BTC/USD", 64_000.0, None)
    new_feed.store(ticks)
    new_feed.load(None, "BTC/USD", days=8)
    assert ("tick-rate", "BTC/USD") not in failing(check(new_feed, ("BTC/USD",)))
