"""Indicators equal TA-Lib's or their formulas, wherever a range begins, on either engine."""

import math
import random
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pytest
import talib
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from candleworks.database.connection import Connection
from candleworks.imports.importer import import_file
from candleworks.settings import Settings
from tests.indicators.conftest import COLUMNS, START, Bar, Market, every_minute
from tests.indicators.reference import (
    BY_FORMULA,
    BY_TALIB,
    assert_equal,
    bollinger_by_formula,
    obv,
    vwap,
)

BASE = 100.0
PERIODS = {"1 minute": 1, "5 minutes": 5, "7 minutes": 7, "1 hour": 60}
LENGTHS = st.integers(2, 30)
PARAMETERS = {
    **dict.fromkeys(
        ("sma", "ema", "rma", "wma", "rsi", "atr", "donchian", "volatility"), st.fixed_dictionaries({"length": LENGTHS})
    ),
    "bollinger": st.fixed_dictionaries({"length": LENGTHS, "deviations": st.sampled_from([0.5, 2.0])}),
    "keltner": st.fixed_dictionaries({"length": LENGTHS, "range_length": LENGTHS}),
    "macd": st.fixed_dictionaries(
        {"fast_length": st.integers(2, 10), "slow_length": st.integers(11, 26), "signal_length": st.integers(2, 9)}
    ),
    "stochastic": st.fixed_dictionaries(
        {"length": LENGTHS, "k_length": st.integers(1, 4), "d_length": st.integers(1, 4)}
    ),
    **dict.fromkeys(("obv", "vwap", "returns"), st.just({})),
}
STEPS = st.tuples(
    st.integers(-50, 50),  # cents from close to close
    st.integers(0, 30),  # cents from the higher of open and close up to the high
    st.integers(0, 30),
    st.none() | st.integers(0, 500),
    st.sampled_from([1, 1, 1, 1, 2, 30, 1_020]),  # minutes to the next candle
)
MANY = examples(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def bars_of(steps: list[tuple[int, int, int, int | None, int]]) -> list[Bar]:
    bars = []
    close, moment = round(BASE * 100), START
    for change, above, below, volume, minutes in steps:
        before, close = close, max(close + change, 100)
        cents = (before, max(before, close) + above, max(min(before, close) - below, 1), close)
        bars.append(Bar(moment, *(price / 100 for price in cents), None if volume is None else volume * 4.0))
        moment += timedelta(minutes=minutes)
    return bars


def walk(count: int, seed: int, *, sessions: bool = False) -> list[Bar]:
    """A random walk; with sessions it lasts 390 minutes on each weekday."""
    rnd = random.Random(seed)
    steps = []
    for number in range(count):
        ends = sessions and number % 390 == 389
        minutes = 1 + (1_050 + (2_880 if number // 390 % 5 == 4 else 0) if ends else 0)
        steps.append((rnd.randint(-20, 20), rnd.randint(0, 10), rnd.randint(0, 10), rnd.randint(0, 100), minutes))
    return bars_of(steps)


def new_york_days(candles: pd.DataFrame) -> pd.Series:
    return pd.Series(pd.DatetimeIndex(candles.index).tz_convert("America/New_York").date, index=candles.index)


def expect(name: str, candles: pd.DataFrame, **parameters: object) -> dict[str, np.ndarray]:
    if name in ("obv", "vwap"):
        return {"obv": obv, "vwap": vwap}[name](candles, new_york_days(candles))
    if name == "bollinger":
        return bollinger_by_formula(candles, **parameters)
    return {**BY_TALIB, **BY_FORMULA}[name](candles, **parameters)


def as_talib_shows(name: str, found: pd.DataFrame) -> pd.DataFrame:
    """TA-Lib begins both lines with the later one."""
    return found.where(found.notna().all(axis=1)) if name in ("macd", "stochastic") else found


def test_a_real_day_equals_talib(market: Market, settings: Settings, shared_data: Path) -> None:
    """The most traded symbols of a recorded day, in minutes and in multiples of them."""
    import_file(market.connection, settings, shared_data / "stocks_real_time_2022-10-19.csv")
    rows = market.connection.execute(
        "SELECT symbol FROM stocks_real_time GROUP BY symbol ORDER BY count(*) DESC LIMIT 3"
    ).fetchall()
    for (symbol,) in rows:
        for period in ("1 minute", "3 minutes"):
            candles = market.candles(symbol, period)
            assert len(candles) > 80
            for name, function in {**BY_TALIB, **BY_FORMULA}.items():
                found = market.read(name, symbol, period=period)
                assert list(found.index) == list(candles.index)
                assert_equal(as_talib_shows(name, found), function(candles), (symbol, period, name))
            assert_equal(market.read("obv", symbol, period=period), obv(candles, new_york_days(candles)), symbol)


@MANY
@given(steps=st.lists(STEPS, min_size=1, max_size=90), data=st.data())
def test_any_candles_equal_talib_or_the_formula(
    market: Market, steps: list[tuple[int, ...]], data: st.DataObject
) -> None:
    """Flat stretches, missing minutes, nights and candles without volume included; before enough candles it is null."""
    symbol = market.store(bars_of(steps))
    candles = market.candles(symbol)
    for name in COLUMNS:
        parameters = data.draw(PARAMETERS[name], name)
        found = as_talib_shows(name, market.read(name, symbol, **parameters))
        assert list(found.columns) == COLUMNS[name]
        assert list(found.index) == list(candles.index)
        assert_equal(found, expect(name, candles, **parameters), (name, parameters))


@MANY
@given(data=st.data())
def test_values_do_not_depend_on_where_a_range_begins(walked: tuple[Market, str], data: st.DataObject) -> None:
    """Any range shows what the whole history shows there: warm-up is read before it, across nights and weekends."""
    market, symbol = walked
    name = data.draw(st.sampled_from(sorted(COLUMNS)))
    parameters = data.draw(PARAMETERS[name])
    period = data.draw(st.sampled_from(sorted(PERIODS)))
    whole = market.read(name, symbol, period=period, **parameters)
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(whole) - 1)] * 2)))
    start = whole.index[first] + timedelta(seconds=data.draw(st.integers(0, 59)))
    part = market.read(name, symbol, start, whole.index[last] + timedelta(seconds=1), period, **parameters)
    pd.testing.assert_frame_equal(part, whole.iloc[first : last + 1], rtol=1e-9, atol=1e-9, check_freq=False)


