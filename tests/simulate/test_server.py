import json
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from candleworks.clock import now_us
from candleworks.errors import TerminalError, UsageError
from candleworks.simulate import SimulatorOptions, running_simulator
from candleworks.simulate.catalogue import built_in_catalogue
from candleworks.simulate.market import LiveMarket

Join = Callable[..., Any]
CANNOT_PARSE = {"event": "error", "status": "error", "messages": ["Cant parse message"]}


def written(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]


def test_price_events_have_the_documented_shape(join: Join) -> None:
    """A stock, a coin and a currency pair each come with the fields that the vendor sends for their kind."""
    with running_simulator(rate=100, symbols=["AAPL", "BTC/USD", "EUR/USD"]) as simulator:
        feed = join(simulator)
        feed.subscribe("AAPL,BTC/USD,EUR/USD")
        events = {event["symbol"]: event for event in feed.prices(60)}
    stock, coin, pair = events["AAPL"], events["BTC/USD"], events["EUR/USD"]
    assert list(stock) == [
        *("event", "symbol", "currency", "exchange", "mic_code", "type", "timestamp", "price", "day_volume")
    ]
    assert (stock["currency"], stock["exchange"], stock["mic_code"]) == ("USD", "NASDAQ", "XNGS")
    assert list(coin) == [
        *("event", "symbol", "currency_base", "currency_quote", "exchange", "type", "timestamp", "price"),
        *("bid", "ask", "day_volume"),
    ]
    assert (coin["currency_base"], coin["currency_quote"], coin["type"]) == ("Bitcoin", "US Dollar", "Digital Currency")
    assert list(pair) == [
        *("event", "symbol", "currency_base", "currency_quote", "type", "timestamp", "price", "bid", "ask")
    ]
    assert all(isinstance(event["timestamp"], int) for event in events.values())
    assert isinstance(coin["day_volume"], int)
    assert pair["bid"] <= pair["price"] <= pair["ask"]


def test_the_stream_is_what_the_seed_says(join: Join) -> None:
    """Every tick that arrives is, in order, the next one of the market with this seed, and none is from the future."""
    with running_simulator(rate=400, seed=7) as simulator:
        feed = join(simulator)
        feed.subscribe("AAPL,TSLA")
        feed.prices(2)  # the snapshots
        received = feed.prices(100)
        assert received[-1]["timestamp"] + 1 <= now_us() / 1_000_000
    market = LiveMarket(built_in_catalogue(), symbols=SimulatorOptions().symbols, rate=400, seed=7)
    rows = [market.catalogue.find_or_invent(symbol) for symbol in ("AAPL", "TSLA")]
    first, last = received[0]["timestamp"], received[-1]["timestamp"]
    expected = []
    for second in range(first, last + 1):
        ticks, _ = market.source.second(np.array(rows), second)
        for row, price, volume in zip(ticks.rows, ticks.prices, ticks.volumes, strict=True):
            expected.append((market.catalogue.instruments[row].symbol, second, price, volume))
    got = [(event["symbol"], event["timestamp"], event["price"], event["day_volume"]) for event in received]
    start = expected.index(got[0])
    assert got == expected[start : start + len(got)]


def test_a_client_that_returns_is_given_its_last_tick_again(join: Join) -> None:
    """The snapshot after a reconnect repeats event time, price and day volume."""
    with running_simulator(rate=0.001, symbols=["AAPL"]) as simulator:
        snapshots = []
        for _ in range(2):
            feed = join(simulator)
            feed.subscribe("AAPL")
            snapshots += feed.prices(1)
            feed.connection.close()
    assert snapshots[0] == snapshots[1]


def test_a_client_receives_only_what_it_subscribed_to(join: Join) -> None:
    """Two clients with different symbols share nothing."""
    with running_simulator(rate=100) as simulator:
        one, other = join(simulator), join(simulator)
        one.subscribe("AAPL")
        other.subscribe([{"symbol": "BTC/USD"}, {"symbol": "RY", "mic_code": "XTSE"}])
        assert {event["symbol"] for event in one.prices(20)} == {"AAPL"}
        assert {event["symbol"] for event in other.prices(60)} == {"BTC/USD", "RY"}


