"""What a stream consists of. An event is encoded once, for all clients."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from candleworks.model.trades import MICROSECONDS
from candleworks.storage.stream_log import StreamedTick

_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Event:
    """A named event and its JSON; `frame` are its lines in a stream of Server-Sent Events."""

    name: str
    body: bytes
    frame: bytes = field(repr=False)

    @property
    def data(self) -> dict[str, Any]:
        return dict(msgspec.json.decode(self.body))


def event(name: str, data: Mapping[str, object]) -> Event:
    body = _ENCODER.encode(data)
    return Event(name, body, b"event: %b\ndata: %b\n\n" % (name.encode(), body))


def seconds(us: int) -> float | int:
    """Return seconds since 1970, whole ones as an integer."""
    return us // MICROSECONDS if us % MICROSECONDS == 0 else us / MICROSECONDS


def tick_data(symbol: str, family: str, tick: StreamedTick, *, late: bool = False) -> dict[str, object]:
    if family == "trade":
        values = {"price": tick.price, "volume": tick.volume, "bid": tick.other, "ask": tick.other_volume}
    else:
        values = {"bid": tick.price, "ask": tick.other, "bid_volume": tick.volume, "ask_volume": tick.other_volume}
    return {"symbol": symbol, "time": seconds(tick.us), **values, **({"late": True} if late else {})}


def lagged(reason: str) -> Event:
    """Tell a client that it missed something: what follows makes up for it, unless it is a snapshot."""
    return event("lagged", {"reason": reason})


def availability(error: str | None) -> Event:
    """Tell clients that the database is away, or available again."""
    return event("database", {"available": error is None, "error": error})
