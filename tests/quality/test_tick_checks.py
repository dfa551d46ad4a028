"""Every fault of ticks is found by its check and by no other, with the right subject and rows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from candleworks.database.engine import Engine
from candleworks.settings import TickThresholds
from tests.quality.conftest import FEED, NOW, PRICES, Watched, failing, stats

MINUTE = timedelta(minutes=1)
Plant = Callable[[Watched], object]


@dataclass
class Fault:
    """What is planted, who fails, what is said about it, and what the first row of the sample holds."""

    plant: Plant
    subject: str
    observed: str
    row: dict[str, Any]


def without_constraint(watched: Watched, change: str) -> None:
    """Alter the table as somebody does who adopts one without our constraints."""
    watched.execute(f"ALTER TABLE stocks_real_time {change}")


def empty_symbol(watched: Watched) -> None:
    watched.tick("", NOW - MINUTE + timedelta(seconds=1), 5)


def missing_volume(watched: Watched) -> None:
    required = TickThresholds(required=("time", "symbol", "price", "day_volume"))
    watched.configured(ticks={"symbols": {"AAPL": required}})
    watched.tick("AAPL", NOW - MINUTE + timedelta(seconds=1))


def split(watched: Watched) -> None:
    watched.execute(
        "UPDATE stocks_real_time SET price = price / 4, bid = bid / 4, ask = ask / 4"
        " WHERE symbol = 'MSFT' AND time >= %s",
        NOW - 3 * MINUTE,
    )


def fast_move(watched: Watched) -> None:
    watched.tick("AAPL", NOW - MINUTE + timedelta(seconds=3), 291.2)


def volume_restart(watched: Watched) -> None:
    watched.execute(
        "UPDATE stocks_real_time SET day_volume = day_volume / 2 WHERE symbol = 'BTC/USD' AND time >= %s",
        NOW - 2 * MINUTE,
    )


def one_ordinal_deleted(watched: Watched) -> None:
    watched.execute("DELETE FROM stocks_real_time WHERE symbol = 'AAPL' AND time = %s", NOW - 5 * MINUTE)


def repetitions(watched: Watched) -> None:
    stats(watched.connection, NOW - timedelta(seconds=5), ticks=20, duplicates=4_000)


def never_seen(watched: Watched) -> None:
    watched.execute("INSERT INTO feed_symbols VALUES (%s, 'NVDA', 'streaming', NULL, %s)", FEED, NOW - 60 * MINUTE)
    watched.execute("INSERT INTO company (symbol, name) VALUES ('NVDA', 'Nvidia')")


def refused(watched: Watched) -> None:
    watched.execute("INSERT INTO feed_symbols VALUES (%s, 'XXXX', 'refused', 'no such symbol', %s)", FEED, NOW - MINUTE)
    watched.execute("INSERT INTO company (symbol, name) VALUES ('XXXX', 'X')")


def silent_symbol(watched: Watched) -> None:
    watched.execute("DELETE FROM stocks_real_time WHERE symbol = 'ETH/USD' AND time >= %s", NOW - 20 * MINUTE)


def quiet_hour(watched: Watched) -> None:
    """Six days with 400 ticks of EUR/USD in this hour, and 20 today; silences stay below a quarter of an hour."""
    for days in range(1, 9):
        watched.execute("SELECT candleworks.prepare_ticks(%s, %s)", NOW - timedelta(days=days, hours=2), NOW)
        watched.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, received_at, origin)"
            " SELECT %s::timestamptz + n * interval '8 seconds', 'EUR/USD', 1.0845, %s::timestamptz, 'twelvedata'"
            " FROM generate_series(0, 399) n",
            NOW - timedelta(days=days, hours=1),
            NOW - timedelta(days=days),
        )
    watched.execute(
        "DELETE FROM stocks_real_time WHERE symbol = 'EUR/USD' AND time >= %s AND extract(minute FROM time) %% 10 <> 0",
        NOW - 60 * MINUTE,
    )
    watched.execute(
        "DELETE FROM stocks_real_time WHERE symbol = 'EUR/USD' AND time >= %s AND extract(second FROM time)::int > 0",
        NOW - 60 * MINUTE,
    )
    watched.refresh()


FAULTS: dict[str, list[Fault]] = {
    "required-fields": [
        Fault(empty_symbol, "(empty)", "1 row: symbol is empty", {"symbol": ""}),
        Fault(missing_volume, "AAPL", "1 row: day_volume is missing", {"symbol": "AAPL", "day_volume": None}),
    ],
    "price-positive": [
        Fault(lambda w: w.tick("AAPL", NOW - MINUTE + timedelta(seconds=2), 0.0), "AAPL",
            "1 row: price is not above zero", {"symbol": "AAPL", "price": 0.0}),
    ],
    "future-ticks": [
        Fault(lambda w: w.tick("MSFT", NOW + 10 * MINUTE, received_at=NOW - MINUTE), "MSFT",
            "1 tick with an event time up to 660 s ahead of arrival", {"symbol": "MSFT"}),
    ],
    "late-ticks": [
        Fault(lambda w: w.tick("MSFT", NOW - timedelta(days=40), received_at=NOW - MINUTE), "MSFT",
            "1 tick with an event time up to 3455940 s before arrival", {"symbol": "MSFT", "price": 410.0}),
    ],
    "price-jump": [
        Fault(split, "MSFT", "as after a 4:1 split", {}),
        Fault(fast_move, "AAPL", "1 tick far from the median, worst price 291.2 against 2", {"price": 291.2}),
    ],
    "volume-decrease": [
        Fault(volume_restart, "BTC/USD", "seconds with a cumulative volume below an earlier one, by up to 50.0 %",
            {"symbol": "BTC/USD"}),
    ],
    "crossed-quotes": [
        Fault(lambda w: w.tick("EUR/USD", NOW - MINUTE + timedelta(seconds=1), bid=1.09, ask=1.08), "EUR/USD",
            "1 tick with the bid above the ask", {"bid": 1.09, "ask": 1.08}),
    ],
    "wide-spread": [
        Fault(lambda w: w.quoted_tick("EUR/USD", NOW - MINUTE + timedelta(seconds=2), 1.0, 1.2), "EUR/USD",
            "1 quote with a spread of up to 18.18 %", {"bid": 1.0, "ask": 1.2}),
        Fault(lambda w: w.tick("MSFT", NOW - MINUTE + timedelta(seconds=2), bid=200, ask=220, origin="file"), "MSFT",
            "1 quote with a spread of up to 9.52 %", {"bid": 200.0, "ask": 220.0}),
    ],
    "ordinal-gaps": [
        Fault(one_ordinal_deleted, "AAPL", "1 event time with missing ordinals", {"ordinals": [1]}),
    ],
    "duplicates": [
        Fault(repetitions, "feed/twelvedata", "4000 of 6892 ticks were duplicates (58.0 %)", {"duplicates": 4_000}),
    ],
    "never-seen": [
        Fault(never_seen, "NVDA", "no tick since it was subscribed at 2026-03-04 17:00 UTC", {"status": "streaming"}),
        Fault(refused, "XXXX", "refused on feed twelvedata: no such symbol", {"status": "refused"}),
    ],
    "freshness": [
        Fault(silent_symbol, "ETH/USD", "no tick for 1205 s in market hours, last tick 2026-03-04 17:39:55 UTC",
            {"symbol": "ETH/USD"}),
    ],
    "tick-rate": [
        Fault(quiet_hour, "EUR/USD", "ticks in the hour from 2026-03-04 17:00 UTC, usually 400", {"usual": 400}),
    ],
}  # fmt: skip
CASES = [(check, fault) for check, faults in FAULTS.items() for fault in faults]


ON_PLAIN_POSTGRESQL = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


@ON_PLAIN_POSTGRESQL
@pytest.mark.parametrize(("check", "fault"), CASES, ids=[f"{check}-{fault.subject}" for check, fault in CASES])
def test_a_fault_of_ticks_fails_its_check_alone(watched: Watched, check: str, fault: Fault) -> None:
    """The fault is found by one check, about one subject, and the sample shows an offending row."""
    fault.plant(watched)
    report = watched.check("ticks")
    assert failing(report) == {(check, fault.subject)}, [(r.check, r.subject, r.observed) for r in report.failed]
    (found,) = report.failed
    assert fault.observed in (found.observed or "")
    assert found.sample
    assert fault.row.items() <= found.sample[0].items()
    stored = watched.execute(
        'SELECT status, observed, expected, suite, sample FROM quality_results WHERE "check" = %s AND subject = %s',
        check,
        fault.subject,
    )
    assert stored == [("failed", found.observed, found.expected, "ticks", found.sample)]


@ON_PLAIN_POSTGRESQL
def test_a_price_of_zero_passes_where_ingest_accepts_it(watched: Watched) -> None:
    """The check expects what the setting promises."""
    ingest = watched.settings.ingest.model_copy(update={"accept_zero_prices": True})
    watched.settings = watched.settings.model_copy(update={"ingest": ingest})
    watched.tick("AAPL", NOW - MINUTE + timedelta(seconds=2), 0.0)
    judged = [result for result in watched.check("ticks").results if result.check == "price-positive"]
    assert {result.status for result in judged} == {"passed"}


def test_silent_symbols_are_found_although_there_are_no_rows_to_judge(watched: Watched) -> None:
    """Without a single new tick the checks of rows have no result; the feed itself is judged by the watchdog."""
    watched.execute("DELETE FROM stocks_real_time WHERE time >= %s", NOW - 70 * MINUTE)
    report = watched.check("ticks")
    assert failing(report) == {("freshness", symbol) for symbol in PRICES}
    assert "price-positive" in report.idle
    assert not [result for result in report.results if result.check == "price-positive"]


def test_all_faults_at_once_are_told_apart(watched: Watched) -> None:
    """On each engine: every check names its own subjects, and no check the faults of another."""
    for _, fault in reversed(CASES):
        fault.plant(watched)
    report = watched.check("ticks")
    assert failing(report) == {(check, fault.subject) for check, fault in CASES}
    for check, fault in CASES:
        (found,) = [result for result in report.failed if (result.check, result.subject) == (check, fault.subject)]
        assert found.sample
        assert found.observed


@ON_PLAIN_POSTGRESQL
def test_every_check_of_ticks_has_a_fault(watched: Watched) -> None:
    """A check that no test makes fail proves nothing."""
    passed = {result.check for result in watched.check("ticks").results}
    assert passed == set(FAULTS)
