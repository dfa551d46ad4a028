"""`/indicators` lists the indicators, and `/indicators.json` has the values of one, oldest first.

Parameters are those of `/ohlc.json`, `name`, and those of the indicator by their names. The values are of the candles
that `/ohlc.json` returns for the same parameters.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from candleworks.candles.indicators import INDICATORS, Indicator, IndicatorParameter, read_indicator
from candleworks.candles.reads import CandleRange, CandleReader
from candleworks.storage.indicators import IndicatorValue
from candleworks.web.openapi import answers
from candleworks.web.parameters import (
    CANDLES,
    BadParameterError,
    Given,
    Parameter,
    Parameters,
    read_range,
    whole_number,
)
from candleworks.web.responses import iso, json_answer, link, page_url, require_known

_LIST_EXAMPLE = {
    "indicators": [
        {
            "name": "sma",
            "title": "Simple moving average",
            "parameters": [{"name": "length", "default": 20, "least": 1, "most": 10_000, "whole": True}],
            "columns": ["value"],
            "overlay": True,
        }
    ]
}
_EXAMPLE = {
    "symbol": "AAPL",
    "period": "5m",
    "price": "trade",
    "name": "sma",
    "parameters": {"length": 20},
    "values": [{"time": 1772461800, "value": 260.55}],
    "next": None,
}


def _read_name(text: str) -> Indicator:
    if text not in INDICATORS:
        raise ValueError(f"one of {', '.join(INDICATORS)}")
    return INDICATORS[text]


def _number(number: IndicatorParameter) -> Parameter[float]:
    read: Callable[[str], float] = (
        whole_number(int(number.least), int(number.most)) if number.whole else _between(number.least, number.most)
    )
    description = "A parameter of the indicator, with its default; /indicators lists those of each."
    return Parameter(number.name, read, description, str(number.default), default=str(number.default))


def _between(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise ValueError(f"a number from {least} to {most}")
        return value

    return read


NAME: Parameter[Indicator] = Parameter(
    "name", _read_name, "Name of the indicator.", "sma", default="sma", choices=tuple(INDICATORS)
)
_TABLES = {
    indicator.name: Parameters(*CANDLES.parameters, NAME, *map(_number, indicator.parameters))
    for indicator in INDICATORS.values()
}


class _IndicatorParameters(Parameters):
    """The parameters of the indicator that is named; those of the default one are described."""

    def __init__(self) -> None:
        super().__init__(*_TABLES[str(NAME.default)].parameters)

    def read(self, items: Iterable[tuple[str, str]]) -> Given:
        items = list(items)
        named = NAME.value(dict(items).get(NAME.name))
        return _TABLES[named.name].read(items)


def indicator_routes(market: CandleReader) -> APIRouter:
    router = APIRouter()

    @router.api_route("/indicators", methods=["GET", "HEAD"], responses=answers("application/json", _LIST_EXAMPLE))
    async def indicators() -> Response:
        """The indicators that there are, with their parameters and columns."""
        return json_answer({"indicators": [asdict(indicator) for indicator in INDICATORS.values()]})

    @router.api_route("/indicators.json", methods=["GET", "HEAD"], responses=answers("application/json", _EXAMPLE))
    def indicators_json(request: Request, given: Annotated[Given, Depends(_IndicatorParameters())]) -> Response:
        """The values of an indicator over the candles of a symbol. Each indicator has parameters of its own as well."""
        wanted, indicator = read_range(given, market.default_side), given[NAME]
        parameters = {number.name: given[_number(number)] for number in indicator.parameters}
        _require_order(parameters)
        values, older = read_indicator(market, indicator, wanted, parameters)
        if not values:
            require_known(market, wanted.symbol)
        following = _older_values(request, wanted, {NAME.name: indicator.name, **parameters}, values) if older else None
        body = {
            "symbol": wanted.symbol,
            "period": wanted.period.name,
            "price": wanted.price,
            "name": indicator.name,
            "parameters": parameters,
            "values": [_json_value(indicator, value) for value in values],
            "next": following,
        }
        return json_answer(body, headers=link(following))

    return router


def _require_order(parameters: Mapping[str, float]) -> None:
    """Raise BadParameterError unless the fast average is faster than the slow one."""
    if "fast_length" in parameters and parameters["fast_length"] >= parameters["slow_length"]:
        allowed = f"less than the parameter slow_length, which is {parameters['slow_length']}"
        raise BadParameterError("fast_length", parameters["fast_length"], allowed)


def _json_value(indicator: Indicator, value: IndicatorValue) -> dict[str, float | None]:
    bucket, *numbers = value
    return {"time": int(bucket.timestamp()), **dict(zip(indicator.columns, numbers, strict=True))}


def _older_values(
    request: Request, wanted: CandleRange, others: Mapping[str, Any], values: list[IndicatorValue]
) -> str:
    parameters = {
        **others,
        "symbol": wanted.symbol,
        "period": wanted.period.name,
        "price": wanted.price,
        "from": iso(wanted.start),
        "to": iso(values[0][0]),
        "limit": wanted.limit,
        "zone": wanted.zone,
    }
    return page_url(request, parameters)
