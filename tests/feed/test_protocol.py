"""Frames in, price events or reasons out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candleworks.vendor.protocol import (
    PriceEvent,
    decode_prices,
    error_frame,
    event_of,
    subscribe_status,
    subscription_message,
)

STOCK = {
    "event": "price",
    "symbol": "AAPL",
    "currency": "USD",
    "exchange": "NASDAQ",
    "type": "Common Stock",
    "timestamp": 1652438893,
    "price": 147.25,
    "day_volume": 49153,
}
COIN = (
    b'{"event":"price","symbol":"BTC/USD","currency_base":"Bitcoin","currency_quote":"US Dollar",'
    b'"exchange":"Coinbase Pro","type":"Digital Currency","timestamp":1652438893,"price":30361.2,"bid":30361.2,'
    b'"ask":30361.2,"day_volume":49153}'
)


def frame(**changes: object) -> bytes:
    """A stock's price event with some keys changed; a key set to ... is left out."""
    return json.dumps({key: value for key, value in (STOCK | changes).items() if value is not ...}).encode()


def reason(text: bytes) -> str:
    (problem,) = decode_prices([text])
    assert isinstance(problem, str), problem
    return problem


def test_a_documented_price_event_is_decoded() -> None:
    """All fields that the vendor documents arrive with their types, whole-number volumes as floats."""
    place = {"exchange": "Coinbase Pro", "type": "Digital Currency"}
    expected = PriceEvent("price", "BTC/USD", 1652438893, 30361.2, 49153.0, 30361.2, 30361.2, **place)
    assert decode_prices([COIN]) == [expected]


