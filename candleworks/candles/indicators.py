"""The indicators that the chart page and `/indicators.json` offer, and how they are read.

Names, parameters, defaults, bounds and columns are those of the functions in the schema `indicators`: tests compare
them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from candleworks.candles.reads import CandleRange, CandleReader
from candleworks.storage.candle_reads import CandleSeries
from candleworks.storage.indicators import IndicatorValue, indicator_between

MAX_LENGTH = 10_000
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class IndicatorParameter:
    """A number with bounds; `whole` numbers are lengths in candles."""

    name: str
    default: float
    least: float = 1
    most: float = MAX_LENGTH
    whole: bool = True


@dataclass(frozen=True)
class Indicator:
    """`overlay`: its values are prices, drawn over the candles; others are drawn below them."""

    name: str
    title: str
    parameters: tuple[IndicatorParameter, ...] = ()
    columns: tuple[str, ...] = ("value",)
    overlay: bool = False

    def defaults(self) -> dict[str, float]:
        return {parameter.name: parameter.default for parameter in self.parameters}


_BANDS = ("upper", "middle", "lower")
_LENGTH_20 = IndicatorParameter("length", 20)
_LENGTH_14 = IndicatorParameter("length", 14)

INDICATORS = {
    indicator.name: indicator
    for indicator in (
        Indicator("sma", "Simple moving average", (_LENGTH_20,), overlay=True),
        Indicator("ema", "Exponential moving average", (_LENGTH_20,), overlay=True),
        Indicator("wma", "Weighted moving average", (_LENGTH_20,), overlay=True),
        Indicator("rma", "Wilder's moving average", (_LENGTH_14,), overlay=True),
        Indicator("vwap", "Volume-weighted average price", overlay=True),
        Indicator(
            "bollinger",
            "Bollinger bands",
            (_LENGTH_20, IndicatorParameter("deviations", 2, 0, 100, whole=False)),
            _BANDS,
            overlay=True,
        ),
        Indicator("donchian", "Donchian channel", (_LENGTH_20,), _BANDS, overlay=True),
        Indicator(
            "keltner",
            "Keltner channel",
            (_LENGTH_20, IndicatorParameter("ranges", 2, 0, 100, whole=False), IndicatorParameter("range_length", 10)),
            _BANDS,
            overlay=True,
        ),
        Indicator("rsi", "Relative strength index", (_LENGTH_14,)),
        Indicator(
            "macd",
            "Moving average convergence/divergence",
            (
                IndicatorParameter("fast_length", 12),
                IndicatorParameter("slow_length", 26),
                IndicatorParameter("signal_length", 9),
            ),
            ("macd", "signal", "histogram"),
        ),
        Indicator("atr", "Average true range", (_LENGTH_14,)),
        Indicator(
            "stochastic",
            "Stochastic oscillator",
            (_LENGTH_14, IndicatorParameter("k_length", 3), IndicatorParameter("d_length", 3)),
            ("k", "d"),
        ),
        Indicator("obv", "On-balance volume"),
        Indicator("returns", "Returns", columns=("simple", "log")),
        Indicator(
            "volatility",
            "Realised volatility",
            (_LENGTH_20, IndicatorParameter("periods_per_year", 1, 1, 31_622_400, whole=False)),
        ),
    )
}


def read_indicator(
    market: CandleReader, indicator: Indicator, wanted: CandleRange, parameters: Mapping[str, float]
) -> tuple[list[IndicatorValue], bool]:
    """Return the values of the candles that `wanted` selects, oldest first, and whether the limit cut off older ones.

    Raises TransientError while the database is unavailable.
    """
    candles, older = market.candles(wanted)
    if not candles:
        return [], False
    series = CandleSeries(wanted.symbol, wanted.period.interval, wanted.price, wanted.zone)
    start, stop = candles[0].bucket, candles[-1].bucket + _MICROSECOND
    values = market.read(lambda c: indicator_between(c, indicator.name, series, start, stop, parameters))
    return values, older
