from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest

from candleworks.simulate import running_simulator
from candleworks.simulate.catalogue import built_in_catalogue
from candleworks.simulate.market import LiveMarket
from candleworks.simulate.rest import RestApi
from candleworks.simulate.ticks import Ticks

NOW = datetime(2026, 11, 21, 9, 47, 31, 500_000, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1_000_000)
MARKET = LiveMarket(built_in_catalogue(), symbols=("AAPL", "BTC/USD", "EUR/USD"), rate=20, seed=1)
API = RestApi(MARKET)
NO_SYMBOL = (
    "**symbol** or **figi** parameter is missing or invalid. Please provide a valid symbol according to API "
    "documentation: https://twelvedata.com/docs#reference-data"
)
NO_DATA = "No data is available on the specified dates. Try setting different start/end dates."


def ask(path: str, query: Mapping[str, str] | None = None, *, status: int = 200) -> Any:
    answer = API.answer(path, {"apikey": "demo"} | dict(query or {}), "", NOW_US)
    assert answer.status == status, answer.body
    return answer.body


def series(*, status: int = 200, **query: str) -> Any:
    asked = {"symbol": "AAPL", "interval": "1min", "timezone": "UTC"} | query
    return ask("/time_series", asked, status=status)


def times(answer: dict[str, Any]) -> list[str]:
    return [value["datetime"] for value in answer["values"]]


def sent(symbol: str, first: str, seconds: int) -> Ticks:
    """The ticks that the feed sends, stamped from `first` (UTC) on."""
    row = MARKET.catalogue.find(symbol)
    start = int(datetime.fromisoformat(first).replace(tzinfo=UTC).timestamp())
    return Ticks.joined([MARKET.source.second(np.array([row]), start + n)[0] for n in range(seconds)])


def test_bars_come_newest_first_with_the_forming_one() -> None:
    """Thirty bars by default, values as text, times naive in the asked zone."""
    answer = series()
    assert answer["status"] == "ok"
    assert times(answer)[:2] == ["2026-11-21 09:47:00", "2026-11-21 09:46:00"]
    assert len(answer["values"]) == 30
    assert list(answer["values"][0]) == ["datetime", "open", "high", "low", "close", "volume"]
    assert all(isinstance(value, str) for value in answer["values"][0].values())


def test_the_meta_part_describes_the_instrument() -> None:
    """Stocks, coins and currency pairs each have the fields that the vendor gives them."""
    assert series()["meta"] == {
        "symbol": "AAPL",
        "interval": "1min",
        "currency": "USD",
        "exchange_timezone": "America/New_York",
        "exchange": "NASDAQ",
        "mic_code": "XNGS",
        "type": "Common Stock",
    }
    assert series(symbol="BTC/USD")["meta"] == {
        "symbol": "BTC/USD",
        "interval": "1min",
        "currency_base": "Bitcoin",
        "currency_quote": "US Dollar",
        "exchange": "Coinbase Pro",
        "type": "Digital Currency",
    }
    assert series(symbol="EUR/USD")["meta"] == {
        "symbol": "EUR/USD",
        "interval": "1min",
        "currency_base": "Euro",
        "currency_quote": "US Dollar",
        "type": "Physical Currency",
    }


