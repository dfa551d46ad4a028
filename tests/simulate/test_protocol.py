import json

import pytest

from candleworks.simulate.catalogue import built_in_catalogue
from candleworks.simulate.protocol import ClientRequest, SymbolObject, look_up, parse_request, status_event
from candleworks.simulate.ticks import text_frame

CATALOGUE = built_in_catalogue()


def test_symbols_come_as_a_comma_separated_string() -> None:
    """Blanks and empty parts do not matter."""
    action = parse_request('{"action":"subscribe","params":{"symbols":"AAPL, EUR/USD,,RY:TSX"}}')
    assert action == ClientRequest("subscribe", (SymbolObject("AAPL"), SymbolObject("EUR/USD"), SymbolObject("RY:TSX")))


def test_symbols_come_as_a_list_of_objects() -> None:
    """The extended format names the exchange, its code or the type; unknown keys are passed over."""
    symbols = [{"symbol": "RY", "mic_code": "XTSE"}, {"symbol": "AAPL", "exchange": "NASDAQ", "more": 1}]
    action = parse_request(json.dumps({"action": "unsubscribe", "params": {"symbols": symbols}}))
    expected = (SymbolObject("RY", mic_code="XTSE"), SymbolObject("AAPL", exchange="NASDAQ"))
    assert action == ClientRequest("unsubscribe", expected)


@pytest.mark.parametrize("name", ["reset", "heartbeat"])
def test_some_actions_need_no_parameters(name: str) -> None:
    """Reset and heartbeat stand alone."""
    action = parse_request(json.dumps({"action": name}))
    assert action is not None
    assert (action.name, action.symbols) == (name, ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "null",
        b"\xff\xfe",
        '{"action":"subscribe"',
        '{"action":"dance"}',
        '{"params":{}}',
        '{"action":"subscribe"}',
        '{"action":"subscribe","params":{"symbols":""}}',
        '{"action":"subscribe","params":{"symbols":[1]}}',
        '{"action":"subscribe","params":"AAPL"}',
    ],
)
def test_other_messages_cannot_be_parsed(text: str | bytes) -> None:
    """Neither broken JSON nor an unknown action nor a subscription to nothing is an action."""
    assert parse_request(text) is None


@pytest.mark.parametrize(
    ("asked", "symbol", "exchange"),
    [
        (SymbolObject("aapl"), "AAPL", "NASDAQ"),
        (SymbolObject("RY"), "RY", "NYSE"),
        (SymbolObject("RY:TSX"), "RY", "TSX"),
        (SymbolObject("RY", exchange="tsx"), "RY", "TSX"),
        (SymbolObject("RY", mic_code="XTSE"), "RY", "TSX"),
        (SymbolObject("EUR/USD", type="Physical Currency"), "EUR/USD", "FOREX"),
        (SymbolObject("AAPL", type="Stock"), "AAPL", "NASDAQ"),
    ],
)
def test_a_symbol_is_found_by_what_is_said_of_it(asked: SymbolObject, symbol: str, exchange: str) -> None:
    """Exchange, its code and the type tell listings of one symbol apart; case does not matter."""
    (row,) = look_up(CATALOGUE, (asked,)).rows
    instrument = CATALOGUE.instruments[row]
    assert (instrument.symbol, instrument.exchange.name) == (symbol, exchange)


@pytest.mark.parametrize(
    "asked", [SymbolObject("NOPE"), SymbolObject("AAPL:TSX"), SymbolObject("AAPL", type="Digital Currency")]
)
def test_an_unknown_symbol_fails_by_name(asked: SymbolObject) -> None:
    """The failure names the symbol as it was asked, and says why in the vendor's way."""
    found = look_up(CATALOGUE, (asked,))
    message = f"**symbol** not found: {asked.symbol}. Please specify it correctly according to API Documentation."
    assert found.rows == []
    assert found.fails == [{"symbol": asked.symbol, "message": message}]


@pytest.mark.parametrize(
    ("symbols", "status", "successes", "fails"),
    [
        (("AAPL", "BTC/USD"), "ok", 2, None),
        (("AAPL", "NOPE"), "warning", 1, ["NOPE"]),
        (("NOPE", "NADA"), "error", 0, ["NOPE", "NADA"]),
        (("AAPL", "AAPL"), "ok", 1, None),
    ],
)
def test_the_acknowledgement_counts_success_and_failure(
    symbols: tuple[str, ...], status: str, successes: int, fails: list[str] | None
) -> None:
    """`fails` is null when there are none; the status is ok, warning or error."""
    found = look_up(CATALOGUE, tuple(SymbolObject(symbol) for symbol in symbols))
    event = json.loads(status_event("subscribe-status", CATALOGUE, found))
    assert (event["event"], event["status"], len(event["success"])) == ("subscribe-status", status, successes)
    assert fails == (event["fails"] and [fail["symbol"] for fail in event["fails"]])


def test_the_acknowledgement_describes_each_symbol() -> None:
    """Exchange, country and type come with the symbol."""
    event = json.loads(status_event("subscribe-status", CATALOGUE, look_up(CATALOGUE, (SymbolObject("AAPL"),))))
    assert event["success"] == [
        {
            "symbol": "AAPL",
            "exchange": "NASDAQ",
            "mic_code": "XNGS",
            "country": "United States",
            "type": "Common Stock",
        }
    ]


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_frames_carry_their_length(length: int, header: bytes) -> None:
    """Lengths take one, three or nine bytes, as RFC 6455 says."""
    assert text_frame(b"x" * length) == header + b"x" * length
