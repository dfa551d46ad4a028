"""The symbols of a feed: as they are requested, as the vendor responds, and as they are stored."""

import pytest

from candleworks.feed.subscriptions import Subscriptions
from candleworks.settings import Feed
from candleworks.storage.feeds import SymbolStatus
from candleworks.vendor.protocol import PriceEvent, SubscriptionResult

TORONTO = {"symbol": "RY", "mic_code": "XTSE"}
LONDON = {"symbol": "RY", "exchange": "LSE", "store_as": "RY-LONDON"}
FUND = {"symbol": "SPY", "type": "ETF"}


def subscriptions(*symbols: object) -> Subscriptions:
    return Subscriptions(instruments(*symbols))


def instruments(*symbols: object) -> dict[str, object]:
    return Feed.model_validate({"symbols": symbols}).instruments


def event(symbol: str, **details: str) -> PriceEvent:
    return PriceEvent(event="price", symbol=symbol, timestamp=1, price=1.0, **details)


def test_symbols_are_asked_for_as_they_are_configured() -> None:
    """Plain ones as text, objects with what singles them out, and without the name that they are stored under."""
    subscribed = subscriptions("aapl", "RY:TSX", TORONTO, LONDON, FUND)
    assert subscribed.symbols == ["AAPL", "RY:TSX", "RY:XTSE", "RY-LONDON", "SPY"]
    assert subscribed.requests(subscribed.symbols) == [
        "AAPL",
        "RY:TSX",
        {"symbol": "RY", "mic_code": "XTSE"},
        {"symbol": "RY", "exchange": "LSE"},
        {"symbol": "SPY", "type": "ETF"},
    ]


@pytest.mark.parametrize(
    ("symbol", "answer", "name"),
    [
        ("AAPL", SubscriptionResult("AAPL", "NASDAQ", "XNGS", "Common Stock"), "AAPL"),
        ("RY:TSX", SubscriptionResult("RY", "TSX", "XTSE", "Common Stock"), "RY:TSX"),
        ("RY:TSX", SubscriptionResult("RY:TSX"), "RY:TSX"),
        (TORONTO, SubscriptionResult("RY", "TSX", "XTSE", "Common Stock"), "RY:XTSE"),
        (TORONTO, SubscriptionResult("ry"), "RY:XTSE"),
        (LONDON, SubscriptionResult("RY", "lse", "XLON"), "RY-LONDON"),
        (FUND, SubscriptionResult("SPY", "NYSE", "ARCX", "ETF"), "SPY"),
        ("MSFT", SubscriptionResult("AAPL"), None),
    ],
)
def test_answers_find_their_symbol(symbol: object, answer: SubscriptionResult, name: str | None) -> None:
    """Whatever the vendor says beside the ticker, or does not; an answer about another symbol finds none."""
    subscribed = subscriptions(symbol)
    assert subscribed.accept(answer) == name
    assert [state.status for state in subscribed.statuses.values()] == ["streaming" if name else "asked"]


def test_listings_of_one_ticker_are_told_apart() -> None:
    """In answers and in ticks, plain one, markets and type beside each other."""
    subscribed = subscriptions("RY", TORONTO, LONDON, {"symbol": "RY", "type": "ETF", "store_as": "RY-FUND"})
    assert subscribed.accept(SubscriptionResult("RY", "NYSE", "XNYS", "Common Stock")) == "RY"
    assert subscribed.accept(SubscriptionResult("RY", "TSX", "XTSE", "Common Stock")) == "RY:XTSE"
    assert subscribed.accept(SubscriptionResult("RY", "LSE", "XLON", "Common Stock")) == "RY-LONDON"
    assert subscribed.accept(SubscriptionResult("RY", "OTC", "OTCM", "ETF")) == "RY-FUND"
    ticks = [
        event("RY", exchange="NYSE"),
        event("RY", exchange="TSX"),
        event("RY", exchange="LSE"),
        event("RY", type="ETF"),
    ]
    assert [subscribed.name_of(tick) for tick in ticks] == ["RY", "RY:XTSE", "RY-LONDON", "RY-FUND"]