def test_symbols_given_at_the_start_need_not_be_known(join: Join) -> None:
    """An unknown ticker becomes a stock, an unknown pair a coin."""
    with running_simulator(rate=50, symbols=["ZZTOP", "FOO/BAR"]) as simulator:
        feed = join(simulator)
        acknowledged = feed.subscribe("ZZTOP,FOO/BAR")
        assert [listing["type"] for listing in acknowledged["success"]] == ["Common Stock", "Digital Currency"]
        assert {event["symbol"] for event in feed.prices(30)} == {"ZZTOP", "FOO/BAR"}


def test_unsubscribe_and_reset_silence_symbols(join: Join) -> None:
    """What is unsubscribed comes no more; after a reset nothing does, and the connection can subscribe again."""
    with running_simulator(rate=200, symbols=["AAPL", "MSFT"]) as simulator:
        feed = join(simulator)
        feed.subscribe("AAPL,MSFT")
        assert feed.unsubscribe("AAPL,NOPE")["status"] == "warning"
        assert {event["symbol"] for event in feed.prices(40)} == {"MSFT"}
        feed.say({"action": "reset"})
        assert feed.event("reset-status") == {"event": "reset-status", "status": "ok"}
        assert feed.is_silent()
        assert feed.subscribe("AAPL")["status"] == "ok"
        assert {event["symbol"] for event in feed.prices(10)} == {"AAPL"}


def test_heartbeats_are_answered(join: Join) -> None:
    """A heartbeat comes back, also to a client that subscribed to nothing."""
    with running_simulator() as simulator:
        feed = join(simulator)
        feed.say({"action": "heartbeat"})
        assert feed.event() == {"event": "heartbeat", "status": "ok"}


@pytest.mark.parametrize("message", ["hello", '{"action":"dance"}', '{"action":"subscribe"}'])
def test_nonsense_is_answered_and_does_not_end_the_connection(join: Join, message: str) -> None:
    """The vendor's error event comes back, and the next subscription works."""
    with running_simulator(rate=50) as simulator:
        feed = join(simulator)
        feed.say(message)
        assert feed.event() == CANNOT_PARSE
        assert feed.subscribe("AAPL")["status"] == "ok"
        assert feed.prices(3)


@pytest.mark.parametrize("query", ["", "?apikey=", "?apikey=stolen"])
def test_a_wrong_or_missing_key_is_refused_at_the_handshake(query: str) -> None:
    """The answer is HTTP 401 with the vendor's words, and it is counted."""
    with running_simulator(refused_keys=("stolen",)) as simulator:
        with pytest.raises(InvalidStatus) as refusal:
            connect(simulator.feed_url + query)
        assert refusal.value.response.status_code == 401
        assert json.loads(refusal.value.response.body)["message"].startswith("**apikey** parameter is incorrect")
        assert simulator.stats()["refused_connections"] == 1


def test_the_journal_holds_exactly_what_was_sent(join: Join, tmp_path: Path) -> None:
    """Each line is an event as the client of that number received it, snapshots marked; the statistics agree."""
    journal = tmp_path / "journal.jsonl"
    with running_simulator(rate=100, journal=journal) as simulator:
        received: dict[int, list[dict[str, Any]]] = {}
        for number in (1, 2):
            feed = join(simulator)
            feed.subscribe("AAPL,BTC/USD")
            received[number] = feed.prices(50)
            feed.connection.close()
        counts = simulator.stats()
    lines = written(journal)
    for number, events in received.items():
        mine = [line for line in lines if line["connection"] == number][: len(events)]
        assert mine == [{"connection": number, "snapshot": place < 2, **event} for place, event in enumerate(events)]
    assert counts["frames_sent"] == len(lines)
    assert counts["frames_sent_by_symbol"] == Counter(line["symbol"] for line in lines)