@pytest.fixture
def walked(market: Market) -> tuple[Market, str]:
    return market, market.store(walk(4_000, 7, sessions=True))


def test_warm_up_is_counted_in_candles(market: Market) -> None:
    """Twenty candles lie a year before the range; they are found, and a symbol's first candles have no more."""
    symbol = market.store(every_minute([float(n) for n in range(1, 20)], start=START - timedelta(days=365)))
    market.store(every_minute([20.0, 21.0]), symbol)
    assert market.read("sma", symbol, START, length=20)["value"].tolist() == [10.5, 11.5]
    assert math.isnan(market.read("sma", symbol, START, length=21)["value"].iloc[0])
    assert market.read("sma", symbol, START, length=21)["value"].iloc[1] == 11.0


def test_long_periods_are_warmed_up_over_years(market: Market) -> None:
    """Days of any zone, weeks and months."""
    bars = [Bar(START + timedelta(days=n), *[100.0 + n] * 4, 4.0) for n in range(400)]
    symbol = market.store(bars)
    for period, zone in product(("1 day", "1 week", "1 month"), (None, "America/New_York", "Asia/Kolkata")):
        candles = market.candles(symbol, period, zone=zone)
        whole = market.read("sma", symbol, period=period, length=3, zone=zone)
        assert_equal(whole, BY_TALIB["sma"](candles, 3), (period, zone))
        assert list(whole.index) == list(candles.index)
        assert list(market.read("vwap", symbol, period=period, zone=zone).index) == list(candles.index)
        part = market.read("sma", symbol, whole.index[5], period=period, length=3, zone=zone)
        pd.testing.assert_frame_equal(part, whole.iloc[5:], check_freq=False)


def test_seconds_are_computed_from_ticks(market: Market) -> None:
    """Of the last week, with the average price since the day began; a range without bounds is refused as by ohlc()."""
    symbol = market.store(walk(200, 3), seconds=8)
    period = "2 seconds"
    stop = START + timedelta(days=1)
    ticks = market.connection.execute(
        "SELECT price, volume FROM stocks_real_time WHERE symbol = %s ORDER BY time", [symbol]
    ).fetchall()
    prices = pd.Series([price for price, _ in ticks])
    volumes = pd.Series([volume for _, volume in ticks])
    whole = market.read("sma", symbol, START, stop, period, length=5)
    assert_equal(whole, {"value": talib.SMA(prices.to_numpy(), 5)})
    part = market.read("sma", symbol, whole.index[300], stop, period, length=5)
    pd.testing.assert_frame_equal(part, whole.iloc[300:], check_freq=False)
    weighted = (prices * volumes).cumsum() / volumes.cumsum().where(volumes.cumsum() > 0)
    assert_equal(market.read("vwap", symbol, START, stop, period), {"value": weighted.to_numpy()})
    for name in ("sma", "vwap"):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="at most 7 days for periods below a minute"):
            market.read(name, symbol, None, stop, period)


