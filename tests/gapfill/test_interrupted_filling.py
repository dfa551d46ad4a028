"""Filling that is killed, and filling that runs twice at once."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from candleworks.database.engine import Engine
from candleworks.storage.gaps import locked_symbol
from tests.cli.commands import started
from tests.gapfill.filling import MINUTE, NOON, SYMBOLS, Platform

PATIENCE_SECONDS = 60
PAGE = 5_000


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_a_killed_run_is_continued(platform: Platform, tmp_path: Path) -> None:
    """Of a gap longer than an answer, the first page stays after a kill -9; the next run asks for the second alone."""
    start, stop = NOON - (PAGE + 40) * MINUTE, NOON
    gap = platform.book(start, stop, "BTC/USD")
    config = tmp_path / "candleworks.yaml"
    config.write_text(json.dumps({"rest": {"credits_per_minute": 1}}))
    assert platform.settings.dsn
    variables = {
        "CANDLEWORKS_DSN": platform.settings.dsn.get_secret_value(),
        "CANDLEWORKS_REST_URL": platform.settings.rest_url,
    }
    with started("fill-gaps", directory=tmp_path, **variables) as running:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not platform.outcomes():
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.kill()
        running.wait(PATIENCE_SECONDS)
    page = platform.rows("SELECT outcome, bars, reason, fetched_until FROM gap_fills")
    until = start + PAGE * MINUTE
    assert page == [("failed", PAGE, f"interrupted after {until:%Y-%m-%d %H:%M} UTC", until)]
    assert (platform.filled(), platform.bar_ticks()) == ([], 4 * PAGE)
    # The statement that the killed process had sent still runs, and holds the symbol.
    while platform.rows("SELECT FROM pg_stat_activity WHERE application_name = 'candleworks fill-gaps'"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    report = platform.fill(platform.settings.model_copy(update={"rest_url": f"{platform.settings.rest_url}/"}))
    assert report.credits == 1
    assert platform.outcomes() == [(gap, "BTC/USD", "filled", PAGE + 40)]
    assert (platform.filled(), platform.bar_ticks()) == ([gap], 4 * (PAGE + 40))
    bars = platform.vendor.bars("BTC/USD", start, stop)
    assert {minute: candle[:4] for minute, candle in platform.candles("BTC/USD", start, stop).items()} == {
        minute: bar[:4] for minute, bar in bars.items()
    }


def test_a_second_run_leaves_symbols_to_the_first_one(platform: Platform) -> None:
    """It waits for no tick that the first one changes, also where it looks again at earlier bars, and it succeeds."""
    platform.book(NOON, NOON + 5 * MINUTE, "BTC/USD")
    platform.fill()
    platform.book(NOON + 10 * MINUTE, NOON + 15 * MINUTE, "BTC/USD")
    first = platform.connection
    with locked_symbol(first, "BTC/USD"), first.transaction(), ThreadPoolExecutor(1) as executor:
        first.execute("UPDATE stocks_real_time SET price = price WHERE symbol = 'BTC/USD'")
        second = executor.submit(platform.fill)
        try:
            report = second.result(PATIENCE_SECONDS)
        finally:
            first.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    assert (report.complete, report.busy, report.fills) == (True, ["BTC/USD"], [])
    assert platform.fill().outcomes == "1 filled"


def test_two_runs_at_once_fetch_everything_once(platform: Platform) -> None:
    """Each symbol is filled by one of them, and a gap is complete when the last one is done."""
    gaps = [
        platform.book(NOON - number * timedelta(days=20), NOON - number * timedelta(days=20) + 5 * MINUTE)
        for number in range(2)
    ]
    with ThreadPoolExecutor(2) as executor:
        reports = [run.result(PATIENCE_SECONDS) for run in [executor.submit(platform.fill) for _ in range(2)]]
    asked = platform.vendor.running.stats()["bar_requests"] - platform.asked_before
    # Currencies are open on the one day only that the test's calendar has.
    assert sum(report.credits for report in reports) == asked == 5
    assert len(platform.outcomes()) == len(gaps) * len(SYMBOLS)
    assert platform.bar_ticks() == 5 * 5 * 4
    platform.fill()
    assert platform.filled() == gaps
    assert sorted(notice.facts["gap"] for notice in platform.notices) == gaps
