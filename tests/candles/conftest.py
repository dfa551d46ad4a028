"""Candles computed a second time, in Python and from the ticks alone, to hold the database's against."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine

LEVELS = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "4h": 240, "1d": 1440}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = "bucket, symbol, open, high, low, close, volume, vwap, day_volume, ticks, rebuilt"


class Tick(NamedTuple):
    time: datetime
    symbol: str
    price: float
    day_volume: float | None = None
    volume: float | None = None
    origin: str = "test"


@dataclass(frozen=True)
class Candle:
    bucket: datetime
    symbol: str
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    vwap: float | None
    day_volume: float | None
    ticks: int
    rebuilt: bool

    def __eq__(self, other: object) -> bool:
        """Exact but for vwap, whose sums may be added in another order."""
        if not isinstance(other, Candle):
            return NotImplemented
        return self._exact() == other._exact() and _close(self.vwap, other.vwap)

    def __hash__(self) -> int:
        return hash(self._exact())

    def _exact(self) -> tuple[object, ...]:
        return (
            *(self.bucket, self.symbol, self.open, self.high, self.low, self.close),
            *(self.volume, self.day_volume, self.ticks, self.rebuilt),
        )


def _close(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and math.isclose(one, other, rel_tol=1e-9))


def candle_of(ticks: list[Tick], width: timedelta) -> Candle:
    ticks = sorted(ticks, key=lambda tick: tick.time)
    prices = [tick.price for tick in ticks]
    weighted = [(tick.price, tick.volume) for tick in ticks if tick.volume is not None]
    volume = math.fsum(v for _, v in weighted)
    totals = [tick.day_volume for tick in ticks if tick.day_volume is not None]
    return Candle(
        bucket=ticks[0].time - (ticks[0].time - EPOCH) % width,
        symbol=ticks[0].symbol,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=volume if weighted else None,
        vwap=math.fsum(p * v for p, v in weighted) / volume if volume else None,
        day_volume=totals[-1] if totals else None,
        ticks=len(ticks),
        rebuilt=any(tick.origin == "bar" for tick in ticks),
    )


def tick(moment: str, price: float, symbol: str = "AAPL", **others: Any) -> Tick:
    """A tick at a UTC time such as 2022-10-19 12:00:00."""
    return Tick(datetime.fromisoformat(f"{moment}+00:00"), symbol, price, **others)


class Market:
    """The ticks of one database, and its candles both ways."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def insert(self, ticks: Iterable[Tick]) -> int:
        """Insert in one statement; what is there already stays."""
        ticks = list(ticks)
        self.prepare(ticks)
        columns = [list(column) for column in zip(*ticks, strict=True)]
        return self.connection.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, day_volume, volume, origin)"
            " SELECT * FROM unnest(%s::timestamptz[], %s::text[], %s::float8[], %s::float8[], %s::float8[], %s::text[])"
            " ON CONFLICT DO NOTHING",
            columns,
        ).rowcount

    def prepare(self, ticks: Iterable[Tick]) -> None:
        for moment in {tick.time for tick in ticks}:
            self.connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [moment, moment])

    def ticks(self) -> list[Tick]:
        rows = self.connection.execute("SELECT time, symbol, price, day_volume, volume, origin FROM stocks_real_time")
        return [Tick(*row) for row in rows]

    def shown(self, level: str) -> list[Candle]:
        return self._read(f"public.candles_{level}")

    def stored(self, level: str) -> list[Candle]:
        return self._read(f"candleworks.stored_{level}")

    def _read(self, relation: str) -> list[Candle]:
        rows = self.connection.execute(f"SELECT {COLUMNS} FROM {relation} ORDER BY symbol, bucket")
        return [Candle(bucket.astimezone(UTC), *others) for bucket, *others in rows]

    def expected(self, level: str) -> list[Candle]:
        width = timedelta(minutes=LEVELS[level])
        groups: dict[tuple[str, datetime], list[Tick]] = defaultdict(list)
        for tick in self.ticks():
            groups[tick.symbol, tick.time - (tick.time - EPOCH) % width].append(tick)
        return [candle_of(groups[key], width) for key in sorted(groups)]

    def notes(self) -> int:
        row = self.connection.execute("SELECT count(*) FROM candleworks.candle_invalidations").fetchone()
        return int(row[0]) if row else 0

    def assert_shown_exactly(self) -> None:
        for level in LEVELS:
            assert self.shown(level) == self.expected(level), level

    def assert_stored_exactly(self) -> None:
        assert self.notes() == 0
        for level in LEVELS:
            assert self.stored(level) == self.expected(level), level


@pytest.fixture
def market(connection: Connection) -> Market:
    return Market(connection)


def stored_table(connection: Connection, engine: Engine, level: str) -> str:
    """Name the table that holds the stored candles of a level of trades."""
    if engine is Engine.POSTGRES:
        return f"candleworks.stored_{level}"
    row = connection.execute(
        "SELECT format('%%I.%%I', materialization_hypertable_schema, materialization_hypertable_name)"
        " FROM timescaledb_information.continuous_aggregates JOIN candleworks.candle_relations ON relation = view_name"
        " WHERE label = %s",
        [level],
    ).fetchone()
    assert row is not None
    return str(row[0])
