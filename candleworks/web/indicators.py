"""`/indicators` lists the indicators, and `/indicators.json` has the values of one, oldest first.

Parameters are those of `/ohlc.json`, `name`, and those of the indicator by their names. The values are of the candles
that `/ohlc.json` returns for the same parameters.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict

from fastapi import APIRouter, Request, Response

from candleworks.candles.indicators import INDICATORS, Indicator, Parameter, read_indicator
from candleworks.candles.reads import CandleRange, CandleReader
from candleworks.storage.indicators import IndicatorValue
from candleworks.web.parameters import BadParameterError, read_range
from candleworks.web.responses import iso, json_answer, link, page_url, require_known

NAME = "name"


def indicator_routes(market: CandleReader) -> APIRouter:
    router = APIRouter()

    @router.api_route("/indicators", methods=["GET", "HEAD"])
    async def indicators() -> Response:
        return json_answer({"indicators": [asdict(indicator) for indicator in INDICATORS.values()]})

    @router.api_route("/indicators.json", methods=["GET", "HEAD"])
    def indicators_json(request: Request) -> Response:
        given = request.query_params
        indicator = _read_indicator(given)
        names = tuple(parameter.name for parameter in indicator.parameters)
        wanted = read_range(given.multi_items(), market.default_side, (NAME, *names))
        parameters = {parameter.name: _read_parameter(parameter, given) for parameter in indicator.parameters}
        _require_order(parameters)
        values, older = read_indicator(market, indicator, wanted, parameters)
        if not values:
            require_known(market, wanted.symbol)
        following = _older_values(request, wanted, indicator, parameters, values) if older else None
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


def _read_indicator(given: Mapping[str, str]) -> Indicator:
    name = given.get(NAME, "")
    if name not in INDICATORS:
        raise BadParameterError(NAME, name, f"one of {', '.join(INDICATORS)}")
    return INDICATORS[name]


def _read_parameter(parameter: Parameter, given: Mapping[str, str]) -> float:
    text = given.get(parameter.name)
    if text is None:
        return parameter.default
    kind = "whole number" if parameter.whole else "number"
    allowed = f"a {kind} from {parameter.least} to {parameter.most}"
    try:
        value = int(text) if parameter.whole else float(text)
    except ValueError:
        value = math.nan
    if not parameter.least <= value <= parameter.most:
        raise BadParameterError(parameter.name, text, allowed)
    return value


def _require_order(parameters: Mapping[str, float]) -> None:
    """Raise BadParameterError unless the fast average is faster than the slow one."""
    if "fast_length" in parameters and parameters["fast_length"] >= parameters["slow_length"]:
        allowed = f"less than the parameter slow_length, which is {parameters['slow_length']}"
        raise BadParameterError("fast_length", parameters["fast_length"], allowed)


def _json_value(indicator: Indicator, value: IndicatorValue) -> dict[str, float | None]:
    bucket, *numbers = value
    return {"time": int(bucket.timestamp()), **dict(zip(indicator.columns, numbers, strict=True))}


def _older_values(
    request: Request,
    wanted: CandleRange,
    indicator: Indicator,
    parameters: Mapping[str, float],
    values: list[IndicatorValue],
) -> str:
    return page_url(
        request,
        {
            NAME: indicator.name,
            **parameters,
            "symbol": wanted.symbol,
            "period": wanted.period.name,
            "price": wanted.price,
            "from": iso(wanted.start),
            "to": iso(values[0][0]),
            "limit": wanted.limit,
            "zone": wanted.zone,
        },
    )