def test_fields_that_only_some_instruments_have_are_optional() -> None:
    """A missing or null volume, bid or ask is None; the price of 0 stays 0."""
    expected = PriceEvent("price", "AAPL", 1652438893, 0.0, exchange="NASDAQ", type="Common Stock")
    assert decode_prices([frame(price=0, day_volume=...), frame(price=0, day_volume=None, bid=None)]) == [expected] * 2


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(STOCK, indent=2).encode(),
        json.dumps(dict(reversed(STOCK.items()))).encode(),
        frame(note={"nested": [1, None, "x"]}),
    ],
    ids=["spaces", "other order", "unknown keys"],
)
def test_the_spelling_of_a_frame_does_not_matter(text: bytes) -> None:
    """Whitespace, the order of keys and keys that are not needed change nothing."""
    assert decode_prices([text]) == [
        PriceEvent("price", "AAPL", 1652438893, 147.25, 49153.0, exchange="NASDAQ", type="Common Stock")
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"hello", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"", "empty frame"),
        (b'{"event":"price","sym', "not JSON: Unterminated string starting at: line 1 column 18 (char 17)"),
        (COIN + b"," + COIN, "not JSON: Extra data: line 1 column 230 (char 229)"),
        (COIN + b"\n" + COIN, "not JSON: Extra data: line 2 column 1 (char 230)"),
        (b"[" + COIN + b"]", "not a price event: a JSON array, not an object"),
        (b"42", "not a price event: a JSON number, not an object"),
        (b'"price"', "not a price event: a JSON string, not an object"),
        (b"null", "not a price event: a JSON null, not an object"),
        (b"\xff\xfe", "not UTF-8: invalid start byte at byte 0"),
        (COIN.replace(b"BTC", b"B\xffC"), "not UTF-8: invalid start byte at byte 28"),
        (b"x" * 1_000_000, "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"[" * 1_000_000, "not a price event: nested too deeply"),
        (b'{"event":"price","note":' + b"[" * 100_000, "not a price event: nested too deeply"),
        (frame(event=...), "event type is missing"),
        (frame(event=None), "event type is missing"),
        (frame(event="dividend"), 'unknown event "dividend"'),
        (frame(event="x" * 1000), f'unknown event "{"x" * 59}...'),
        (frame(symbol=...), "symbol is missing"),
        (frame(symbol=None), "symbol is null, not text"),
        (frame(symbol=7), "symbol is 7, not text"),
        (frame(timestamp=...), "timestamp is missing"),
        (frame(timestamp=None), "timestamp is null, not a whole number of seconds"),
        (frame(timestamp="1652438893"), 'timestamp is "1652438893", not a whole number of seconds'),
        (frame(timestamp="soon"), 'timestamp is "soon", not a whole number of seconds'),
        (frame(timestamp=1652438893.5), "timestamp is 1652438893.5, not a whole number of seconds"),
        (frame(timestamp=True), "timestamp is true, not a whole number of seconds"),
        (frame(price=...), "price is missing"),
        (frame(price=None), "price is null, not a finite number"),
        (frame(price="147.25"), 'price is "147.25", not a finite number'),
        (frame(price=float("nan")), "price is NaN, not a finite number"),
        (frame(price=float("inf")), "price is Infinity, not a finite number"),
        (frame(price=[147.25]), "price is [147.25], not a finite number"),
        (frame().replace(b"147.25", b"1e999"), "price is Infinity, not a finite number"),
        (frame().replace(b"147.25", b"9" * 400), "not a price event: Number out of range - at `$.price`"),
        (
            frame().replace(b"1652438893", b"9" * 5000),
            "not a price event: Integer value out of range - at `$.timestamp`",
        ),
        (frame(day_volume="many"), 'day_volume is "many", not a finite number'),
        (frame(day_volume=float("nan")), "day_volume is NaN, not a finite number"),
        (frame(bid="147.2"), 'bid is "147.2", not a finite number'),
        (frame(ask={}), "ask is {}, not a finite number"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value.split(":")[0][:50],
)
def test_what_is_wrong_with_a_frame_is_said(text: bytes, problem: str) -> None:
    """The reason names the field and its value."""
    assert reason(text) == problem


GOOD = [frame(timestamp=1652438893 + n, price=n / 4) for n in range(5)] + [COIN]
# The last ones are whole events only together with a neighbour.
BAD = [
    b"",
    b"x",
    b"1",
    b"[",
    b"]",
    COIN + b"," + COIN,
    COIN[:60],
    COIN[60:],
    b'{"event":"price","x":[{}',
    b'{}],"a":1}',
]


@given(st.lists(st.sampled_from(GOOD + BAD), max_size=12))
def test_a_broken_frame_leaves_the_others_as_they_are(frames: list[bytes]) -> None:
    """Whatever stands beside it, a frame is decoded as if it had come alone."""
    assert decode_prices(frames) == [decode_prices([text])[0] for text in frames]


@given(
    st.binary(max_size=40) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_no_frame_raises(text: bytes) -> None:
    """Whatever comes is an event or a reason that is not empty."""
    (event,) = decode_prices([text])
    assert event
    for read in (event_of, subscribe_status, error_frame):
        read(text)


def test_one_message_asks_for_all_symbols() -> None:
    """In the form of the vendor's documentation; objects single out a listing, and then every symbol is one."""
    assert subscription_message("subscribe", ["BTC/USD", "AAPL"]) == (
        b'{"action":"subscribe","params":{"symbols":"BTC/USD,AAPL"}}'
    )
    assert subscription_message("unsubscribe", ["AAPL", {"symbol": "RY", "mic_code": "XTSE"}]) == (
        b'{"action":"unsubscribe","params":{"symbols":[{"symbol":"AAPL"},{"symbol":"RY","mic_code":"XTSE"}]}}'
    )


def test_an_acknowledgement_is_decoded() -> None:
    """Accepted and refused symbols are distinguished; empty lists may come as null, or not at all."""
    status = subscribe_status(
        b'{"event":"subscribe-status","status":"warning","success":[{"symbol":"AAPL","exchange":"NASDAQ"}],'
        b'"fails":[{"symbol":"700","message":"You are not authorized to access XHKG data."},{"symbol":"X"}]}'
    )
    assert status is not None
    assert [accepted.symbol for accepted in status.success or ()] == ["AAPL"]
    refusals = [(refusal.symbol, refusal.message) for refusal in status.fails or ()]
    assert refusals == [("700", "You are not authorized to access XHKG data."), ("X", "no reason given")]
    nothing = subscribe_status(b'{"event":"subscribe-status","status":"error","success":null,"messages":["No"]}')
    assert nothing is not None
    assert (nothing.success, nothing.fails, nothing.messages) == (None, None, ["No"])


@pytest.mark.parametrize("text", [b'{"event":"subscribe-status","fails":7}', b'{"event":"price"}', b"", b"[" * 99_999])
def test_an_acknowledgement_of_another_shape_is_none(text: bytes) -> None:
    """So that the caller can keep the frame as it came."""
    assert subscribe_status(text) is None


def test_the_vendors_complaints_are_decoded() -> None:
    """They are events of their own, or a status without an event; those about the key are final."""
    found = error_frame(b'{"event":"error","status":"error","messages":["Cant parse message"]}')
    assert found is not None
    assert (found.sentences, found.about_key) == (["Cant parse message"], False)
    assert error_frame(b'{"event":"error","messages":[7]}') is None
    for text in (
        b'{"status":"error","code":401,"message":"unauthorized"}',
        b'{"event":"error","messages":["**apikey** parameter is incorrect"]}',
        b'{"event":"error","message":"Your API key is invalid"}',
    ):
        found = error_frame(text)
        assert event_of(text) == "error"
        assert found is not None
        assert found.about_key


def test_the_event_type_is_read_without_decoding_the_rest() -> None:
    """None stands for frames that have none."""
    assert event_of(b'{"status":"ok","event":"heartbeat"}') == "heartbeat"
    assert [event_of(text) for text in (b"", b"[]", b'{"event":null}', b'{"event":"x","y":' + b"[" * 99_999)] == [
        None
    ] * 4
