"""Takes the quotes out of live ticks: which of them are accepted, and their ordinals within the second."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from candleworks.model.quotes import Quotes
from candleworks.model.tick_validation import LARGEST, SMALLEST, number_fault, price_faults
from candleworks.model.trades import MICROSECONDS, Rejection
from candleworks.settings import Ingest
from candleworks.storage.quotes import QuotePosition
from candleworks.vendor.protocol import PriceEvent

Sides = tuple[float | None, float | None]  # bid and ask


@dataclass(slots=True)
class SequencedQuotes:
    """The quotes of a batch: `quotes` follow all earlier ones of their symbols, `late` are older than one of these.

    `repeated` counts the dropped repetitions of last quotes.
    """

    quotes: Quotes = field(default_factory=Quotes)
    late: Quotes = field(default_factory=Quotes)
    rejections: list[Rejection] = field(default_factory=list)
    repeated: int = 0


@dataclass(slots=True)
class _LastQuote:
    event_us: int = 0
    sharing: int = 0  # quotes with this event time
    bid: float | None = None
    ask: float | None = None


class QuoteSequencer:
    """Sequences the quotes of one feed; docs/decisions/0048-live-quotes.md has the rules."""

    def __init__(self, limits: Ingest) -> None:
        self._price_faults = price_faults(accept_zero=limits.accept_zero_prices)
        self._last: dict[str, _LastQuote] = {}

    def add_symbols(self, symbols: Iterable[str], positions: Mapping[str, QuotePosition]) -> None:
        """Accept quotes of these symbols from now on; `positions` are those of their last stored quotes."""
        for symbol in symbols:
            self._last[symbol] = _LastQuote(*positions.get(symbol, ()))

    def sequence(
        self, batch: SequencedQuotes, event: PriceEvent, received_us: int, payload: bytes, *, repeated: bool
    ) -> Sides:
        """Sequence the quote of an accepted tick, if it has both sides; return its bid and ask, None where rejected.

        `repeated`: the tick repeats the last trade of its symbol after a connect. Its quote may be a newer one.
        """
        bid, ask = event.bid, event.ask
        if bid is None or ask is None or not SMALLEST <= bid <= ask <= LARGEST:
            fault = self._fault("bid", bid), self._fault("ask", ask)
            reason = fault[0] or fault[1] or _crossed_fault(bid, ask)
            if reason:
                batch.rejections.append(
                    Rejection(received_us, f"quote: {reason}", payload.decode(errors="replace"), "quote")
                )
            if reason or bid is None or ask is None:
                return None if fault[0] else bid, None if fault[1] else ask
        self._append(batch, event, (bid, ask), received_us, payload, repeated=repeated)
        return bid, ask

    def _append(
        self,
        batch: SequencedQuotes,
        event: PriceEvent,
        sides: tuple[float, float],
        received_us: int,
        payload: bytes,
        *,
        repeated: bool,
    ) -> None:
        event_us = event.timestamp * MICROSECONDS
        last = self._last[event.symbol]
        if repeated and (last.event_us, last.bid, last.ask) == (event_us, *sides):
            batch.repeated += 1
            return
        ordinal, quotes = 0, batch.late
        if event_us >= last.event_us:
            if event_us != last.event_us:
                last.event_us, last.sharing = event_us, 0
            ordinal, quotes = last.sharing, batch.quotes
            last.sharing = ordinal + 1
            last.bid, last.ask = sides
        quotes.event_us.append(event_us)
        quotes.ordinal.append(ordinal)
        quotes.symbol.append(event.symbol)
        quotes.bid.append(sides[0])
        quotes.ask.append(sides[1])
        quotes.received_us.append(received_us)
        quotes.payload.append(payload)

    def _fault(self, name: str, value: float | None) -> str | None:
        fault = None if value is None else number_fault(value, self._price_faults)
        return fault and f"{name} {value!r} {fault}"


def _crossed_fault(bid: float | None, ask: float | None) -> str | None:
    return f"ask {ask!r} is below bid {bid!r}" if bid is not None and ask is not None and ask < bid else None