def test_flat_prices_divide_by_nothing(market: Market) -> None:
    """As TA-Lib: no strength, the bottom of an empty range, bands of no width."""
    symbol = market.store(every_minute([5.0] * 60))
    assert market.read("rsi", symbol)["value"].dropna().unique().tolist() == [0.0]
    assert market.read("stochastic", symbol)["k"].dropna().unique().tolist() == [0.0]
    bands = market.read("bollinger", symbol).dropna()
    assert (bands["upper"] == bands["lower"]).all()
    assert market.read("volatility", symbol)["value"].dropna().unique().tolist() == [0.0]
    assert market.read("returns", symbol).iloc[1].tolist() == [0.0, 0.0]


def test_without_any_volume_there_is_nothing_to_weigh(market: Market) -> None:
    """Volume-weighted values are null until a candle of the day has a volume, and a profile is empty."""
    symbol = market.store(every_minute([1.0, 2.0], volume=None))
    assert market.read("vwap", symbol)["value"].isna().all()
    assert market.read("obv", symbol)["value"].isna().all()
    assert market.read("volume_profile", symbol).empty


def test_bands_lie_as_many_deviations_apart_as_wanted(market: Market) -> None:
    """The population's deviation, by which Bollinger and TA-Lib go."""
    symbol = market.store(every_minute([1.0, 3.0]))
    assert market.read("bollinger", symbol, length=2, deviations=1.5).iloc[1].tolist() == [3.5, 2.0, 0.5]


def test_volatility_can_be_that_of_a_year(market: Market) -> None:
    """The root of the number of periods in a year scales it."""
    symbol = market.store(every_minute([1.0, math.e, 1.0]))
    assert market.read("volatility", symbol, length=2)["value"].iloc[2] == pytest.approx(1.0)
    yearly = market.read("volatility", symbol, length=2, periods_per_year=252)
    assert yearly["value"].iloc[2] == pytest.approx(math.sqrt(252))


def test_the_average_price_begins_anew_with_the_session(market: Market) -> None:
    """Stocks at midnight of their exchange; currencies when New York's afternoon ends, though UTC has the same date."""
    evening = datetime(2026, 3, 3, 21, 58, tzinfo=UTC)  # 16:58 in New York
    bars = every_minute([1.0, 2.0, 3.0, 5.0], start=evening)
    market.store(bars, "EUR/USD")
    assert market.read("vwap", "EUR/USD")["value"].tolist() == [1.0, 1.5, 3.0, 4.0]
    market.store(bars, "AAPL")
    assert market.read("vwap", "AAPL")["value"].tolist() == [1.0, 1.5, 2.0, 2.75]
    market.store(every_minute([1.0, 3.0], start=datetime(2026, 3, 3, 23, 59, tzinfo=UTC)), "BTC/USD")
    assert market.read("vwap", "BTC/USD")["value"].tolist() == [1.0, 3.0]
    assert market.read("obv", "BTC/USD")["value"].tolist() == [40.0, 40.0]


def test_daily_balance_begins_with_the_first_candle(market: Market) -> None:
    """From any day on it shows what all days before have added up to; the average price of a day is its own."""
    days = [Bar(START + timedelta(days=n), *[price] * 4, 40.0) for n, price in enumerate([1.0, 2.0, 1.5, 1.5, 3.0])]
    symbol = market.store(days)
    assert market.read("obv", symbol, period="1 day")["value"].tolist() == [40.0, 80.0, 40.0, 40.0, 80.0]
    assert market.read("obv", symbol, days[3].bucket, period="1 day")["value"].tolist() == [40.0, 80.0]
    assert market.read("vwap", symbol, period="1 day")["value"].tolist() == [1.0, 2.0, 1.5, 1.5, 3.0]


