"""Candles that a test chooses, stored as ticks, and indicators read from them."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from psycopg.conninfo import make_conninfo

from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.settings import load_settings
from tests.conftest import clone, new_template

START = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)  # a Monday, when New York opens
COLUMNS = {
    "sma": ["value"],
    "ema": ["value"],
    "rma": ["value"],
    "wma": ["value"],
    "vwap": ["value"],
    "bollinger": ["upper", "middle", "lower"],
    "donchian": ["upper", "middle", "lower"],
    "keltner": ["upper", "middle", "lower"],
    "rsi": ["value"],
    "macd": ["macd", "signal", "histogram"],
    "atr": ["value"],
    "stochastic": ["k", "d"],
    "obv": ["value"],
    "returns": ["simple", "log"],
    "volatility": ["value"],
}
_numbers = itertools.count()


class Bar(NamedTuple):
    """A candle to be, made of four ticks: open, high, low, close, each with a quarter of the volume."""

    bucket: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float | None = None


class Market:
    """A database whose candles are known."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def store(self, bars: list[Bar], symbol: str | None = None, *, seconds: int = 60) -> str:
        """Store the ticks of the candles, and return the symbol, a new one unless it is given."""
        symbol = symbol or f"S{next(_numbers)}"
        self.connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [bars[0].bucket, bars[-1].bucket])
        step = timedelta(seconds=seconds / 4)
        with self.connection.cursor().copy("COPY stocks_real_time (time, symbol, price, volume) FROM STDIN") as copy:
            for bar in bars:
                volume = None if bar.volume is None else bar.volume / 4
                for number, price in enumerate((bar.open, bar.high, bar.low, bar.close)):
                    copy.write_row((bar.bucket + number * step, symbol, price, volume))
        return symbol

    def read(
        self,
        name: str,
        symbol: str,
        start: datetime | str | None = None,
        stop: datetime | str | None = None,
        period: str = "1 minute",
        **parameters: Any,
    ) -> pd.DataFrame:
        """Return an indicator's columns by bucket; null is NaN."""
        named = "".join(f", {parameter} => %({parameter})s" for parameter in parameters)
        cursor = self.connection.execute(
            f"SELECT * FROM indicators.{name}(%(symbol)s, %(period)s, %(start)s, %(stop)s{named})",
            {"symbol": symbol, "period": period, "start": start, "stop": stop, **parameters},
        )
        names = [column.name for column in cursor.description or ()]
        frame = pd.DataFrame(cursor.fetchall(), columns=names)
        return frame.set_index(names[0]).astype(float)

    def candles(self, symbol: str, period: str = "1 minute", zone: str | None = None) -> pd.DataFrame:
        """Return what ohlc() has of the symbol, by bucket."""
        columns = ["bucket", "open", "high", "low", "close", "volume"]
        rows = self.connection.execute(
            f"SELECT {', '.join(columns)} FROM ohlc(%s, %s, NULL, NULL, zone => %s)", [symbol, period, zone]
        ).fetchall()
        return pd.DataFrame(rows, columns=columns).set_index("bucket").astype(float)


def every_minute(closes: list[float], *, start: datetime = START, volume: float | None = 40.0) -> list[Bar]:
    """One candle a minute without a range of its own."""
    return [Bar(start + timedelta(minutes=n), c, c, c, c, volume) for n, c in enumerate(closes)]


@pytest.fixture(scope="session")
def calendar_template(engine: Engine, server_dsn: str, template: str) -> str:
    """The name of a migrated database with the default calendars."""
    name = f"indicators_{engine}"
    with new_template(server_dsn, name, template) as dsn, connect(dsn) as connection:
        sync_calendars(connection, load_settings({}))
    return name


@pytest.fixture
def dsn(server_dsn: str, calendar_template: str) -> Iterator[str]:
    """A migrated database of the test's own whose calendars are those of the default configuration."""
    with clone(server_dsn, calendar_template) as dsn:
        yield dsn


@pytest.fixture
def market(connection: Connection) -> Market:
    return Market(connection)


@pytest.fixture
def shared_data() -> Path:
    """The recorded day."""
    directory = Path(__file__).parents[2] / "../shared/data"
    if not directory.is_dir():
        pytest.skip("the recorded day is not there: put stocks_real_time_2022-10-19.csv in ../shared/data")
    return directory


@pytest.fixture
def reader(dsn: str, connection: Connection) -> Iterator[Connection]:
    """A role that may only read the relations in public."""
    name = f"indicator_reader_{next(_numbers)}"
    connection.execute(f"CREATE ROLE {name} LOGIN")
    connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
    with connect(make_conninfo(dsn, user=name)) as own:
        yield own
    connection.execute(f"DROP OWNED BY {name}")
    connection.execute(f"DROP ROLE {name}")
