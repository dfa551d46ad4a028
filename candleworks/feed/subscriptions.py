"""The symbols of a feed: how the vendor is asked for them, whether it streams them, and their stored names."""

from collections.abc import Iterable, Mapping, Sequence

from candleworks.settings import Instrument
from candleworks.storage.feeds import SymbolStatus
from candleworks.vendor.protocol import PriceEvent, SubscriptionResult, decode_prices

SymbolRequest = str | dict[str, str]


class Subscriptions:
    """Belongs to the event loop, except for `decode`, which the writer's thread calls, too."""

    def __init__(self, instruments: Mapping[str, str | Instrument]) -> None:
        self.statuses: dict[str, SymbolStatus] = {}
        self._instruments: dict[str, str | Instrument] = {}
        self._names: dict[tuple[str, str], str] = {}  # by ticker and exchange, market code or type
        self.replace(instruments)

    def replace(self, instruments: Mapping[str, str | Instrument]) -> tuple[list[str], list[SymbolRequest]]:
        """Use the symbols of a new configuration; return the names to subscribe, and the requests to unsubscribe.

        Ticks of removed symbols may still arrive, and keep their names.
        """
        current = {name: self._instruments[name] for name in self.statuses}
        added = [name for name, instrument in instruments.items() if current.get(name) != instrument]
        removed = [name for name, instrument in current.items() if instruments.get(name) != instrument]
        unsubscribe = self.requests(removed)
        for name in removed:
            self.statuses.pop(name)
        self._instruments |= instruments
        for name in added:
            self.statuses[name] = SymbolStatus("asked")
            for detail in _details(instruments[name]):
                self._names[_ticker(instruments[name]), detail.upper()] = name
        return added, unsubscribe

    def requests(self, names: Iterable[str]) -> list[SymbolRequest]:
        """Return the symbols as they are requested from the vendor."""
        return [_request(self._instruments[name]) for name in names]

    @property
    def symbols(self) -> list[str]:
        return list(self.statuses)

    @property
    def refused(self) -> dict[str, str]:
        """The vendor's reason by the name of each symbol that it does not stream."""
        return {name: state.reason or "" for name, state in self.statuses.items() if state.status == "refused"}

    def accept(self, result: SubscriptionResult) -> str | None:
        """Note that the vendor streams a symbol; return its name, None when it is not subscribed."""
        name = self._find(result)
        if name is None:
            return None
        # Ticks may name the exchange where the market code was requested.
        for detail in (result.exchange, result.mic_code):
            if detail and not isinstance(self._instruments[name], str):
                self._names[result.symbol.upper(), detail.upper()] = name
        self.statuses[name] = SymbolStatus("streaming")
        return name

    def refuse(self, result: SubscriptionResult) -> str | None:
        """Note that the vendor does not stream a symbol; return its name when that is new."""
        name, status = self._find(result), SymbolStatus("refused", result.message)
        if name is None or self.statuses[name] == status:
            return None
        self.statuses[name] = status
        return name

    def _find(self, result: SubscriptionResult) -> str | None:
        ticker = result.symbol.upper()
        details = filter(None, (result.mic_code, result.exchange, result.type))
        by_detail = (self._names.get((ticker, detail.upper())) for detail in details)
        name = next(filter(None, by_detail), ticker if isinstance(self._instruments.get(ticker), str) else None)
        if name is None:  # the only instrument with this ticker, where the vendor gives no details
            same = [name for name, instrument in self._instruments.items() if _ticker(instrument) == ticker]
            name = same[0] if len(same) == 1 else None
        return name if name in self.statuses else None

    def decode(self, frames: Sequence[bytes]) -> list[PriceEvent | str]:
        """Decode price frames, and set each event's symbol to the stored name; see `decode_prices`."""
        events = decode_prices(frames)
        if self._names:
            for event in events:
                if not isinstance(event, str):
                    event.symbol = self.name_of(event)
        return events

    def name_of(self, event: PriceEvent) -> str:
        """Return the name under which a tick is stored: its symbol, unless its listing was requested explicitly."""
        for detail in (event.exchange, event.mic_code, event.type):
            if detail and (name := self._names.get((event.symbol.upper(), detail.upper()))):
                return name
        return event.symbol


def _details(instrument: str | Instrument) -> list[str]:
    """What identifies a listing: its market, which `RY:TSX` names itself, or its type where no market is named."""
    if isinstance(instrument, str):
        return [part for part in instrument.split(":")[1:] if part]
    return list(filter(None, (instrument.mic_code, instrument.exchange))) or list(filter(None, (instrument.type,)))


def _ticker(instrument: str | Instrument) -> str:
    return (instrument.partition(":")[0] if isinstance(instrument, str) else instrument.symbol).upper()


def _request(instrument: str | Instrument) -> SymbolRequest:
    if isinstance(instrument, str):
        return instrument
    return instrument.model_dump(exclude={"store_as"}, exclude_none=True)