@MANY
@example(steps=[(0, 0, 0, 1, 1)], bins=2)
@given(steps=st.lists(STEPS, min_size=1, max_size=40), bins=st.integers(1, 30))
def test_a_profile_spreads_each_candles_volume(market: Market, steps: list[tuple[int, ...]], bins: int) -> None:
    """Evenly from low to high, in equal steps, and nothing is lost."""
    symbol = market.store(bars_of(steps))
    traded = market.candles(symbol).query("volume > 0")
    profile = market.read("volume_profile", symbol, bins=bins).reset_index()
    if traded.empty:
        assert profile.empty
        return
    assert profile.volume.sum() == pytest.approx(traded.volume.sum())
    assert profile.share.sum() == pytest.approx(100)
    assert profile.price_from.iloc[0] == traded.low.min()
    assert profile.price_to.iloc[-1] == pytest.approx(traded.high.max())
    edges = profile.price_to.to_numpy()[:-1]
    below = [
        (((edge - c.low) / (c.high - c.low)) if c.high > c.low else float(edge > c.low))
        for edge in edges
        for c in traded.itertuples()
    ]
    shares = np.clip(np.array(below).reshape(len(edges), len(traded)), 0, 1)
    flat = (traded.high == traded.low).to_numpy() & np.isclose(edges[:, None], traded.low.to_numpy()[None, :])
    if not flat.any():  # a price on an edge may be on either side
        np.testing.assert_allclose(
            profile.volume.cumsum().to_numpy()[:-1], shares @ traded.volume.to_numpy(), atol=1e-6
        )


def test_quotes_have_indicators_of_each_side(market: Market) -> None:
    """Of bid, ask and mid, as ohlc() has them."""
    market.connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [START, START])
    market.connection.execute(
        "INSERT INTO quotes (time, symbol, bid, ask, bid_volume, ask_volume)"
        " SELECT %s + n * interval '1 minute', 'EUR/USD', n, n + 2, 1, 1 FROM generate_series(1, 3) n", [START]
    )  # fmt: skip
    for side, expected in {"bid": 2.0, "ask": 4.0, "mid": 3.0}.items():
        assert market.read("sma", "EUR/USD", length=3, price=side)["value"].iloc[2] == expected
        assert market.read("vwap", "EUR/USD", price=side)["value"].iloc[2] == pytest.approx(expected)


REFUSED = {
    ("sma", "length", 0): "indicators.sma: the length is 0, it must be from 1 to 10000.",
    ("ema", "length", 10_001): "indicators.ema: the length is 10001, it must be from 1 to 10000.",
    ("rsi", "length", None): "indicators.rsi: the length is NULL, it must be from 1 to 10000.",
    ("bollinger", "deviations", -1): "indicators.bollinger: the number of deviations is -1, it must be from 0 to 100.",
    ("keltner", "ranges", "NaN"): "indicators.keltner: the number of ranges is NaN, it must be from 0 to 100.",
    ("keltner", "range_length", 0): "indicators.keltner: the range length is 0, it must be from 1 to 10000.",
    ("macd", "fast_length", 26): (
        "indicators.macd: the fast length is 26, it must be less than the slow length, which is 26."
    ),
    ("stochastic", "d_length", 0): "indicators.stochastic: the length of d is 0, it must be from 1 to 10000.",
    ("volatility", "periods_per_year", 0): (
        "indicators.volatility: the number of periods per year is 0, it must be from 1 to 31622400."
    ),
    ("volume_profile", "bins", 0): "indicators.volume_profile: the number of bins is 0, it must be from 1 to 1000.",
    ("vwap", "price", "last"): "ohlc: the price side is 'last', it must be trade, bid, ask or mid.",
    ("obv", "price", "last"): "ohlc: the price side is 'last', it must be trade, bid, ask or mid.",
}


@pytest.mark.parametrize(("name", "parameter", "value"), REFUSED)
def test_a_parameter_out_of_bounds_is_refused(market: Market, name: str, parameter: str, value: object) -> None:
    """One sentence names the indicator, the value and what is allowed."""
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        market.read(name, "AAPL", **{parameter: value})
    assert caught.value.diag.message_primary == REFUSED[name, parameter, value]


@pytest.mark.parametrize("name", [*COLUMNS, "volume_profile"])
def test_unknown_symbols_have_no_values(market: Market, name: str) -> None:
    """With and without a range."""
    assert market.read(name, "NONE").empty
    assert market.read(name, "NONE", START, START + timedelta(days=1)).empty


def test_who_reads_candles_reads_indicators(market: Market, reader: Connection) -> None:
    """No right is needed beyond those on the relations in public."""
    symbol = market.store(every_minute([1.0, 2.0]))
    own = Market(reader)
    for name in (*COLUMNS, "volume_profile"):
        assert len(own.read(name, symbol, START)) == (24 if name == "volume_profile" else 2)
