"""The sample of TimescaleDB's tutorial: 49,999 real ticks, imported and recomputed with pandas."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from candleworks.database.engine import Engine
from tests.imports.conftest import Desk

DATA = Path(__file__).parents[3] / "shared" / "data"
TICKS = DATA / "stocks_real_time_2022-10-19.csv"
COMPANIES = DATA / "company.csv"
LEVELS = {"1m": "1min", "5m": "5min", "15m": "15min", "1h": "1h", "4h": "4h", "1d": "1D"}

pytestmark = [
    pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True),
    pytest.mark.skipif(not TICKS.is_file(), reason=f"the real sample is not there: {TICKS}"),
]


@pytest.fixture
def truth() -> pd.DataFrame:
    """The file's rows in arrival order: newest first, but in order within each second."""
    frame = pd.read_csv(TICKS)
    frame["event_time"] = pd.to_datetime(frame["time"], utc=True)
    frame = frame.sort_values("event_time", kind="stable").reset_index(drop=True)
    frame["ordinal"] = frame.groupby(["symbol", "event_time"]).cumcount()
    frame["volume"] = frame.groupby("symbol", group_keys=False)["day_volume"].apply(_volume)
    return frame.sort_values(["symbol", "event_time", "ordinal"], kind="stable").reset_index(drop=True)


def _volume(totals: pd.Series) -> pd.Series:
    """What each total adds to the highest one before it; the file lies within one trading day."""
    before = totals.cummax().ffill().shift()
    return (totals - before).clip(lower=0).where(totals.notna() & before.notna())


def expected_candles(truth: pd.DataFrame, width: str) -> pd.DataFrame:
    weighted = (truth["price"] * truth["volume"]).groupby([truth["symbol"], truth["event_time"].dt.floor(width)])
    groups = truth.groupby(["symbol", truth["event_time"].dt.floor(width).rename("bucket")])
    candles = groups.agg(
        open=("price", "first"),
        high=("price", "max"),
        low=("price", "min"),
        close=("price", "last"),
        volume=("volume", lambda volume: volume.sum(min_count=1)),
        day_volume=("day_volume", "last"),
        ticks=("price", "size"),
    )
    candles["vwap"] = (weighted.sum(min_count=1) / candles["volume"]).where(candles["volume"] > 0)
    return candles.reset_index()


def read(desk: Desk, sql: str, columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(desk.connection.execute(sql).fetchall(), columns=columns)


def candles(desk: Desk, level: str) -> pd.DataFrame:
    columns = ["symbol", "bucket", "open", "high", "low", "close", "volume", "vwap", "day_volume", "ticks"]
    return read(desk, f"SELECT {', '.join(columns)} FROM candles_{level} ORDER BY symbol, bucket", columns)


def assert_same(found: pd.Series, wanted: pd.Series, name: str, **tolerance: Any) -> None:
    """Compare as floats; what is missing here has to be missing there."""
    np.testing.assert_allclose(found.astype(float), wanted.astype(float), err_msg=name, **({"rtol": 0} | tolerance))


def test_every_row_of_the_sample_is_stored_in_order(desk: Desk, truth: pd.DataFrame) -> None:
    """49,999 rows are read and stored, ordinals follow arrival, volumes the running totals; again adds nothing."""
    assert desk.summary(desk.take(TICKS)) == (49_999, 49_999, 0, 0)
    columns = ["time", "symbol", "price", "day_volume", "volume"]
    found = read(desk, f"SELECT {', '.join(columns)} FROM stocks_real_time ORDER BY symbol, time", columns)
    wanted_time = truth["event_time"] + pd.to_timedelta(truth["ordinal"], unit="us")
    assert (found["time"].to_numpy() == wanted_time.to_numpy()).all()
    assert (found["symbol"] == truth["symbol"]).all()
    for name in ("price", "day_volume", "volume"):
        assert_same(found[name], truth[name], name)
    assert desk.take(TICKS).known
    assert desk.summary(desk.take(TICKS, again=True)) == (49_999, 0, 49_999, 0)
    assert desk.counts() == (49_999, 0, 1)


def test_every_candle_of_the_sample_is_what_pandas_computes(desk: Desk, truth: pd.DataFrame) -> None:
    """At all levels, without any further command."""
    desk.take(TICKS)
    assert desk.count("candleworks.candle_invalidations") == 0
    for level, width in LEVELS.items():
        wanted = expected_candles(truth, width)
        found = candles(desk, level)
        assert len(found) == len(wanted) > 0
        assert (found["symbol"] == wanted["symbol"]).all()
        assert (found["bucket"].to_numpy() == wanted["bucket"].to_numpy()).all()
        for name in ("open", "high", "low", "close", "volume", "day_volume", "ticks"):
            assert_same(found[name], wanted[name], f"{level} {name}")
        assert_same(found["vwap"], wanted["vwap"], f"{level} vwap", rtol=1e-9)


def test_half_of_the_sample_is_completed_by_the_whole(desk: Desk, truth: pd.DataFrame) -> None:
    """Every second row first: the order within a second is then another, everything that it does not touch is equal."""
    lines = TICKS.read_text().splitlines(keepends=True)
    desk.take("".join([lines[0], *lines[1::2]]))
    assert desk.summary(desk.take(TICKS)) == (49_999, 24_999, 25_000, 0)
    for level, width in LEVELS.items():
        for name in ("high", "low", "ticks"):
            assert_same(candles(desk, level)[name], expected_candles(truth, width)[name], f"{level} {name}")


def test_the_sample_of_companies_is_stored(desk: Desk) -> None:
    """100 rows, once."""
    assert desk.summary(desk.take(COMPANIES)) == (100, 100, 0, 0)
    assert desk.take(COMPANIES).known
    assert desk.count("company") == 100
    assert desk.connection.execute("SELECT name FROM company WHERE symbol = 'AAPL'").fetchall() == [("Apple",)]