@pytest.mark.parametrize("symbol", ["AAPL", "BTC/USD", "EUR/USD"])
@pytest.mark.parametrize(("interval", "start", "seconds"), [("1min", "09:44:00", 60), ("5min", "09:40:00", 300)])
def test_bars_say_what_the_feed_sent(symbol: str, interval: str, start: str, seconds: int) -> None:
    """Open, high, low, close and volume are those of the ticks stamped within the bar."""
    time = f"2026-11-21 {start}"
    (value,) = series(symbol=symbol, interval=interval, start_date=time, end_date=time, outputsize="5")["values"]
    ticks = sent(symbol, time, seconds)
    prices = ticks.prices.tolist()
    expected = [prices[0], max(prices), min(prices), prices[-1]]
    assert [float(value[name]) for name in ("open", "high", "low", "close")] == expected
    row = MARKET.catalogue.find(symbol)
    assert row is not None
    if symbol != "EUR/USD":
        before = MARKET.source.last_before(row, int(ticks.event_times[0]) // 60 * 60 * 1_000_000)
        assert int(value["volume"]) == ticks.volumes[-1] - before.volumes[0]


def test_currency_pairs_have_no_volume() -> None:
    """The field is missing, as it is at the vendor."""
    assert list(series(symbol="EUR/USD")["values"][0]) == ["datetime", "open", "high", "low", "close"]


def test_prices_have_the_asked_number_of_digits() -> None:
    """The instrument's own by default."""
    assert len(series()["values"][0]["open"].partition(".")[2]) == 2
    assert len(series(dp="5")["values"][0]["open"].partition(".")[2]) == 5
    assert "." not in series(dp="0")["values"][0]["open"]


@pytest.mark.parametrize(
    ("interval", "newest", "second"),
    [
        ("15min", "2026-11-21 09:45:00", "2026-11-21 09:30:00"),
        ("30min", "2026-11-21 09:30:00", "2026-11-21 09:00:00"),
        ("1h", "2026-11-21 09:00:00", "2026-11-21 08:00:00"),
        ("2h", "2026-11-21 08:00:00", "2026-11-21 06:00:00"),
        ("4h", "2026-11-21 08:00:00", "2026-11-21 04:00:00"),
        ("1day", "2026-11-21", "2026-11-20"),
    ],
)
def test_every_interval_stands_on_its_grid(interval: str, newest: str, second: str) -> None:
    """Wider bars are made of one-minute bars; those of a day have a date only."""
    assert times(series(interval=interval, outputsize="2")) == [newest, second]


def test_wide_bars_are_made_of_narrow_ones() -> None:
    """An hour has the extremes and the sum of its minutes."""
    hour = series(interval="1h", start_date="2026-11-21 08:00:00", end_date="2026-11-21 08:00:00")["values"][0]
    minutes = series(start_date="2026-11-21 08:00:00", end_date="2026-11-21 08:59:00")["values"]
    assert len(minutes) == 60
    assert (hour["open"], hour["close"]) == (minutes[-1]["open"], minutes[0]["close"])
    assert float(hour["high"]) == max(float(minute["high"]) for minute in minutes)
    assert float(hour["low"]) == min(float(minute["low"]) for minute in minutes)
    assert int(hour["volume"]) == sum(int(minute["volume"]) for minute in minutes)


def test_a_stocks_day_is_new_yorks() -> None:
    """Its daily volume is what the feed's running total ends with at midnight there."""
    day = series(interval="1day", start_date="2026-11-20", end_date="2026-11-20", timezone="Exchange")["values"][0]
    row = MARKET.catalogue.find("AAPL")
    assert row is not None
    midnight = int(datetime(2026, 11, 21, 5, tzinfo=UTC).timestamp())
    assert day["datetime"] == "2026-11-20"
    assert int(day["volume"]) == MARKET.source.last_before(row, midnight * 1_000_000).volumes[0]


def test_times_are_in_the_asked_zone() -> None:
    """New York's by default, UTC or any other on request; start and end are read in that zone, too."""
    assert times(series(timezone="Exchange"))[0] == "2026-11-21 04:47:00"
    assert times(series(timezone="Asia/Tokyo"))[0] == "2026-11-21 18:47:00"
    within = series(timezone="Exchange", start_date="2026-11-21 04:40:00", end_date="2026-11-21 04:41:00")
    assert times(within) == ["2026-11-21 04:41:00", "2026-11-21 04:40:00"]


def test_a_span_holds_both_its_ends_and_needs_no_outputsize() -> None:
    """Up to five thousand bars come; a smaller outputsize keeps the newest."""
    span = {"start_date": "2026-11-18 00:00:00", "end_date": "2026-11-18 23:59:00"}
    assert len(series(**span)["values"]) == 1440
    assert times(series(**span, outputsize="2")) == ["2026-11-18 23:59:00", "2026-11-18 23:58:00"]
    assert times(series(**span, order="asc"))[0] == "2026-11-18 00:00:00"
    assert len(series(start_date="2026-11-01", end_date="2026-11-20")["values"]) == 5000
    assert len(series(date="2026-11-18")["values"]) == 1440


def test_a_start_alone_only_shortens_the_default() -> None:
    """Thirty bars reach back less far than last week, yet further than three minutes."""
    assert len(series(start_date="2026-11-14")["values"]) == 30
    assert len(series(start_date="2026-11-21 09:45:00")["values"]) == 3


def test_several_symbols_come_by_name_each_with_its_own_status() -> None:
    """An unknown one among them does not spoil the others."""
    answer = series(symbol="AAPL,EUR/USD,NOPE", outputsize="2")
    assert [answer[symbol]["status"] for symbol in ("AAPL", "EUR/USD", "NOPE")] == ["ok", "ok", "error"]
    assert len(answer["EUR/USD"]["values"]) == 2
    assert answer["NOPE"] == {"code": 404, "message": NO_SYMBOL, "status": "error"}


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ({"symbol": "NOPE"}, 404, NO_SYMBOL),
        ({"symbol": "AAPL", "exchange": "TSX"}, 404, NO_SYMBOL),
        ({"symbol": ""}, 400, NO_SYMBOL),
        ({"start_date": "2026-11-22", "end_date": "2026-11-23"}, 400, NO_DATA),
        ({"start_date": "2016-11-22", "end_date": "2016-11-23"}, 400, NO_DATA),
        (
            {"interval": "7min"},
            400,
            "Invalid **interval** provided: 7min. Supported intervals: 1min, 5min, 15min, 30min, 1h, 2h, 4h, 1day",
        ),
        ({"outputsize": "5001"}, 400, "Invalid **outputsize** provided: 5001. Give 1 to 5000"),
        ({"outputsize": "many"}, 400, "Invalid **outputsize** provided: many. Give 1 to 5000"),
        ({"dp": "12"}, 400, "Invalid **dp** provided: 12. Give -1 to 11"),
        (
            {"start_date": "yesterday"},
            400,
            "Invalid **start_date** provided: yesterday. Give 2006-01-02 or 2006-01-02 15:04:05",
        ),
        ({"timezone": "Mars"}, 400, "Invalid **timezone** provided: Mars. Give UTC, Exchange or an IANA name"),
        ({"format": "CSV"}, 400, "Invalid **format** provided: the simulator supports JSON only."),
    ],
)
def test_a_wrong_question_is_refused_in_the_vendors_form(query: dict[str, str], code: int, message: str) -> None:
    """Code, message and status come in the body, the code as the HTTP status as well."""
    assert series(**query, status=code) == {"code": code, "message": message, "status": "error"}


