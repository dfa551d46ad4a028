"""Which quotes are taken out of live ticks, and what is left of a tick whose quote is rejected."""

import pytest

from candleworks.feed.sequencer import Sequencer
from candleworks.model.quotes import Quotes
from candleworks.model.trades import MICROSECONDS
from candleworks.settings import Ingest
from candleworks.storage.quotes import QuotePosition
from candleworks.storage.trades import Position
from candleworks.vendor.protocol import PriceEvent
from tests.feed.test_sequencer import NOON, ZONES, sequenced, sequencer, tick


def quotes_of(quotes: Quotes) -> list[tuple[int, int, float, float]]:
    """Event times are seconds after noon."""
    seconds = [event_us // MICROSECONDS - NOON for event_us in quotes.event_us]
    return list(zip(seconds, quotes.ordinal, quotes.bid, quotes.ask, strict=True))


def quoted(event_time: int = NOON, bid: float | None = 1.0, ask: float | None = 1.5, price: float = 1.2) -> PriceEvent:
    return tick(event_time, price, bid=bid, ask=ask)


def test_each_tick_with_both_sides_is_a_quote() -> None:
    """Also one that repeats bid and ask; ordinals count quotes, so a tick without one leaves no number out."""
    target = sequencer()
    first = sequenced(target, quoted(), tick(), quoted(), quoted(NOON + 1), quoted(NOON, bid=0.9)).quotes
    assert quotes_of(first.quotes) == [(0, 0, 1.0, 1.5), (0, 1, 1.0, 1.5), (1, 0, 1.0, 1.5)]
    assert quotes_of(first.late) == [(0, 0, 0.9, 1.5)]
    assert quotes_of(sequenced(target, quoted(NOON + 1, ask=1.0)).quotes.quotes) == [(1, 1, 1.0, 1.0)]


def test_one_side_alone_is_kept_with_the_trade() -> None:
    """It is no quote, and nothing is wrong with it."""
    result = sequenced(sequencer(), quoted(ask=None), quoted(bid=None), tick())
    assert (result.trades.bid, result.trades.ask) == ([1.0, None, None], [None, 1.5, None])
    assert (len(result.quotes.quotes), result.quotes.rejections, result.rejections) == (0, [], [])


@pytest.mark.parametrize(
    ("event", "reason", "left"),
    [
        (quoted(bid=0.0), "bid 0.0 is zero", (None, 1.5)),
        (quoted(ask=-0.0), "ask -0.0 is zero", (1.0, None)),
        (quoted(bid=-0.5, ask=None), "bid -0.5 is negative", (None, None)),
        (quoted(bid=-0.5, ask=-0.6), "bid -0.5 is negative", (None, None)),
        (quoted(ask=1e200), "ask 1e+200 is out of range", (1.0, None)),
        (quoted(bid=1.6), "ask 1.5 is below bid 1.6", (1.6, 1.5)),
    ],
)
def test_a_rejected_quote_leaves_its_trade(
    event: PriceEvent, reason: str, left: tuple[float | None, float | None]
) -> None:
    """Without the side that is rejected; both sides of a crossed quote stay. The tick is kept as it came."""
    result = sequenced(sequencer(), quoted(), event, quoted())
    assert [(rejected.reason, rejected.payload) for rejected in result.quotes.rejections] == [
        (f"quote: {reason}", "payload")
    ]
    assert (result.rejections, result.trades.ordinal) == ([], [0, 1, 2])
    assert (result.trades.bid[1], result.trades.ask[1]) == left
    assert result.quotes.quotes.ordinal == [0, 1]


def test_the_quote_of_a_rejected_tick_is_rejected_with_it() -> None:
    """The tick is counted once."""
    result = sequenced(sequencer(), quoted(price=-1.0), quoted(NOON + 61, bid=0.0), received=NOON)
    assert [rejected.reason for rejected in result.rejections] == [
        "price -1.0 is negative",
        f"event time {NOON + 61} is 61 s in the future",
    ]
    assert (len(result.quotes.quotes), result.quotes.rejections) == (0, [])


def test_a_repeated_trade_may_bring_a_newer_quote() -> None:
    """After a connect the vendor repeats the last trade: an equal quote is dropped with it, another one is stored."""
    target = sequencer()
    sequenced(target, quoted())
    again = sequenced(target, quoted(), quoted(), connections=(0,))
    assert (again.snapshots, again.quotes.repeated) == (1, 1)
    assert quotes_of(again.quotes.quotes) == [(0, 1, 1.0, 1.5)]
    newer = sequenced(target, quoted(ask=1.4), connections=(0,))
    assert (newer.snapshots, newer.quotes.repeated, len(newer.trades)) == (1, 0, 0)
    assert quotes_of(newer.quotes.quotes) == [(0, 2, 1.0, 1.4)]


def test_quotes_continue_from_what_is_stored() -> None:
    """After a restart; stored quotes and trades of a symbol need not be of the same time."""
    target = Sequencer(Ingest())
    positions = {"AAPL": Position(NOON * MICROSECONDS, 1, 1.2, None, None)}
    target.add_symbols(ZONES, positions, {"AAPL": QuotePosition((NOON + 1) * MICROSECONDS, 3, 1.0, 1.5)})
    result = sequenced(target, quoted(), quoted(NOON + 1))
    assert (result.trades.ordinal, quotes_of(result.quotes.quotes)) == ([1, 0], [(1, 3, 1.0, 1.5)])
    assert quotes_of(result.quotes.late) == [(0, 0, 1.0, 1.5)]
