"""The indicators computed a second time: by TA-Lib where it defines them so, else with pandas from their formulas."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import talib

Numbers = npt.NDArray[np.float64]
Columns = dict[str, Numbers]


def _numbers(series: pd.Series) -> Numbers:
    return np.asarray(series, dtype=np.float64)


def sma(c: pd.DataFrame, length: int = 20) -> Columns:
    return {"value": talib.SMA(_numbers(c.close), length)}


def ema(c: pd.DataFrame, length: int = 20) -> Columns:
    return {"value": talib.EMA(_numbers(c.close), length)}


def wma(c: pd.DataFrame, length: int = 20) -> Columns:
    return {"value": talib.WMA(_numbers(c.close), length)}


def rsi(c: pd.DataFrame, length: int = 14) -> Columns:
    return {"value": talib.RSI(_numbers(c.close), length)}


def atr(c: pd.DataFrame, length: int = 14) -> Columns:
    return {"value": talib.ATR(_numbers(c.high), _numbers(c.low), _numbers(c.close), length)}


def macd(c: pd.DataFrame, fast_length: int = 12, slow_length: int = 26, signal_length: int = 9) -> Columns:
    line, signal, histogram = talib.MACD(_numbers(c.close), fast_length, slow_length, signal_length)
    return {"macd": line, "signal": signal, "histogram": histogram}


def stochastic(c: pd.DataFrame, length: int = 14, k_length: int = 3, d_length: int = 3) -> Columns:
    prices = (_numbers(c.high), _numbers(c.low), _numbers(c.close))
    k, d = talib.STOCH(*prices, fastk_period=length, slowk_period=k_length, slowd_period=d_length)
    return {"k": k, "d": d}


def bollinger(c: pd.DataFrame, length: int = 20, deviations: float = 2.0) -> Columns:
    upper, middle, lower = talib.BBANDS(_numbers(c.close), length, deviations, deviations)
    return {"upper": upper, "middle": middle, "lower": lower}


def bollinger_by_formula(c: pd.DataFrame, length: int = 20, deviations: float = 2.0) -> Columns:
    """Every window for itself: TA-Lib subtracts sums of squares, which leaves 1e-7 where prices hardly move."""
    windows = np.lib.stride_tricks.sliding_window_view(_numbers(c.close), length) if len(c) >= length else None
    mean, deviation = np.full(len(c), np.nan), np.full(len(c), np.nan)
    if windows is not None:
        mean[length - 1 :], deviation[length - 1 :] = windows.mean(axis=1), windows.std(axis=1)
    return {"upper": mean + deviations * deviation, "middle": mean, "lower": mean - deviations * deviation}


def donchian(c: pd.DataFrame, length: int = 20) -> Columns:
    upper, lower = talib.MAX(_numbers(c.high), length), talib.MIN(_numbers(c.low), length)
    return {"upper": upper, "middle": (upper + lower) / 2, "lower": lower}


def rma(c: pd.DataFrame, length: int = 14) -> Columns:
    """TA-Lib has it inside of RSI and ATR only."""
    return {"value": _wilder(c.close, length)}


def keltner(c: pd.DataFrame, length: int = 20, ranges: float = 2.0, range_length: int = 10) -> Columns:
    """TA-Lib has none: its EMA and ATR are combined."""
    middle, true_range = ema(c, length)["value"], atr(c, range_length)["value"]
    return {"upper": middle + ranges * true_range, "middle": middle, "lower": middle - ranges * true_range}


def returns(c: pd.DataFrame) -> Columns:
    ratio = c.close / c.close.shift()
    return {"simple": _numbers(ratio - 1), "log": _numbers(np.log(ratio))}


def volatility(c: pd.DataFrame, length: int = 20, periods_per_year: float = 1.0) -> Columns:
    squares = np.log(c.close / c.close.shift()) ** 2
    return {"value": _numbers(np.sqrt(squares.rolling(length).apply(np.mean, raw=True) * periods_per_year))}


def obv(c: pd.DataFrame, days: pd.Series | None = None) -> Columns:
    """TA-Lib's, of each day for itself; a candle without volume adds nothing."""
    groups = days if days is not None else pd.Series(0, index=c.index)
    parts = []
    for _, day in c.groupby(groups, sort=True):
        known = day.volume.notna().cumsum() > 0
        total = pd.Series(talib.OBV(_numbers(day.close), _numbers(day.volume.fillna(0))), day.index)
        parts.append(total.where(known))
    return {"value": _numbers(pd.concat(parts))}


def vwap(c: pd.DataFrame, days: pd.Series) -> Columns:
    """Of candles that are made of four ticks of the same volume."""
    worth = (c.open + c.high + c.low + c.close) / 4 * c.volume
    totals = pd.DataFrame({"worth": worth, "volume": c.volume}).fillna(0).groupby(days).cumsum()
    return {"value": _numbers(totals.worth / totals.volume.where(totals.volume > 0))}


def _wilder(series: pd.Series, length: int) -> Numbers:
    numbers = _numbers(series)
    averages = np.full(len(numbers), np.nan)
    for place in range(length - 1, len(numbers)):
        before = averages[place - 1]
        averages[place] = (
            numbers[:length].mean() if np.isnan(before) else (before * (length - 1) + numbers[place]) / length
        )
    return averages


BY_TALIB: dict[str, Callable[..., Columns]] = {
    function.__name__: function for function in (sma, ema, wma, rsi, atr, macd, stochastic, bollinger, donchian)
}
BY_FORMULA: dict[str, Callable[..., Columns]] = {
    function.__name__: function for function in (rma, keltner, returns, volatility)
}


def assert_equal(found: pd.DataFrame, expected: Columns, what: Any = "", tolerance: float = 1e-9) -> None:
    """Hold every column to what it should be, nulls included; the tolerance is of the number, or absolute below 1."""
    for name, numbers in expected.items():
        np.testing.assert_allclose(
            found[name].to_numpy(), numbers, rtol=tolerance, atol=tolerance, equal_nan=True, err_msg=f"{what} {name}"
        )
