"""Every fault of the platform is found by its check and by no other."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from candleworks.database.engine import Engine
from tests.quality.conftest import FEED, NOW, Watched, failing

MINUTE = timedelta(minutes=1)
SUBJECT = f"feed/{FEED}"
Plant = Callable[[Watched], object]


def slow(watched: Watched) -> None:
    watched.execute("UPDATE ingest_stats SET lag_ms_p99 = 9000 WHERE at >= %s", NOW - 40 * MINUTE)


def unfilled(watched: Watched) -> None:
    watched.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason) VALUES (%s, 'AAPL', %s, %s, 'silence')",
        FEED, NOW - timedelta(days=3), NOW - timedelta(days=2),
    )  # fmt: skip


def rejections(watched: Watched) -> None:
    watched.execute(
        "INSERT INTO rejected_ticks (received_at, feed, reason, payload)"
        " SELECT %s, %s, 'price -1.0 is negative', n::text FROM generate_series(1, 200) n",
        NOW - MINUTE, FEED,
    )  # fmt: skip


def rejected_quotes(watched: Watched) -> None:
    rejections(watched)
    watched.execute(
        "UPDATE rejected_ticks SET kind = 'quote', reason = 'quote: ask 1.0 is below bid 2.0', received_at = %s"
        " WHERE payload <> '7'",
        NOW - MINUTE / 2,
    )


def full_disk(watched: Watched) -> None:
    watched.configured(system={"min_free_disk_mb": 1_000_000_000})


def kept_too_long(watched: Watched) -> None:
    watched.execute(
        "INSERT INTO rejected_ticks (received_at, feed, reason, payload) VALUES (%s, 'file.csv', 'x', 'y')",
        NOW - timedelta(days=400),
    )


def unknown_company(watched: Watched) -> None:
    watched.execute("DELETE FROM company WHERE symbol IN ('AAPL', 'BTC/USD')")


FAULTS: list[tuple[str, Plant, str, str, dict[str, Any] | None]] = [
    ("ingest-lag", slow, SUBJECT, "p99 lag 9000 ms", {"highest_ms": 130.0}),
    (
        "unfilled-gaps",
        unfilled,
        SUBJECT,
        "1 gap not filled, the oldest from 2026-03-01",
        {"symbol": "AAPL"},
    ),
    ("rejected", rejections, SUBJECT, "200 ticks rejected, 2872 stored", {"reason": "price -1.0 is negative"}),
    (
        "rejected",
        rejected_quotes,
        SUBJECT,
        "1 tick rejected, 199 quotes rejected, 2872 stored",
        {"reason": "quote: ask 1.0 is below bid 2.0"},
    ),
    ("disk", full_disk, "system", " MB free in ", {}),
    ("retention", kept_too_long, "rejected_ticks", "oldest row of 2025-01-28", {"relation": "rejected_ticks"}),
    ("company", unknown_company, "AAPL", "no row in company", None),
]


# They read no ticks; the one that does is tested on both engines.
ON_PLAIN_POSTGRESQL = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


@ON_PLAIN_POSTGRESQL
@pytest.mark.parametrize(
    ("check", "plant", "subject", "observed", "row"), FAULTS, ids=[fault[1].__name__ for fault in FAULTS]
)
def test_a_fault_of_the_platform_fails_its_check_alone(
    watched: Watched, check: str, plant: Plant, subject: str, observed: str, row: dict[str, Any] | None
) -> None:
    """The fault is found by one check, about one subject, and the sample shows what it is about."""
    plant(watched)
    report = watched.check("system")
    assert failing(report) == {(check, subject)}
    (found,) = report.failed
    assert observed in (found.observed or "")
    assert found.sample is None if row is None else row.items() <= (found.sample or [{}])[0].items()


def test_a_feed_that_an_operator_stopped_fails_nothing(watched: Watched) -> None:
    """However long: neither the silence of its symbols nor a symbol that never had a tick."""
    later = NOW + 45 * MINUTE
    watched.execute("INSERT INTO feed_symbols VALUES (%s, 'NVDA', 'asked', NULL, %s)", FEED, NOW - 60 * MINUTE)
    watched.execute("INSERT INTO company (symbol, name) VALUES ('NVDA', 'Nvidia')")
    expected = {check for check, _ in failing(watched.check(until=later))}
    assert expected >= {"freshness", "never-seen"}
    watched.execute("INSERT INTO feed_stops VALUES (%s, %s, 'cancelled in Prefect', true)", FEED, NOW)
    assert failing(watched.check(until=later)) == set()
    watched.execute("UPDATE feed_stops SET deliberate = false")
    assert {check for check, _ in failing(watched.check(until=later))} == expected


@ON_PLAIN_POSTGRESQL
def test_refused_lines_of_a_file_are_none_of_the_feeds(watched: Watched) -> None:
    """Who imports a file is told by the import what was refused."""
    watched.execute(
        "INSERT INTO rejected_ticks (received_at, feed, reason, payload)"
        " SELECT %s, '/data/day.csv', 'no price', n::text FROM generate_series(1, 200) n", NOW - MINUTE,
    )  # fmt: skip
    assert failing(watched.check("system")) == set()


@ON_PLAIN_POSTGRESQL
def test_an_empty_company_is_not_filled_yet(watched: Watched) -> None:
    """A fresh database knows no names; that is no reference to nowhere."""
    watched.execute("DELETE FROM company")
    assert failing(watched.check("system")) == set()


def test_candles_that_nobody_refreshes_are_found(watched: Watched) -> None:
    """Ticks came for two hours, and what is stored of their candles ends before them."""
    for minute in range(120):
        watched.tick("BTC/USD", NOW + minute * MINUTE)
    watched.execute("DELETE FROM ingest_stats")
    report = watched.check("system", until=NOW + 120 * MINUTE)
    assert failing(report) == {("refresh-lag", f"candles_{level}") for level in ("1m", "5m", "15m", "1h")}
    (found,) = [result for result in report.failed if result.subject == "candles_1m"]
    assert found.observed == "stored until 2026-03-04 18:00 UTC, 7140 s behind"


def test_a_check_that_refreshes_candles_hides_no_lag(watched: Watched) -> None:
    """A late tick makes checks of candles refresh and look again; how long candles waited is measured before."""
    for minute in range(120):
        watched.tick("BTC/USD", NOW + minute * MINUTE)
    watched.tick("AAPL", NOW - 20 * MINUTE + timedelta(seconds=1), 259.0)
    found = failing(watched.check(until=NOW + 120 * MINUTE))
    assert {subject for check, subject in found if check == "refresh-lag"} == {
        f"candles_{level}" for level in ("1m", "5m", "15m", "1h")
    }
    assert not {check for check, _ in found if check.startswith("candle-")}


def test_ticks_that_something_else_drops_fail_retention(watched: Watched, engine: Engine) -> None:
    """A policy of TimescaleDB as long as it exists, a drop for seven days; their relations are the subjects."""
    if engine is Engine.TIMESCALE:
        watched.execute("SELECT add_retention_policy('quotes', interval '30 days')")
    for relation, days in (("stocks_real_time", 6), ("quotes", 8)):
        watched.execute(
            "INSERT INTO candleworks.tick_parts (relation, starts_at, stops_at, dropped_at)"
            " VALUES (%s, '2026-01-05', '2026-01-12', %s)",
            relation,
            NOW - timedelta(days=days),
        )
    found = {(each.subject, each.observed) for each in watched.check("system").failed if each.check == "retention"}
    drop = ("stocks_real_time", "dropped by something else from 2026-01-05 to 2026-01-12")
    assert drop in found
    policies = found - {drop}
    if engine is Engine.TIMESCALE:
        [(subject, observed)] = policies
        assert subject == "quotes"
        assert (observed or "").startswith("policy of TimescaleDB, job ")
    else:
        assert policies == set()
