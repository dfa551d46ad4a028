"""The websocket messages of clients, and the responses to them."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from candleworks.simulate.catalogue import Catalogue, SimulatedInstrument

RequestName = Literal["subscribe", "unsubscribe", "reset", "heartbeat"]

CANNOT_PARSE: Final = msgspec.json.encode(
    {"event": "error", "status": "error", "messages": ["Cant parse message"]},
)
HEARTBEAT: Final = msgspec.json.encode({"event": "heartbeat", "status": "ok"})
RESET: Final = msgspec.json.encode({"event": "reset-status", "status": "ok"})


class SymbolObject(msgspec.Struct, frozen=True):
    """The extended form of a symbol; a plain `RY:TSX` is in `symbol` as it is."""

    symbol: str
    exchange: str = ""
    mic_code: str = ""
    type: str = ""


class _Params(msgspec.Struct):
    symbols: str | list[SymbolObject] = ""


class _RequestMessage(msgspec.Struct):
    action: RequestName
    params: _Params = msgspec.field(default_factory=_Params)


@dataclass(frozen=True)
class ClientRequest:
    name: RequestName
    symbols: tuple[SymbolObject, ...] = ()


def parse_request(text: str | bytes) -> ClientRequest | None:
    """Return a client's request; None where the vendor would answer that it cannot parse the message."""
    try:
        message = msgspec.json.decode(text, type=_RequestMessage)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    asked = message.params.symbols
    if isinstance(asked, str):
        symbols = tuple(SymbolObject(part.strip()) for part in asked.split(",") if part.strip())
    else:
        symbols = tuple(asked)
    if message.action in ("subscribe", "unsubscribe") and not symbols:
        return None
    return ClientRequest(message.action, symbols)


@dataclass(frozen=True)
class Lookup:
    """The rows of a client's symbols, each once, and the unknown symbols with the vendor's message."""

    rows: list[int]
    fails: list[dict[str, str]]


def look_up(catalogue: Catalogue, symbols: tuple[SymbolObject, ...]) -> Lookup:
    rows: dict[int, None] = {}
    fails: list[dict[str, str]] = []
    for asked in symbols:
        row = catalogue.find(asked.symbol, exchange=asked.exchange, mic_code=asked.mic_code, type_name=asked.type)
        if row is None:
            fails.append({"symbol": asked.symbol, "message": symbol_not_found(asked.symbol)})
        else:
            rows[row] = None
    return Lookup(list(rows), fails)


def symbol_not_found(symbol: str) -> str:
    return f"**symbol** not found: {symbol}. Please specify it correctly according to API Documentation."


def status_event(
    event: Literal["subscribe-status", "unsubscribe-status"], catalogue: Catalogue, found: Lookup
) -> bytes:
    """`fails` is null when nothing failed; the status is a warning when some symbols did, an error when all."""
    status = "ok" if not found.fails else "warning" if found.rows else "error"
    success = [_listing(catalogue.instruments[row]) for row in found.rows]
    return msgspec.json.encode({"event": event, "status": status, "success": success, "fails": found.fails or None})


def _listing(instrument: SimulatedInstrument) -> dict[str, Any]:
    return {
        "symbol": instrument.symbol,
        "exchange": instrument.exchange.name,
        "mic_code": instrument.exchange.mic_code,
        "country": instrument.exchange.country,
        "type": instrument.type,
    }
