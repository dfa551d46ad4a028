"""Bars in Parquet and Arrow files become the same candles as the same bars in text."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from candleworks.database.engine import Engine
from candleworks.errors import TerminalError
from candleworks.imports.importer import Reading, import_file
from candleworks.imports.undo import undo_paths
from tests.imports.conftest import Desk

on_postgres = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
START = datetime(2024, 1, 15, 14, 30, tzinfo=UTC)
PRICES = {"Open": [1.0, 1.5], "High": [2.0, 2.25], "Low": [0.5, 1.25], "Close": [1.5, 2.0]}
CANDLES = [(START, 1.0, 2.0, 0.5, 1.5, 10.0), (START + timedelta(minutes=1), 1.5, 2.25, 1.25, 2.0, 20.5)]


def written(desk: Desk, columns: dict[str, Any], name: str = "AAPL.parquet") -> Path:
    path = desk.directory / name
    frame = pl.DataFrame(columns)
    if name.endswith(".parquet"):
        frame.write_parquet(path)
    else:
        frame.write_ipc(path)
    return path


def minutes(zone: str | None = "UTC") -> pl.Series:
    times = pl.Series([START, START + timedelta(minutes=1)]).dt.cast_time_unit("ms")
    return times.dt.convert_time_zone(zone) if zone else times.dt.replace_time_zone(None)


def take(desk: Desk, path: Path, **reading: Any) -> tuple[int, int, int, int]:
    return desk.summary(import_file(desk.connection, desk.settings, path, Reading(**reading)))


def candles(desk: Desk, level: str = "1m") -> list[tuple[Any, ...]]:
    return desk.connection.execute(
        f"SELECT bucket, open, high, low, close, volume FROM candles_{level} ORDER BY symbol, bucket"
    ).fetchall()


@pytest.mark.parametrize("name", ["AAPL.parquet", "AAPL.arrow"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_minute_bars_become_candles(desk: Desk, name: str, zone: str) -> None:
    """With times of any zone, names as vendors spell them, and columns that nobody needs; once only."""
    columns = {"Datetime": minutes(zone), **PRICES, "Volume": [10.0, 20.5], "tags": [["a"], []]}
    path = written(desk, columns, name)
    assert take(desk, path, symbol="AAPL") == (2, 2, 0, 0)
    assert candles(desk) == CANDLES
    assert import_file(desk.connection, desk.settings, path, Reading(symbol="AAPL")).known
    (report,) = undo_paths(desk.connection, desk.settings, [path])
    assert report.undone is not None
    assert report.undone.bars == 2
    assert candles(desk) == []


@on_postgres
def test_days_are_dates(desk: Desk) -> None:
    columns = {"Date": [START.date(), START.date() + timedelta(days=1)], **PRICES, "Volume": [10, 20]}
    assert take(desk, written(desk, columns), symbol="BTC/USD") == (2, 2, 0, 0)
    assert [row[1:] for row in candles(desk, "1d")] == [(1.0, 2.0, 0.5, 1.5, 10.0), (1.5, 2.25, 1.25, 2.0, 20.0)]


@on_postgres
def test_times_without_a_zone_need_one(desk: Desk) -> None:
    """As in text files."""
    path = written(desk, {"time": minutes(None), **PRICES, "Volume": [10.0, 20.5]})
    with pytest.raises(TerminalError, match="without an offset from UTC: name their zone with --timezone"):
        take(desk, path, symbol="AAPL")
    assert take(desk, path, symbol="AAPL", timezone="UTC") == (2, 2, 0, 0)
    assert candles(desk) == CANDLES


@on_postgres
def test_columns_are_mapped(desk: Desk) -> None:
    """By names or by numbers; the options and formats of text files hold."""
    columns = {"n": [1, 2], "at": minutes(), "o": [1.0, 1.5], "h": [2.0, 2.25], "l": [0.5, 1.25], "c": [1.5, 2.0]}
    mapped = {"time": "at", "open": "o", "high": "h", "low": "l", "close": "c"}
    numbered = {"time": "2", "open": "3", "high": "4", "low": "5", "close": "6"}
    for symbol, options in (("A", mapped), ("B", numbered)):
        path = written(desk, {**columns, "s": [symbol, symbol]}, f"{symbol}.parquet")
        assert take(desk, path, symbol=symbol, columns=options) == (2, 2, 0, 0)
    assert [row[1:5] for row in candles(desk)] == [row[1:5] for row in CANDLES] * 2


@on_postgres
@pytest.mark.parametrize("format", ["bars", "parquet"])
def test_the_format_may_be_named(desk: Desk, format: str) -> None:  # noqa: A002 - the option's name
    assert take(desk, written(desk, {"time": minutes(), **PRICES}), symbol="A", format=format) == (2, 2, 0, 0)


@on_postgres
def test_one_side_waits_for_the_other(desk: Desk) -> None:
    for side, more in (("bid", 0.0), ("ask", 0.25)):
        columns = {name: [price + more for price in prices] for name, prices in PRICES.items()}
        path = written(desk, {"timestamp": minutes(), **columns}, f"eurusd-m1-{side}-2024.parquet")
        assert take(desk, path) == (2, 2, 0, 0)
    rows = desk.connection.execute("SELECT bid_open, ask_close FROM quote_candles_1m ORDER BY bucket").fetchall()
    assert rows == [(1.0, 1.75), (1.5, 2.25)]


@on_postgres
def test_bad_rows_are_rejected_with_their_reason(desk: Desk) -> None:
    times = [START + timedelta(minutes=n) for n in range(4)]
    columns = {"time": times, **{name: prices * 2 for name, prices in PRICES.items()}}
    columns |= {"Close": [1.5, 2.0, float("nan"), 9.0], "volume": [1.0, None, 1.0, 1.0]}
    assert take(desk, written(desk, columns), symbol="AAPL") == (4, 2, 0, 2)
    assert [row[1] for row in desk.rejected()] == [
        "line 4: close '' is not a number",
        "line 5: high 2.25 is below close 9.0",
    ]


@on_postgres
def test_a_broken_table_is_that_files_error(desk: Desk) -> None:
    path = written(desk, {"time": minutes(), **PRICES})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TerminalError, match="is a broken parquet file"):
        take(desk, path, symbol="AAPL")
