"""Trades in columns, as they travel from a feed to the database; the volume rule; rejected ticks."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from candleworks.model.tick_columns import TickColumns

MICROSECONDS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Trades(TickColumns):
    """Trades; `day_volume`, `volume`, `bid` and `ask` may be None."""

    price: list[float] = field(default_factory=list)
    day_volume: list[float | None] = field(default_factory=list)
    volume: list[float | None] = field(default_factory=list)
    bid: list[float | None] = field(default_factory=list)
    ask: list[float | None] = field(default_factory=list)
    received_us: list[int] = field(default_factory=list)


# What the payload of a rejected tick is: a frame of a feed; a frame of which only the quote was rejected; the values of
# a trade that the database refused; a line of a text file with ticks, bars or companies; a row of a table, as JSON.
RejectionKind = Literal["frame", "quote", "trade", "line", "bar", "company", "row"]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rejected tick: why, and its payload as it arrived.

    `number` is that of a line or row in its file, from 1; null where there is none.
    """

    received_us: int
    reason: str
    payload: str
    kind: RejectionKind = "frame"
    number: int | None = None


def volume_increase(day_volume: float, highest: float | None) -> float | None:
    """Return the volume of a trade: the increase of its source's running maximum of `day_volume` in its trading day.

    `highest` is that maximum before the trade: 0 at the beginning of a day, None where the volume traded before is
    unknown. SQL has the same rule as candleworks.volume_increase, polars as imports.trade_sink.volumes; a test compares
    all of them over generated days.
    """
    return None if highest is None else max(day_volume - highest, 0.0)


def moment_of(us: int) -> datetime:
    """Convert microseconds since 1970 to an aware UTC time, exactly."""
    return datetime.fromtimestamp(us // MICROSECONDS, UTC) + timedelta(microseconds=us % MICROSECONDS)


def microseconds_of(time: datetime) -> int:
    """Convert an aware time to microseconds since 1970, exactly."""
    return (time - _EPOCH) // timedelta(microseconds=1)