def test_lists_can_be_filtered() -> None:
    """By symbol, exchange, country or currency, whatever the case."""
    assert len(ask("/stocks")["data"]) > 60
    assert [stock["name"] for stock in ask("/stocks", {"symbol": "aapl"})["data"]] == ["Apple Inc."]
    assert {stock["exchange"] for stock in ask("/stocks", {"exchange": "TSX"})["data"]} == {"TSX"}
    assert [stock["mic_code"] for stock in ask("/stocks", {"symbol": "RY"})["data"]] == ["XNYS", "XTSE"]
    assert ask("/forex_pairs", {"symbol": "EUR/USD"})["data"] == [
        {"symbol": "EUR/USD", "currency_group": "Major", "currency_base": "Euro", "currency_quote": "US Dollar"}
    ]
    coins = ask("/cryptocurrencies", {"currency_base": "Bitcoin"})["data"]
    assert coins == [
        {
            "symbol": "BTC/USD",
            "available_exchanges": ["Coinbase Pro"],
            "currency_base": "Bitcoin",
            "currency_quote": "US Dollar",
        }
    ]


def test_the_simulated_markets_are_always_open() -> None:
    """Their day runs from midnight to midnight, local time."""
    nasdaq, nyse, tsx = ask("/market_state")
    assert (nasdaq["name"], nyse["name"], tsx["name"]) == ("NASDAQ", "NYSE", "TSX")
    assert ask("/market_state", {"exchange": "nyse"}) == [
        {
            "name": "NYSE",
            "code": "XNYS",
            "country": "United States",
            "is_market_open": True,
            "time_after_open": "04:47:31",
            "time_to_open": "00:00:00",
            "time_to_close": "19:12:29",
        }
    ]


def test_the_key_comes_as_a_parameter_or_as_a_header() -> None:
    """Either serves; without one, or with a refused one, the answer is 401, and an unknown path is 404."""
    with running_simulator(refused_keys=("stolen",)) as simulator, httpx.Client(base_url=simulator.rest_url) as client:
        assert client.get("/stocks", params={"apikey": "demo"}).status_code == 200
        assert client.get("/stocks", headers={"Authorization": "apikey demo"}).status_code == 200
        for refused in (
            client.get("/stocks"),
            client.get("/stocks", params={"apikey": "stolen"}),
            client.get("/stocks", headers={"Authorization": "apikey stolen"}),
        ):
            assert refused.status_code == refused.json()["code"] == 401
        lost = client.get("/nowhere", params={"apikey": "demo"})
        assert (lost.status_code, lost.json()["code"]) == (404, 404)


def test_long_answers_arrive_whole() -> None:
    """Five thousand bars are half a megabyte, and ticks go on while they are computed."""
    with running_simulator() as simulator:
        query = {"symbol": "AAPL", "interval": "1min", "outputsize": "5000", "apikey": "demo"}
        answer = httpx.get(f"{simulator.rest_url}/time_series", params=query, timeout=30)
        assert len(answer.json()["values"]) == 5000
