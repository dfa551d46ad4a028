"""The symbols of a feed: what is asked of the vendor, what it answers, and under which name a tick is stored."""

from collections.abc import Iterable, Mapping, Sequence

from candleworks.settings import Instrument
from candleworks.storage.feeds import SymbolStatus
from candleworks.vendor.protocol import Listing, PriceEvent, decode_prices

Request = str | dict[str, str]


class Roster:
    """Belongs to the event loop, except for `decode`, which the writer's thread asks, too."""

    def __init__(self, instruments: Mapping[str, str | Instrument]) -> None:
        self.states: dict[str, SymbolStatus] = {}
        self._instruments: dict[str, str | Instrument] = {}
        self._listings: dict[tuple[str, str], str] = {}
        self.replace(instruments)

    def replace(self, instruments: Mapping[str, str | Instrument]) -> tuple[list[str], list[Request]]:
        """Take the symbols of a new configuration; return the names to ask for, and what to ask for no longer.

        Ticks of symbols that went may still come, and keep their names.
        """
        asked = {name: self._instruments[name] for name in self.states}
        came = [name for name, wanted in instruments.items() if asked.get(name) != wanted]
        went = [name for name, wanted in asked.items() if instruments.get(name) != wanted]
        leaving = self.requests(went)
        for name in went:
            self.states.pop(name)
        self._instruments |= instruments
        for name in came:
            self.states[name] = SymbolStatus("asked")
            for detail in _details(instruments[name]):
                self._listings[_ticker(instruments[name]), detail.upper()] = name
        return came, leaving

    def requests(self, names: Iterable[str]) -> list[Request]:
        """Return the symbols as the vendor is asked for them."""
        return [_request(self._instruments[name]) for name in names]

    @property
    def wanted(self) -> list[str]:
        return list(self.states)

    @property
    def refused(self) -> dict[str, str]:
        """Return the vendor's words by the name of each symbol that it does not stream."""
        return {name: state.reason or "" for name, state in self.states.items() if state.status == "refused"}

    def accept(self, listing: Listing) -> str | None:
        """Note that the vendor streams a symbol; return its name, None when nobody asked for it."""
        name = self._find(listing)
        if name is None:
            return None
        # Ticks may name the exchange where the code of its market was asked for.
        for detail in (listing.exchange, listing.mic_code):
            if detail and not isinstance(self._instruments[name], str):
                self._listings[listing.symbol.upper(), detail.upper()] = name
        self.states[name] = SymbolStatus("streaming")
        return name

    def refuse(self, listing: Listing) -> str | None:
        """Note that the vendor does not stream a symbol; return its name when that is news."""
        name, state = self._find(listing), SymbolStatus("refused", listing.message)
        if name is None or self.states[name] == state:
            return None
        self.states[name] = state
        return name

    def _find(self, listing: Listing) -> str | None:
        ticker = listing.symbol.upper()
        details = filter(None, (listing.mic_code, listing.exchange, listing.type))
        by_detail = (self._listings.get((ticker, detail.upper())) for detail in details)
        name = next(filter(None, by_detail), ticker if isinstance(self._instruments.get(ticker), str) else None)
        if name is None:  # the one object with this ticker, where the answer tells nothing more
            same = [name for name, wanted in self._instruments.items() if _ticker(wanted) == ticker]
            name = same[0] if len(same) == 1 else None
        return name if name in self.states else None

    def decode(self, frames: Sequence[bytes]) -> list[PriceEvent | str]:
        """Decode price frames, and give each the symbol under which it is stored; see `decode_prices`."""
        events = decode_prices(frames)
        if self._listings:
            for event in events:
                if not isinstance(event, str):
                    event.symbol = self.name_of(event)
        return events

    def name_of(self, event: PriceEvent) -> str:
        """Return the name under which a tick is stored: its symbol, unless that listing was singled out."""
        for detail in (event.exchange, event.mic_code, event.type):
            if detail and (name := self._listings.get((event.symbol.upper(), detail.upper()))):
                return name
        return event.symbol


def _details(wanted: str | Instrument) -> list[str]:
    """What singles out a listing: its market, which `RY:TSX` names itself, or its type where no market is named."""
    if isinstance(wanted, str):
        return [part for part in wanted.split(":")[1:] if part]
    return list(filter(None, (wanted.mic_code, wanted.exchange))) or list(filter(None, (wanted.type,)))


def _ticker(wanted: str | Instrument) -> str:
    return (wanted.partition(":")[0] if isinstance(wanted, str) else wanted.symbol).upper()


def _request(wanted: str | Instrument) -> Request:
    if isinstance(wanted, str):
        return wanted
    return wanted.model_dump(exclude={"store_as"}, exclude_none=True)
