"""The vendor's own package, unmodified, against the simulator."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twelvedata import TDClient
from twelvedata.exceptions import InvalidApiKeyError, TwelveDataError

from candleworks.clock import monotonic
from candleworks.simulate import RunningSimulator, running_simulator


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with running_simulator(rate=100, refused_keys=("stolen",)) as running:
        yield running


@pytest.fixture
def client(simulator: RunningSimulator) -> TDClient:
    return TDClient(apikey="demo", base_url=simulator.rest_url)


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = monotonic() + 30
    while not condition():
        assert monotonic() < deadline, "waited 30 s"


def test_the_package_streams_prices(simulator: RunningSimulator, client: TDClient) -> None:
    """Its websocket receives the acknowledgement with the refused symbol, prices of the others, and heartbeats."""
    events: list[dict[str, Any]] = []
    socket = client.websocket(symbols=["AAPL", "BTC/USD", "NOPE"], on_event=events.append)
    socket.url = f"{simulator.feed_url}?apikey=demo"
    socket.connect()
    wait_for(lambda: {"AAPL", "BTC/USD"} <= {event.get("symbol") for event in events})
    socket.heartbeat()
    wait_for(lambda: {"event": "heartbeat", "status": "ok"} in events)
    socket.self_heal = lambda: None  # or the package connects again after disconnect()
    socket.disconnect()
    acknowledged = events[0]
    assert acknowledged["event"] == "subscribe-status"
    assert acknowledged["status"] == "warning"
    assert {listing["symbol"] for listing in acknowledged["success"]} == {"AAPL", "BTC/USD"}
    assert [fail["symbol"] for fail in acknowledged["fails"]] == ["NOPE"]
    assert {event["event"] for event in events} == {"subscribe-status", "price", "heartbeat"}


def test_the_package_reads_bars(client: TDClient) -> None:
    """A series comes as a tuple of dictionaries of texts, newest first."""
    bars = client.time_series(symbol="AAPL", interval="1min", outputsize=10, timezone="UTC").as_json()
    assert len(bars) == 10
    assert bars[0]["datetime"] > bars[1]["datetime"]
    assert float(bars[1]["low"]) <= float(bars[1]["open"]) <= float(bars[1]["high"])


def test_the_package_reads_bars_of_several_symbols(client: TDClient) -> None:
    """A batch comes as a dictionary by symbol, those that failed left out."""
    bars = client.time_series(symbol=["AAPL", "EUR/USD", "NOPE"], interval="5min", outputsize=3).as_json()
    assert {symbol: len(values) for symbol, values in bars.items()} == {"AAPL": 3, "EUR/USD": 3}


def test_the_package_makes_a_frame_of_bars(client: TDClient) -> None:
    """The pandas form has the time as its index and numbers in its columns."""
    frame = client.time_series(symbol="BTC/USD", interval="1h", outputsize=4, timezone="UTC").as_pandas()
    assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
    assert (frame["high"] >= frame["low"]).all()


def test_the_package_reads_lists_and_states(client: TDClient) -> None:
    """Symbol lists and the state of the markets are read as the package documents them."""
    assert client.get_stocks_list(symbol="AAPL").as_json()[0]["name"] == "Apple Inc."
    assert client.get_forex_pairs_list(symbol="EUR/USD").as_json()[0]["currency_base"] == "Euro"
    assert client.get_cryptocurrencies_list(symbol="BTC/USD").as_json()[0]["currency_base"] == "Bitcoin"
    assert client.get_market_state(exchange="NASDAQ").as_json()[0]["is_market_open"] is True


def test_the_package_understands_refusals(simulator: RunningSimulator, client: TDClient) -> None:
    """An unknown symbol and a wrong key raise the package's own exceptions."""
    with pytest.raises(TwelveDataError, match="parameter is missing or invalid"):
        client.time_series(symbol="NOPE", interval="1min").as_json()
    with pytest.raises(InvalidApiKeyError):
        TDClient(apikey="stolen", base_url=simulator.rest_url).time_series(symbol="AAPL", interval="1min").as_json()
