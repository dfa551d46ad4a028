"""What takes minutes says how far it is, on both engines."""

from datetime import UTC, datetime, timedelta

import pytest

from candleworks.candles import refresh as refreshing
from candleworks.candles.audit import audit
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine

DAY, DAYS = datetime(2026, 3, 4, tzinfo=UTC), 3
LEVELS = 12


@pytest.fixture
def ticks(connection: Connection) -> Connection:
    """Three days with a tick in each of their minutes."""
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [DAY, DAY + timedelta(days=DAYS)])
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price)"
        " SELECT %s + n * interval '1 minute', 'S', 100 FROM generate_series(0, %s) n",
        [DAY, DAYS * 1_440 - 1],
    )
    return connection


def test_a_refresh_says_how_far_it_is(ticks: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps that never go back, up to the whole."""
    monkeypatch.setattr(refreshing, "MAX_MINUTES", 1_000)
    monkeypatch.setattr(refreshing, "FIRST_STEP", timedelta(days=1))
    reports: list[float] = []
    refresh(ticks, lambda done, steps, _: reports.append(done / steps))
    assert reports == sorted(reports)
    assert reports[-1] == 1.0
    assert len({report for report in reports if 0 < report < 1}) >= DAYS


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_a_refresh_counts_the_minutes_that_are_due(ticks: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait are counted once."""
    monkeypatch.setattr(refreshing, "MAX_MINUTES", 2_000)
    reports: list[tuple[int, int, str]] = []
    refresh(ticks, lambda *report: reports.append(report))
    minutes = DAYS * 1_440
    assert reports == [(2_000, minutes, "minutes"), (4_000, minutes, "minutes"), (minutes, minutes, "")]


def test_an_audit_says_how_far_it_is(ticks: Connection) -> None:
    """Level by level of each day, with the day."""
    reports: list[tuple[int, int, str]] = []
    audit(ticks, None, None, progress=lambda *report: reports.append(report))
    whole = DAYS * LEVELS
    days = [f"{DAY + timedelta(days=number // LEVELS):%Y-%m-%d}" for number in range(whole)]
    assert reports == [*((number, whole, day) for number, day in enumerate(days)), (whole, whole, "")]