def test_ticks_may_name_the_exchange_where_its_code_was_asked_for() -> None:
    """The response to the subscription named both."""
    subscribed = subscriptions(TORONTO)
    assert subscribed.name_of(event("RY", exchange="TSX")) == "RY"
    subscribed.accept(SubscriptionResult("RY", "TSX", "XTSE"))
    assert subscribed.name_of(event("RY", exchange="TSX")) == "RY:XTSE"
    assert subscribed.name_of(event("RY", mic_code="XTSE")) == "RY:XTSE"


def test_frames_get_the_names_under_which_their_ticks_are_stored() -> None:
    """`RY:TSX` was requested, `RY` and its exchange arrive; the reason of a frame that is not a price event stays."""
    details = (b',"exchange":"TSX"', b',"exchange":"NYSE"', b"", b',"exchange":"tsx"')
    frames = [b'{"event":"price","symbol":"RY","timestamp":1,"price":1.0%b}' % detail for detail in details]
    *prices, reason = subscriptions("RY", "RY:TSX").decode([*frames, b"{"])
    assert [event.symbol for event in prices if isinstance(event, PriceEvent)] == ["RY:TSX", "RY", "RY", "RY:TSX"]
    assert isinstance(reason, str)


def test_a_refusal_is_news_once() -> None:
    """Until the vendor gives another reason; the reason is kept."""
    subscribed = subscriptions("NOPE", "AAPL")
    refusal = SubscriptionResult("NOPE", message="not found")
    assert subscribed.refuse(refusal) == "NOPE"
    assert subscribed.refuse(refusal) is None
    assert subscribed.refuse(SubscriptionResult("NOPE", message="not in your plan")) == "NOPE"
    assert subscribed.refused == {"NOPE": "not in your plan"}
    assert subscribed.accept(SubscriptionResult("NOPE")) == "NOPE"
    assert (subscribed.refused, subscribed.statuses["NOPE"]) == ({}, SymbolStatus("streaming"))
    assert subscribed.refuse(SubscriptionResult("OTHER", message="not found")) is None


def test_symbols_come_and_go() -> None:
    """Those that stay keep their state; what comes back is subscribed again; nothing goes twice."""
    subscribed = subscriptions("AAPL", "MSFT", TORONTO)
    subscribed.accept(SubscriptionResult("AAPL"))
    assert subscribed.replace(instruments("AAPL", "TSLA")) == (["TSLA"], ["MSFT", {"symbol": "RY", "mic_code": "XTSE"}])
    assert subscribed.statuses == {"AAPL": SymbolStatus("streaming"), "TSLA": SymbolStatus("asked")}
    assert subscribed.replace(instruments("AAPL", "TSLA")) == ([], [])
    assert subscribed.replace(instruments("AAPL", "MSFT")) == (["MSFT"], ["TSLA"])
    assert subscribed.accept(SubscriptionResult("TSLA")) is None


def test_a_symbol_that_is_to_be_found_elsewhere_is_asked_for_anew() -> None:
    """The former listing is left."""
    subscribed = subscriptions({"symbol": "RY", "mic_code": "XTSE", "store_as": "BANK"})
    came = subscribed.replace(instruments({"symbol": "RY", "mic_code": "XNYS", "store_as": "BANK"}))
    assert came == (["BANK"], [{"symbol": "RY", "mic_code": "XTSE"}])
    assert subscribed.requests(["BANK"]) == [{"symbol": "RY", "mic_code": "XNYS"}]


def test_ticks_of_a_symbol_that_went_keep_their_name() -> None:
    """They are on their way when it goes, in memory or on disk."""
    subscribed = subscriptions("AAPL", TORONTO)
    subscribed.replace(instruments("AAPL"))
    assert subscribed.name_of(event("RY", mic_code="XTSE")) == "RY:XTSE"
