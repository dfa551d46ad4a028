"""A database in which all is well: four symbols stream, every check passes."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from candleworks.candles.calendars import sync_calendars
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.quality import Report, run_checks
from candleworks.settings import Settings, load_settings
from tests.conftest import clone, new_template

NOW = datetime(2026, 3, 4, 18, tzinfo=UTC)  # a Wednesday; New York trades from 14:30 to 21:00
PRICES = {"AAPL": 260.0, "MSFT": 410.0, "BTC/USD": 91_000.0, "ETH/USD": 3_000.0, "EUR/USD": 1.0845}
FEED = "twelvedata"
TICK_SECONDS = 5
HOURS = 2


class Watched:
    """A healthy database, and the checks of what becomes of it."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self.connection = connection
        self.settings = settings

    def check(self, suite: str = "all", until: datetime = NOW, **options: Any) -> Report:
        """Run checks as of NOW."""
        assert self.settings.dsn
        return run_checks(self.settings, self.settings.dsn.get_secret_value(), suite, until=until, **options)

    def configured(self, **suites: dict[str, Any]) -> None:
        """Change thresholds: `configured(ticks={"jump_percent": 50})`."""
        quality = self.settings.quality
        changed = {name: getattr(quality, name).model_copy(update=values) for name, values in suites.items()}
        self.settings = self.settings.model_copy(update={"quality": quality.model_copy(update=changed)})

    def execute(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []

    def tick(self, symbol: str, moment: datetime, price: float | None = None, **columns: object) -> None:
        """Store a tick that arrived 200 ms after its event time, unless it is said otherwise."""
        row: dict[str, object] = {
            "time": moment,
            "symbol": symbol,
            "price": PRICES.get(symbol, 100.0) if price is None else price,
            "received_at": moment + timedelta(milliseconds=200),
            "origin": FEED,
        }
        row |= columns
        self.connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [min(moment, NOW), max(moment, NOW)])
        names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        self.connection.execute(f"INSERT INTO stocks_real_time ({names}) VALUES ({marks})", list(row.values()))

    def quoted_tick(self, symbol: str, moment: datetime, bid: float, ask: float) -> None:
        """Store a tick as a feed does, with its quote."""
        self.tick(symbol, moment, bid=bid, ask=ask)
        self.connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [moment, moment])
        self.connection.execute(
            "INSERT INTO quotes (time, symbol, bid, ask, received_at, origin) VALUES (%s, %s, %s, %s, %s, %s)",
            [moment, symbol, bid, ask, moment + timedelta(milliseconds=200), FEED],
        )

    def refresh(self) -> None:
        refresh(self.connection)


def failing(report: Report) -> set[tuple[str, str]]:
    """The check and subject of everything that did not pass."""
    return {(result.check, result.subject) for result in report.results if result.status != "passed"}


def healthy(connection: Connection) -> None:
    """Fill a migrated database with two hours of ticks, and with what a feed notes beside them."""
    chance = random.Random(7)
    start = NOW - timedelta(hours=HOURS)
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [start, NOW])
    columns = "time, symbol, price, day_volume, volume, bid, ask, received_at, origin"
    with connection.cursor().copy(f"COPY stocks_real_time ({columns}) FROM STDIN") as copy:
        for symbol, price in PRICES.items():
            last, total = price, 1_000_000.0
            for second in range(0, HOURS * 3600, TICK_SECONDS):
                for ordinal in range(2 if second % 60 == 0 else 1):
                    last *= 1 + chance.uniform(-0.0001, 0.0001)
                    total += chance.randrange(1, 500)
                    moment = start + timedelta(seconds=second, microseconds=ordinal)
                    sides = (last * 0.9999, last * 1.0001)
                    copy.write_row((moment, symbol, last, total, 1, *sides, moment + timedelta(milliseconds=200), FEED))
    for symbol in PRICES:
        connection.execute(
            "INSERT INTO feed_symbols VALUES (%s, %s, 'streaming', NULL, %s)",
            [FEED, symbol, start - timedelta(days=20)],
        )
        connection.execute("INSERT INTO company (symbol, name) VALUES (%s, %s)", [symbol, symbol])
    for seconds in range(10, 3600, 10):
        stats(connection, NOW - timedelta(seconds=seconds))
    refresh(connection)
    connection.execute("ANALYZE")


def stats(connection: Connection, at: datetime, **columns: object) -> None:
    """Store ten seconds of a feed's statistics."""
    row: dict[str, object] = {"feed": FEED, "at": at, "ticks": 8, "batches": 2, "spool_depth": 0, "reconnects": 0}
    row |= {"lag_ms_p50": 60.0, "lag_ms_p99": 120.0, "lag_ms_max": 130.0, "duplicates": 0, "rejected": 0, "candles": 4}
    row |= columns
    names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    connection.execute(f"INSERT INTO ingest_stats ({names}) VALUES ({marks})", list(row.values()))


@pytest.fixture(scope="session")
def healthy_template(engine: Engine, server_dsn: str, template: str) -> str:
    """The name of a database in which all is well, and that nobody is connected to."""
    name = f"healthy_{engine}"
    with new_template(server_dsn, name, template) as dsn, connect(dsn) as connection:
        sync_calendars(connection, load_settings({}))
        healthy(connection)
    return name


@pytest.fixture
def watched(server_dsn: str, healthy_template: str, tmp_path: Path) -> Iterator[Watched]:
    """A healthy database of the test's own."""
    with clone(server_dsn, healthy_template) as dsn, connect(dsn, "test") as connection:
        settings = load_settings({"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_HOME": str(tmp_path / "home")})
        yield Watched(connection, settings)
