"""What a stream yields. docs/reference/http.md says when each event comes."""

from datetime import datetime
from typing import Any

import msgspec

from candleworks.model.trades import MICROSECONDS, moment_of

_TIMES = ("time", "from", "to")


class TickEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A trade, which has a price, or a quote, which has none; `late`: it is older than one that came before."""

    symbol: str
    time: datetime
    price: float | None = None
    volume: float | None = None
    bid: float | None = None
    ask: float | None = None
    bid_volume: float | None = None
    ask_volume: float | None = None
    late: bool = False


class CandleEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A candle as it is now: one with a higher `revision` replaces those of the same time with a lower one."""

    symbol: str
    period: str
    price: str
    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    ticks: int
    closed: bool
    revision: int
    rebuilt: bool = False
    volume_from: str | None = None


class SnapshotEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stream begins: the newest candles of a period, and the newest tick; `period` is None for ticks alone."""

    symbol: str
    period: str | None = None
    price: str | None = None
    candles: tuple[CandleEvent, ...] = ()
    tick: TickEvent | None = None


class ReloadEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Too much has changed in [start, end): read it again. `period` is None for ticks."""

    symbol: str
    start: datetime = msgspec.field(name="from")
    end: datetime = msgspec.field(name="to")
    period: str | None = None
    price: str | None = None


class GapEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A gap of the symbol has begun, ended or was filled, in [start, end) where that is known."""

    symbol: str
    start: datetime | None = msgspec.field(name="from", default=None)
    end: datetime | None = msgspec.field(name="to", default=None)


class LaggedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Events were dropped, because this client was too slow or too long away; what follows makes up for them."""

    reason: str


class DatabaseEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The server has lost its database, or has it again."""

    available: bool
    error: str | None = None


StreamEvent = TickEvent | CandleEvent | SnapshotEvent | ReloadEvent | GapEvent | LaggedEvent | DatabaseEvent
_KINDS: dict[str, type[StreamEvent]] = {
    "tick": TickEvent,
    "candle": CandleEvent,
    "snapshot": SnapshotEvent,
    "reload": ReloadEvent,
    "gap": GapEvent,
    "lagged": LaggedEvent,
    "database": DatabaseEvent,
}


def read_event(name: str, text: str) -> StreamEvent | None:
    """Return the event; None for one that this version does not know. msgspec.DecodeError for other content."""
    kind = _KINDS.get(name)
    if kind is None:
        return None
    found: StreamEvent = msgspec.convert(_with_times(msgspec.json.decode(text)), kind)
    return found


def _with_times(data: Any) -> Any:
    """Replace seconds since 1970 by times."""
    if isinstance(data, list):
        return [_with_times(each) for each in data]
    if not isinstance(data, dict):
        return data
    return {
        name: moment_of(round(value * MICROSECONDS)) if name in _TIMES else _with_times(value)
        for name, value in data.items()
    }
