"""Ticks in columns: parallel lists with one entry per tick, in arrival order."""

from dataclasses import dataclass, field, fields
from typing import Self


@dataclass(slots=True)
class TickColumns:
    """What identifies ticks of any kind.

    `event_us` is the vendor's event time in microseconds since 1970, `ordinal` the tick's position among those with the
    same symbol and event time; their sum is the column `time`.
    """

    event_us: list[int] = field(default_factory=list)
    ordinal: list[int] = field(default_factory=list)
    symbol: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.event_us)

    def extend(self, other: Self) -> None:
        """Append the entries of `other`."""
        for column in fields(self):
            getattr(self, column.name).extend(getattr(other, column.name))

    def part(self, start: int, stop: int) -> Self:
        """Return the entries from `start` up to `stop`."""
        return type(self)(*(getattr(self, column.name)[start:stop] for column in fields(self)))

    def identified(self) -> Self:
        """Return what a later batch is compared with."""
        return self
