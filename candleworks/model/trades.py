"""Trades in columns: the one shape in which ticks travel from a feed or a file to the database."""

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta

MICROSECONDS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STAMP_MIN_US = 631_152_000 * MICROSECONDS  # 1990-01-01: no vendor has older ticks, a smaller stamp is a broken one
# Beyond these the product of a price and a volume, which vwap needs, may be no double, and one tick stops a refresh.
SMALLEST, LARGEST = 1e-100, 1e100


@dataclass(slots=True)
class Trades:
    """Parallel columns, one entry per trade, in arrival order.

    `stamp_us` is the vendor's stamp in microseconds since 1970 and `ordinal` the trade's position among those with the
    same symbol and stamp; `time` of the table is their sum. `day_volume`, `volume`, `bid` and `ask` may be None.
    """

    stamp_us: list[int] = field(default_factory=list)
    ordinal: list[int] = field(default_factory=list)
    symbol: list[str] = field(default_factory=list)
    price: list[float] = field(default_factory=list)
    day_volume: list[float | None] = field(default_factory=list)
    volume: list[float | None] = field(default_factory=list)
    bid: list[float | None] = field(default_factory=list)
    ask: list[float | None] = field(default_factory=list)
    received_us: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.stamp_us)

    def extend(self, other: "Trades") -> None:
        """Append the entries of `other`."""
        for column in fields(Trades):
            getattr(self, column.name).extend(getattr(other, column.name))

    def part(self, start: int, stop: int) -> "Trades":
        """Return the entries from `start` up to `stop`."""
        return Trades(*(getattr(self, column.name)[start:stop] for column in fields(Trades)))


@dataclass(frozen=True, slots=True)
class Rejection:
    """A tick that was refused: why, and what it looked like when it arrived."""

    received_us: int
    reason: str
    payload: str


def moment_of(us: int) -> datetime:
    """Turn microseconds since 1970 into an aware UTC time, exactly."""
    return datetime.fromtimestamp(us // MICROSECONDS, UTC) + timedelta(microseconds=us % MICROSECONDS)


def microseconds_of(moment: datetime) -> int:
    """Turn an aware time into microseconds since 1970, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
