"""`/indicators.json`: one indicator over the candles that `/ohlc.json` has for the same parameters."""

from datetime import timedelta

import httpx
import pytest

from candleworks.candles.indicators import INDICATORS
from candleworks.web.parameters import CANDLES
from tests.web.conftest import MONDAY, Store, every_minute

COMMON = ", ".join(parameter.name for parameter in CANDLES.parameters)
BAD = {
    "name=adx": "The parameter name is 'adx', expected one of sma, ema, wma, rma, vwap, bollinger, donchian, keltner,"
    " rsi, macd, atr, stochastic, obv, returns, volatility.",
    "name=rsi&length=0": "The parameter length is '0', expected a whole number from 1 to 10000.",
    "name=rsi&length=2.5": "The parameter length is '2.5', expected a whole number from 1 to 10000.",
    "name=bollinger&deviations=nan": "The parameter deviations is 'nan', expected a number from 0 to 100.",
    "name=macd&fast_length=30": (
        "The parameter fast_length is 30, expected less than the parameter slow_length, which is 26."
    ),
    "name=vwap&length=3": (f"The parameter length is '3', expected one of the parameters {COMMON}, name instead."),
}


def values(client: httpx.Client, **parameters: object) -> list[dict[str, float]]:
    answer = client.get("/indicators.json", params={"symbol": "AAPL", **parameters})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["values"])


@pytest.mark.parametrize("name", INDICATORS)
def test_every_indicator_has_a_value_for_each_candle(client: httpx.Client, store: Store, name: str) -> None:
    """With its own columns, and null before there are enough candles."""
    store("AAPL", every_minute(MONDAY, 60))
    candles = client.get("/ohlc.json", params={"symbol": "AAPL"}).json()["candles"]
    found = values(client, name=name)
    assert [value["time"] for value in found] == [candle["time"] for candle in candles]
    assert list(found[-1]) == ["time", *INDICATORS[name].columns]
    assert all(value is not None for value in found[-1].values())


def test_an_answer_says_what_was_computed(client: httpx.Client, store: Store) -> None:
    """Defaults included."""
    store("AAPL", every_minute(MONDAY, 3))
    answer = client.get("/indicators.json?symbol=AAPL&name=bollinger&length=2").json()
    assert answer.pop("values")[-1] == {
        "time": int((MONDAY + timedelta(minutes=2)).timestamp()),
        "upper": pytest.approx(100.025),
        "middle": pytest.approx(100.015),
        "lower": pytest.approx(100.005),
    }
    assert answer == {
        "symbol": "AAPL",
        "period": "1m",
        "price": "trade",
        "name": "bollinger",
        "parameters": {"length": 2, "deviations": 2},
        "next": None,
    }


def test_pages_join_without_a_seam(client: httpx.Client, store: Store) -> None:
    """The newest candles first, older ones by `next`, and every value as in one answer."""
    store("AAPL", every_minute(MONDAY, 60))
    whole = values(client, name="ema", length=9)
    joined: list[dict[str, float]] = []
    address = "/indicators.json?symbol=AAPL&name=ema&length=9&limit=25"
    while address:
        answer = client.get(address)
        joined[:0] = answer.json()["values"]
        address = answer.links["next"]["url"] if answer.links else ""
    assert [value["time"] for value in joined] == [value["time"] for value in whole]
    assert [v["value"] for v in joined[8:]] == pytest.approx([v["value"] for v in whole[8:]])


@pytest.mark.parametrize("query", BAD)
def test_a_wrong_parameter_is_answered_with_what_is_expected(client: httpx.Client, query: str) -> None:
    """Before the database is asked."""
    answer = client.get(f"/indicators.json?symbol=AAPL&{query}")
    assert (answer.status_code, answer.json()["error"]) == (400, BAD[query])


def test_an_unknown_symbol_is_not_found(client: httpx.Client) -> None:
    """As for candles."""
    answer = client.get("/indicators.json?symbol=NONE&name=sma")
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        "The symbol 'NONE' is not stored: /symbols lists those that are.",
    )


def test_the_list_has_what_a_menu_needs(client: httpx.Client) -> None:
    """Titles, where to draw, and parameters with their bounds."""
    offered = client.get("/indicators").json()["indicators"]
    assert [one["name"] for one in offered] == list(INDICATORS)
    assert next(one for one in offered if one["name"] == "bollinger") == {
        "name": "bollinger",
        "title": "Bollinger bands",
        "parameters": [
            {"name": "length", "default": 20, "least": 1, "most": 10_000, "whole": True},
            {"name": "deviations", "default": 2, "least": 0, "most": 100, "whole": False},
        ],
        "columns": ["upper", "middle", "lower"],
        "overlay": True,
    }
