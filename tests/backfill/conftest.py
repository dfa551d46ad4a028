"""A simulated vendor for all tests, and per test a database into which a feed has streamed for some minutes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from candleworks.backfill.backfill import backfill
from candleworks.backfill.plan import BackfillRequest
from candleworks.backfill.report import BackfillReport
from candleworks.candles.audit import audit
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.settings import Feed, Settings
from tests.gapfill.filling import FREE, MINUTE, SYMBOLS, Platform, Vendor, vendor

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="session")
def simulated() -> Iterator[Vendor]:
    with vendor() as running:
        yield running


@dataclass
class NewFeed(Platform):
    """A feed that began to stream in the middle of a minute, some minutes ago."""

    started: datetime = datetime(2000, 1, 1, tzinfo=UTC)

    def stream(self, *symbols: str, minutes: float = 4) -> None:
        """Store the ticks of the first minutes of symbols, as streamed."""
        for symbol in symbols or SYMBOLS:
            self.store(self.vendor.ticks(symbol, self.started, self.started + minutes * MINUTE))

    def load(
        self,
        settings: Settings | None = None,
        *symbols: str,
        days: int | None = None,
        years: int | None = None,
        **options: Any,
    ) -> BackfillReport:
        chosen = settings or self.settings
        assert chosen.dsn
        return backfill(chosen, chosen.dsn.get_secret_value(), BackfillRequest(symbols, days, years=years), **options)

    def wanting(self, days: int, **changes: object) -> Settings:
        """The configuration with so many days of history, and other keys of the section `rest`."""
        feed = Feed(name="crypto", symbols=SYMBOLS, backfill_days=days)
        rest = self.settings.rest.model_copy(update=changes)
        return self.settings.model_copy(update={"feeds": (feed,), "rest": rest})

    def midnight(self, days: int) -> datetime:
        """The start of the history of so many days."""
        return (datetime.now(UTC) - days * DAY).replace(hour=0, minute=0, second=0, microsecond=0)

    def first_tick(self, symbol: str) -> datetime:
        return self.rows("SELECT min(time) FROM stocks_real_time WHERE symbol = %s AND origin <> 'bar'", symbol)[0][0]

    def found(self, column: str) -> dict[str, Any]:
        return dict(self.rows(f"SELECT symbol, {column} FROM backfills"))

    def assert_audited(self) -> None:
        refresh(self.connection)
        assert audit(self.connection, None, None).differences == []

    def requests(self) -> int:
        return int(self.vendor.running.stats()["bar_requests"]) - self.asked_before


@pytest.fixture
def new_feed(connection: Connection, settings: Settings, simulated: Vendor) -> NewFeed:
    chosen = settings.model_copy(
        update={
            "rest_url": simulated.running.rest_url,
            "rest": FREE,
            "feeds": (Feed(name="crypto", symbols=SYMBOLS, backfill_days=1),),
        }
    )
    started = datetime.now(UTC).replace(second=25, microsecond=0) - 8 * MINUTE
    asked = simulated.running.stats()["bar_requests"]
    return NewFeed(connection, chosen, simulated, asked_before=asked, started=started)
