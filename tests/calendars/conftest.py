"""Ticks at chosen moments, and calendars in place."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.settings import Settings, load_settings
from tests.conftest import clone, new_template


class Market:
    """A database whose calendars follow `yaml`, the calendars section of a configuration."""

    def __init__(self, connection: Connection, dsn: str, directory: Path) -> None:
        self.connection = connection
        self.dsn = dsn
        self.file = directory / "candleworks.yaml"

    def configure(self, yaml: str = "{}") -> Settings:
        """Write the section, sync, and return the settings."""
        self.file.write_text(f"calendars: {yaml}")
        settings = load_settings({"CANDLEWORKS_DSN": self.dsn, "CANDLEWORKS_CONFIG": str(self.file)})
        sync_calendars(self.connection, settings)
        return settings

    def tick(self, symbol: str, moment: str, price: float, volume: float | None = None) -> None:
        """Store a tick at a UTC moment such as 2026-03-06 14:30."""
        self.ticks(symbol, {at(moment): (price, volume)})

    def ticks(self, symbol: str, ticks: Mapping[datetime, tuple[float, float | None]]) -> None:
        """Store the price and volume of each moment."""
        self.connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [min(ticks), max(ticks)])
        prices, volumes = zip(*ticks.values(), strict=True)
        self.connection.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, volume)"
            " SELECT time, %s, price, volume FROM unnest(%s::timestamptz[], %s::float8[], %s::float8[])"
            " t(time, price, volume)",
            [symbol, list(ticks), list(prices), list(volumes)],
        )

    def sessions(self, symbol: str, start: str, stop: str, columns: str = "session, open, close") -> list[Any]:
        """Session candles with the first column as text where it is a date."""
        rows = self.connection.execute(
            f"SELECT {columns} FROM session_candles(%s, %s, %s)", [symbol, f"{start} UTC", f"{stop} UTC"]
        ).fetchall()
        return [tuple(str(value) if not isinstance(value, int | float) else value for value in row) for row in rows]

    def filled(
        self, symbol: str, period: str, start: str, stop: str, columns: str, *, carry: bool = False
    ) -> list[tuple[Any, ...]]:
        return self.connection.execute(
            f"SELECT {columns} FROM candles_filled(%s, %s, %s, %s, %s)",
            [symbol, period, f"{start} UTC", f"{stop} UTC", carry],
        ).fetchall()


def at(moment: str) -> datetime:
    """A UTC time such as 2026-03-06 14:30."""
    return datetime.fromisoformat(f"{moment}+00:00")


@pytest.fixture(scope="session")
def synced_template(engine: Engine, server_dsn: str, template: str) -> str:
    """The name of a migrated database with the default calendars, which take half a second to fill."""
    name = f"synced_{engine}"
    with new_template(server_dsn, name, template) as dsn, connect(dsn) as connection:
        sync_calendars(connection, load_settings({}))
    return name


@pytest.fixture
def market(server_dsn: str, synced_template: str, tmp_path: Path) -> Iterator[Market]:
    """A database of the test's own whose calendars are those of the default configuration."""
    with clone(server_dsn, synced_template) as dsn, connect(dsn, "test") as connection:
        yield Market(connection, dsn, tmp_path)