def test_tests_can_send_any_text_to_every_client(join: Join) -> None:
    """What is not JSON, too, arrives as one frame, between the events of the stream."""
    with running_simulator() as simulator:
        clients = [join(simulator), join(simulator)]
        for feed in clients:
            feed.say({"action": "heartbeat"})
            feed.event("heartbeat")
        for text in ("{broken", '{"event":"price","price":NaN}', "", "ünï" * 300):
            assert simulator.send(text) == 2
            assert [feed.text() for feed in clients] == [text, text]


def test_tests_can_close_every_connection_with_a_code(join: Join) -> None:
    """Clients see the code and the reason."""
    with running_simulator() as simulator:
        feed = join(simulator)
        assert simulator.close_clients(1013, "try again later") == 1
        received = feed.closing().rcvd
        assert received is not None
        assert (received.code, received.reason) == (1013, "try again later")


def test_tests_can_cut_every_connection(join: Join) -> None:
    """The TCP connection ends without a closing handshake; who connects again is served."""
    with running_simulator(rate=50) as simulator:
        feed = join(simulator)
        feed.subscribe("AAPL")
        assert simulator.drop_clients() == 1
        assert feed.closing().rcvd is None
        again = join(simulator)
        again.subscribe("AAPL")
        assert again.prices(2)


def test_stopping_the_simulator_closes_connections_properly(join: Join) -> None:
    """Clients see 1001 (going away)."""
    with running_simulator(rate=50) as simulator:
        feed = join(simulator)
        feed.subscribe("AAPL")
    received = feed.closing().rcvd
    assert received is not None
    assert received.code == 1001


def test_a_client_that_does_not_read_is_waited_for() -> None:
    """The server sends no more than the buffers hold, and goes on where it stopped once the client reads."""
    with (
        running_simulator(rate=100_000) as simulator,
        socket.create_connection((simulator.host, simulator.port), timeout=30) as stalled,
    ):
        subscribe_without_reading(stalled)
        count = -1
        while simulator.stats()["frames_sent"] != count:
            count = simulator.stats()["frames_sent"]
            time.sleep(0.3)  # 30,000 ticks
        assert 0 < count < 200_000
        while simulator.stats()["frames_sent"] < count + 1000:
            assert stalled.recv(1 << 20)


def subscribe_without_reading(raw: socket.socket) -> None:
    raw.sendall(
        b"GET /v1/quotes/price?apikey=demo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert raw.recv(4096).startswith(b"HTTP/1.1 101")
    message = b'{"action":"subscribe","params":{"symbols":"AAPL,MSFT,TSLA,AMZN,BTC/USD"}}'
    raw.sendall(bytes((0x81, 0x80 | len(message), 0, 0, 0, 0)) + message)  # masked with zeros


def test_a_port_in_use_is_named() -> None:
    """The error says which port, and which option chooses another."""
    with (
        running_simulator() as simulator,
        pytest.raises(TerminalError) as error,
        running_simulator(port=simulator.port),
    ):
        pass
    expected = f"port {simulator.port} on 127.0.0.1 is in use: stop the process that uses it, or give another --port"
    assert str(error.value) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 0}, "--rate 0 is out of range: give ticks per second above 0, up to 10,000,000"),
        ({"speed": -1}, "--speed -1 is out of range: give 1 for real time, 0 for as fast as possible"),
        ({"port": 70_000}, "--port 70000 is out of range: give 1 to 65535, or 0 for any free port"),
        ({"symbols": []}, "--symbols is empty: name symbols such as AAPL,BTC/USD"),
        (
            {"symbols": ["AA PL"]},
            (
                "symbol 'AA PL' cannot be simulated: give a ticker such as AAPL, one with its exchange such as RY:TSX, "
                "or a pair such as BTC/USD"
            ),
        ),
        (
            {"journal": Path("/nowhere/journal")},
            "--journal /nowhere/journal cannot be written: No such file or directory; name another file",
        ),
    ],
)
def test_wrong_options_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    """The error names the option and the value, and says what is allowed."""
    with pytest.raises(UsageError) as error, running_simulator(**changes):
        pass
    assert str(error.value) == message
