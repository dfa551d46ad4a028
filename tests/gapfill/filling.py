"""A feed with holes: ticks of the simulated market, stored but for the gaps, and its bars to hold candles against."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from candleworks.candles.audit import audit
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.gapfill.fill import fill_gaps
from candleworks.gapfill.report import FillReport
from candleworks.model.notices import Notice
from candleworks.model.trades import Trades, microseconds_of
from candleworks.settings import Feed, Rest, Settings
from candleworks.simulate import RunningSimulator, running_simulator
from candleworks.simulate.catalogue import built_in_catalogue
from candleworks.simulate.market import LiveMarket
from candleworks.storage.calendars import OTHER_STOCKS, Calendar, Session, save_calendar, save_rules
from candleworks.storage.trades import TradeStore

SYMBOLS = ("BTC/USD", "ETH/USD", "EUR/USD")  # the last one has no volume
RATE = 1.5
MINUTE = timedelta(minutes=1)
# A Wednesday, so that currencies are open: the latest one that is over for a day.
_YESTERDAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
DAY = _YESTERDAY - timedelta(days=(_YESTERDAY.weekday() - 2) % 7)
NOON = DAY + timedelta(hours=12)
FREE = Rest(credits_per_minute=10_000, credits_per_day=None, settle_seconds=0, attempts=1)
PRICES = ("open", "high", "low", "close")
LEVELS = ("1m", "5m", "15m", "1h", "4h", "1d")

BarRow = tuple[float, float, float, float, float | None]


@contextmanager
def vendor(symbols: Sequence[str] = SYMBOLS) -> Iterator["Vendor"]:
    with running_simulator(rate=RATE, symbols=symbols) as running:
        yield Vendor(running, LiveMarket(built_in_catalogue(), symbols=tuple(symbols), rate=RATE, seed=1))


@dataclass(frozen=True)
class Vendor:
    """The simulator, and the same market to look into."""

    running: RunningSimulator
    market: LiveMarket
    _known: dict[tuple[str, datetime, datetime], Trades] = field(default_factory=dict)

    def ticks(self, symbol: str, start: datetime, stop: datetime) -> Trades:
        """Every tick that is stamped in [start, stop)."""
        if (symbol, start, stop) not in self._known:  # some tenths of a second, and most tests ask for the same
            self._known[symbol, start, stop] = self._ticks(symbol, start, stop)
        found = self._known[symbol, start, stop]
        return found.part(0, len(found))

    def _ticks(self, symbol: str, start: datetime, stop: datetime) -> Trades:
        row = self.market.catalogue.find(symbol)
        assert row is not None
        found = Trades()
        for second in range(int(start.timestamp()), int(stop.timestamp())):
            ticks, _ = self.market.source.second(_rows(row), second)
            for price, volume in zip(ticks.prices.tolist(), ticks.volumes.tolist(), strict=True):
                append(found, second, symbol, price, float(volume) if self.has_volume(symbol) else None)
        return found

    def has_volume(self, symbol: str) -> bool:
        row = self.market.catalogue.find(symbol)
        assert row is not None
        return self.market.catalogue.instruments[row].has_volume

    def bars(self, symbol: str, start: datetime, stop: datetime) -> dict[datetime, BarRow]:
        """The bars of [start, stop), by their minutes."""
        row = self.market.catalogue.find(symbol)
        assert row is not None
        now_us = time.time_ns() // 1000
        bars = self.market.minute_bars(row, int(start.timestamp()), int(stop.timestamp()), now_us)
        volumes: list[float | None] = [float(v) if self.has_volume(symbol) else None for v in bars.volumes.tolist()]
        columns = [column.tolist() for column in (bars.starts, bars.opens, bars.highs, bars.lows, bars.closes)]
        return {
            datetime.fromtimestamp(minute, UTC): (*prices, volume)
            for minute, *prices, volume in zip(*columns, volumes, strict=True)
        }


def _rows(row: int) -> Any:
    import numpy as np  # noqa: PLC0415

    return np.array([row])


def append(trades: Trades, second: int, symbol: str, price: float, day_volume: float | None) -> None:
    trades.event_us.append(second * 1_000_000)
    trades.ordinal.append(0)
    trades.symbol.append(symbol)
    trades.price.append(price)
    trades.day_volume.append(day_volume)
    trades.volume.append(None)
    trades.bid.append(None)
    trades.ask.append(None)
    trades.received_us.append(second * 1_000_000)


def without(trades: Trades, *gaps: tuple[datetime, datetime]) -> Trades:
    """What is left when all ticks within the gaps, bounds excluded, are missed."""
    bounds = [(microseconds_of(start), microseconds_of(stop)) for start, stop in gaps]
    kept = [
        index
        for index, event_time in enumerate(trades.event_us)
        if not any(start < event_time < stop for start, stop in bounds)
    ]
    return Trades(*([getattr(trades, column.name)[index] for index in kept] for column in fields(Trades)))


@dataclass
class Platform:
    """One database with its feeds, and the vendor that it fills its gaps from."""

    connection: Connection
    settings: Settings
    vendor: Vendor
    notices: list[Notice] = field(default_factory=list)
    asked_before: int = 0

    def store(self, trades: Trades, origin: str = "twelvedata") -> None:
        store = TradeStore(self.connection, origin, lambda _: ZoneInfo("UTC"))
        store.prepare(trades.event_us)
        store.merge(trades, Trades())

    def book(self, start: datetime, stop: datetime | None, symbol: str | None = None, feed: str = "crypto") -> int:
        row = self.connection.execute(
            "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason) VALUES (%s, %s, %s, %s, 'test')"
            " RETURNING id",
            [feed, symbol, start, stop],
        ).fetchone()
        assert row
        return int(row[0])

    def fill(self, settings: Settings | None = None, **options: Any) -> FillReport:
        chosen = settings or self.settings
        assert chosen.dsn
        return fill_gaps(chosen, chosen.dsn.get_secret_value(), notify=self.notices.append, **options)

    def with_rest(self, **changes: object) -> Settings:
        return self.settings.model_copy(update={"rest": self.settings.rest.model_copy(update=changes)})

    def candles(self, symbol: str, start: datetime, stop: datetime, level: str = "1m") -> dict[datetime, BarRow]:
        rows = self.connection.execute(
            f"SELECT bucket, open, high, low, close, volume FROM candles_{level}"
            " WHERE symbol = %s AND bucket >= %s AND bucket < %s ORDER BY bucket",
            [symbol, start, stop],
        ).fetchall()
        return {bucket: (opened, high, low, close, volume) for bucket, opened, high, low, close, volume in rows}

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, parameters).fetchall()

    def outcomes(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT gap_id, symbol, outcome, bars FROM gap_fills ORDER BY gap_id, symbol")

    def filled(self) -> list[int]:
        return [number for (number,) in self.rows("SELECT id FROM feed_gaps WHERE filled_at IS NOT NULL ORDER BY id")]

    def bar_ticks(self) -> int:
        return int(self.rows("SELECT count(*) FROM stocks_real_time WHERE origin = 'bar'")[0][0])

    def assert_consistent(self) -> None:
        """Candles say what their ticks say, and volumes what running totals say."""
        refresh(self.connection)
        day = timedelta(days=1)
        assert audit(self.connection, DAY - day, DAY + day).differences == []
        wrong = self.rows(
            "SELECT symbol, time, day_volume, volume, greatest(day_volume - before, 0) FROM ("
            "  SELECT *, max(day_volume) OVER (PARTITION BY symbol, time_bucket('1 day', time) ORDER BY time"
            "    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM stocks_real_time) t"
            " WHERE day_volume IS NOT NULL AND before IS NOT NULL AND volume IS DISTINCT FROM"
            " greatest(day_volume - before, 0)"
        )
        assert wrong == []


def platform_of(connection: Connection, settings: Settings, vendor: Vendor) -> Platform:
    for name in ("FX", "XNYS"):  # open from 10:00 to 20:00 on this one day
        session = Session(DAY.date(), DAY + timedelta(hours=10), DAY + timedelta(hours=20), None, None)
        save_calendar(connection, Calendar(name, DAY.date() - timedelta(days=300), DAY.date(), "test", [session]))
    save_rules(connection, {OTHER_STOCKS: "XNYS"})
    chosen = settings.model_copy(
        update={
            "rest_url": vendor.running.rest_url,
            "rest": FREE,
            "feeds": (Feed(name="crypto", symbols=SYMBOLS),),
        }
    )
    return Platform(connection, chosen, vendor, asked_before=vendor.running.stats()["bar_requests"])
