"""Files of others, imported beside a live feed: none of the checks takes them for trouble."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from candleworks import clock
from candleworks.candles.calendars import sync_calendars
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.imports.importer import Reading, import_file
from candleworks.quality import run_checks
from candleworks.settings import Settings
from tests.quality.conftest import FEED, failing

ROWS = 600
LIVE = {"AAPL": 260.0, "BTC/USD": 91_000.0}
NASDAQ = Reading(columns={"time": "timestamp", "symbol": "id", "price": "price", "day_volume": "dayVolume"})


def walk(start: datetime, price: float, step: float, seconds: float) -> Iterator[tuple[datetime, float]]:
    """Prices around one, a tick after the other."""
    chance = random.Random(11)
    for number in range(ROWS):
        price += step * chance.choice([-1, 0, 1])
        yield start + timedelta(seconds=seconds * number), round(price, 5)


def stocks() -> str:
    """A tutorial's recording of a day: several ticks in a second, totals of the day."""
    day = datetime(2022, 10, 19, 14, tzinfo=UTC)
    lines = [
        f"{at:%Y-%m-%d %H:%M:%S}+00,AAPL,{price},{n * 10}" for n, (at, price) in enumerate(walk(day, 143, 0.01, 0.4))
    ]
    return "\n".join(["time,symbol,price,day_volume", *lines]) + "\n"


def dukascopy_node() -> str:
    """Milliseconds since 1970, both sides with volumes; of eleven months later than the next file's."""
    ticks = walk(datetime(2023, 2, 20, 12, tzinfo=UTC), 24_921.5, 0.5, 0.2)
    lines = [f"{at.timestamp() * 1000:.0f},{price},{price - 10},1.5,13" for at, price in ticks]
    return "\n".join(["timestamp,askPrice,bidPrice,askVolume,bidVolume", *lines]) + "\n"


def truefx() -> str:
    """No header; top of book in milliseconds."""
    ticks = walk(datetime(2016, 1, 4, tzinfo=UTC), 1.08701, 0.00001, 0.25)
    return "".join(
        f"EUR/USD,{at:%Y%m%d %H:%M:%S}.{at.microsecond // 1000:03d},{price:.5f},{price + 0.00004:.5f}\n"
        for at, price in ticks
    )


def nasdaq(day: datetime, price: float) -> str:
    """As Yahoo Finance sends it: totals of the day, now and then 0, of a symbol that nobody streams."""
    lines = [
        f'"{at:%Y-%m-%dT%H:%M:%S}.000000Z","TSLA","NMS",8,{value},1,3.17,{n % 200 and n * 900.0},7.77,2'
        for n, (at, value) in enumerate(walk(day, price, 0.05, 6))
    ]
    return (
        "\n".join(
            [
                '"timestamp","id","exchange","quoteType","price","marketHours","changePercent","dayVolume","change","priceHint"',
                *lines,
            ]
        )
        + "\n"
    )


def exchange(day: datetime, price: float) -> str:
    """Trades of an exchange in microseconds, whose totals are far above those of the feed."""
    ticks = enumerate(walk(day, price, 0.5, 2))
    lines = [f"{at.isoformat()},BTC/USD,{value},{1_000_000 + n}" for n, (at, value) in ticks]
    return "\n".join(["time,symbol,price,day_volume", *lines]) + "\n"


def live(connection: Connection, until: datetime) -> None:
    """Forty minutes of a simulated feed, whose prices and totals are its own."""
    start = until - timedelta(minutes=40)
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [start, until])
    for symbol, price in LIVE.items():
        connection.execute("INSERT INTO company (symbol, name) VALUES (%s, %s)", [symbol, symbol])
        connection.execute("INSERT INTO feed_symbols VALUES (%s, %s, 'streaming', NULL, %s)", [FEED, symbol, start])
        connection.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, day_volume, received_at, origin)"
            " SELECT t, %s, %s + mod(n, 7) * 0.01, 5000 - 10 * n, t + interval '0.2 s', 'twelvedata'"
            " FROM generate_series(1, 480) n CROSS JOIN LATERAL (SELECT %s - n * interval '5 s' AS t) tick",
            [symbol, price, until],
        )


def test_imported_files_raise_nothing(connection: Connection, settings: Settings, tmp_path: Path) -> None:
    """Five formats of ten years and a live feed of one of their symbols: no check fails, by arrival and by time."""
    sync_calendars(connection, settings)
    now = clock.now().replace(microsecond=0)
    files = {
        "stocks.csv": (stocks(), Reading()),
        "btcusd-tick-2023-02-20-2023-02-21.csv": (dukascopy_node(), Reading()),
        "EURUSD-2016-01.csv": (truefx(), Reading()),
        "nasdaq_2022.csv": (nasdaq(datetime(2022, 10, 5, 16, tzinfo=UTC), 240.0), NASDAQ),
        "nasdaq_2023.csv": (nasdaq(datetime(2023, 9, 5, 16, tzinfo=UTC), 252.8), NASDAQ),
        "exchange_2023.csv": (exchange(datetime(2023, 9, 5, 16, tzinfo=UTC), 25_741.0), Reading()),
        "exchange_today.csv": (exchange(now - timedelta(hours=3), 64_000.0), Reading()),
    }
    for name, (content, reading) in files.items():
        path = tmp_path / name
        path.write_text(content)
        assert import_file(connection, settings, path, reading).record.stored == ROWS, name
    live(connection, now)
    refresh(connection)
    dsn = settings.dsn.get_secret_value() if settings.dsn else ""
    for since in (None, None, datetime(2016, 1, 1, tzinfo=UTC)):
        report = run_checks(settings, dsn, since=since)
        assert failing(report) == set(), [(found.check, found.observed) for found in report.failed]
        assert {"price-jump", "candle-levels", "refresh-lag"} <= {result.check for result in report.results}
