"""The symbols of a feed: as they are asked for, as the vendor answers, and as they are stored."""

import pytest

from candleworks.feed.subscriptions import Roster
from candleworks.settings import Feed
from candleworks.storage.feeds import SymbolStatus
from candleworks.vendor.protocol import Listing, PriceEvent

TORONTO = {"symbol": "RY", "mic_code": "XTSE"}
LONDON = {"symbol": "RY", "exchange": "LSE", "store_as": "RY-LONDON"}
FUND = {"symbol": "SPY", "type": "ETF"}


def roster(*symbols: object) -> Roster:
    return Roster(instruments(*symbols))


def instruments(*symbols: object) -> dict[str, object]:
    return Feed.model_validate({"symbols": symbols}).instruments


def event(symbol: str, **details: str) -> PriceEvent:
    return PriceEvent(event="price", symbol=symbol, timestamp=1, price=1.0, **details)


def test_symbols_are_asked_for_as_they_are_configured() -> None:
    """Plain ones as text, objects with what singles them out, and without the name that they are stored under."""
    roster_ = roster("aapl", "RY:TSX", TORONTO, LONDON, FUND)
    assert roster_.wanted == ["AAPL", "RY:TSX", "RY:XTSE", "RY-LONDON", "SPY"]
    assert roster_.requests(roster_.wanted) == [
        "AAPL",
        "RY:TSX",
        {"symbol": "RY", "mic_code": "XTSE"},
        {"symbol": "RY", "exchange": "LSE"},
        {"symbol": "SPY", "type": "ETF"},
    ]


@pytest.mark.parametrize(
    ("symbol", "answer", "name"),
    [
        ("AAPL", Listing("AAPL", "NASDAQ", "XNGS", "Common Stock"), "AAPL"),
        ("RY:TSX", Listing("RY", "TSX", "XTSE", "Common Stock"), "RY:TSX"),
        ("RY:TSX", Listing("RY:TSX"), "RY:TSX"),
        (TORONTO, Listing("RY", "TSX", "XTSE", "Common Stock"), "RY:XTSE"),
        (TORONTO, Listing("ry"), "RY:XTSE"),
        (LONDON, Listing("RY", "lse", "XLON"), "RY-LONDON"),
        (FUND, Listing("SPY", "NYSE", "ARCX", "ETF"), "SPY"),
        ("MSFT", Listing("AAPL"), None),
    ],
)
def test_answers_find_their_symbol(symbol: object, answer: Listing, name: str | None) -> None:
    """Whatever the vendor says beside the ticker, or does not; an answer about another symbol finds none."""
    asked = roster(symbol)
    assert asked.accept(answer) == name
    assert [state.status for state in asked.states.values()] == ["streaming" if name else "asked"]


def test_listings_of_one_ticker_are_told_apart() -> None:
    """In answers and in ticks, plain one, markets and type beside each other."""
    asked = roster("RY", TORONTO, LONDON, {"symbol": "RY", "type": "ETF", "store_as": "RY-FUND"})
    assert asked.accept(Listing("RY", "NYSE", "XNYS", "Common Stock")) == "RY"
    assert asked.accept(Listing("RY", "TSX", "XTSE", "Common Stock")) == "RY:XTSE"
    assert asked.accept(Listing("RY", "LSE", "XLON", "Common Stock")) == "RY-LONDON"
    assert asked.accept(Listing("RY", "OTC", "OTCM", "ETF")) == "RY-FUND"
    ticks = [
        event("RY", exchange="NYSE"),
        event("RY", exchange="TSX"),
        event("RY", exchange="LSE"),
        event("RY", type="ETF"),
    ]
    assert [asked.name_of(tick) for tick in ticks] == ["RY", "RY:XTSE", "RY-LONDON", "RY-FUND"]


def test_ticks_may_name_the_exchange_where_its_code_was_asked_for() -> None:
    """The answer to the subscription told both."""
    asked = roster(TORONTO)
    assert asked.name_of(event("RY", exchange="TSX")) == "RY"
    asked.accept(Listing("RY", "TSX", "XTSE"))
    assert asked.name_of(event("RY", exchange="TSX")) == "RY:XTSE"
    assert asked.name_of(event("RY", mic_code="XTSE")) == "RY:XTSE"


def test_frames_get_the_names_under_which_their_ticks_are_stored() -> None:
    """`RY:TSX` was asked for, `RY` and the exchange come; what is no price event stays the reason."""
    details = (b',"exchange":"TSX"', b',"exchange":"NYSE"', b"", b',"exchange":"tsx"')
    frames = [b'{"event":"price","symbol":"RY","timestamp":1,"price":1.0%b}' % detail for detail in details]
    *prices, reason = roster("RY", "RY:TSX").decode([*frames, b"{"])
    assert [event.symbol for event in prices if isinstance(event, PriceEvent)] == ["RY:TSX", "RY", "RY", "RY:TSX"]
    assert isinstance(reason, str)


def test_a_refusal_is_news_once() -> None:
    """Until the vendor says something else; its words are kept."""
    asked = roster("NOPE", "AAPL")
    refusal = Listing("NOPE", message="not found")
    assert asked.refuse(refusal) == "NOPE"
    assert asked.refuse(refusal) is None
    assert asked.refuse(Listing("NOPE", message="not in your plan")) == "NOPE"
    assert asked.refused == {"NOPE": "not in your plan"}
    assert asked.accept(Listing("NOPE")) == "NOPE"
    assert (asked.refused, asked.states["NOPE"]) == ({}, SymbolStatus("streaming"))
    assert asked.refuse(Listing("OTHER", message="not found")) is None


def test_symbols_come_and_go() -> None:
    """Those that stay keep their state; what comes back is asked for again; nothing goes twice."""
    asked = roster("AAPL", "MSFT", TORONTO)
    asked.accept(Listing("AAPL"))
    assert asked.replace(instruments("AAPL", "TSLA")) == (["TSLA"], ["MSFT", {"symbol": "RY", "mic_code": "XTSE"}])
    assert asked.states == {"AAPL": SymbolStatus("streaming"), "TSLA": SymbolStatus("asked")}
    assert asked.replace(instruments("AAPL", "TSLA")) == ([], [])
    assert asked.replace(instruments("AAPL", "MSFT")) == (["MSFT"], ["TSLA"])
    assert asked.accept(Listing("TSLA")) is None


def test_a_symbol_that_is_to_be_found_elsewhere_is_asked_for_anew() -> None:
    """The former listing is left."""
    asked = roster({"symbol": "RY", "mic_code": "XTSE", "store_as": "BANK"})
    came = asked.replace(instruments({"symbol": "RY", "mic_code": "XNYS", "store_as": "BANK"}))
    assert came == (["BANK"], [{"symbol": "RY", "mic_code": "XTSE"}])
    assert asked.requests(["BANK"]) == [{"symbol": "RY", "mic_code": "XNYS"}]


def test_ticks_of_a_symbol_that_went_keep_their_name() -> None:
    """They are on their way when it goes, in memory or on disk."""
    asked = roster("AAPL", TORONTO)
    asked.replace(instruments("AAPL"))
    assert asked.name_of(event("RY", mic_code="XTSE")) == "RY:XTSE"
