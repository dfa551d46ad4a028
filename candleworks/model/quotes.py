"""Quotes in columns, as they travel from a feed to the database."""

from dataclasses import dataclass, field, replace
from typing import Self

from candleworks.model.tick_columns import TickColumns


@dataclass(slots=True)
class Quotes(TickColumns):
    """Best bid and ask of ticks. `payload` is the tick as it arrived, for a quote that the database refuses."""

    bid: list[float] = field(default_factory=list)
    ask: list[float] = field(default_factory=list)
    received_us: list[int] = field(default_factory=list)
    payload: list[bytes] = field(default_factory=list)

    def identified(self) -> Self:
        return replace(self, payload=[])
