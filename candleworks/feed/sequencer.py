"""Gives every live tick its place: accepted or refused, its ordinal within the second, its own volume.

All state that the rules of tick identity and volume need between two ticks of a symbol is here, so that the common
tick needs no look at the database.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from candleworks.model.tick_validation import VOLUME_FAULTS, age_fault, fault_of, price_distance_fault, price_faults
from candleworks.model.trades import LARGEST, MICROSECONDS, SMALLEST, STAMP_MIN_US, Rejection, Trades
from candleworks.model.trading_day import trading_day_us
from candleworks.settings import Ingest
from candleworks.storage.trades import Position
from candleworks.vendor.protocol import PriceEvent


@dataclass(slots=True)
class Placed:
    """What a batch of events became.

    `trades` continue their symbols; `late` are older than what came before, so they have to meet the stored ones.
    """

    trades: Trades = field(default_factory=Trades)
    late: Trades = field(default_factory=Trades)
    rejections: list[Rejection] = field(default_factory=list)
    snapshots: int = 0


@dataclass(slots=True)
class _FarTicks:
    """The newest rejected ticks of a symbol that are far from its level and near each other."""

    count: int
    stamp: int
    price: float


@dataclass(slots=True)
class _Symbol:
    zone: ZoneInfo
    stamp_us: int = 0
    count: int = 0
    price: float | None = None
    day_volume: float | None = None
    day_start_us: int = 0
    day_end_us: int = 0
    highest: float | None = None
    seen: bool = False  # whether any earlier trade is known, without which a first running total has no volume
    just_connected: bool = False
    level: float = 0.0  # the last accepted price above 0; 0 before the first one
    far: _FarTicks | None = None


class Sequencer:
    """Places the ticks of one feed."""

    def __init__(self, limits: Ingest) -> None:
        self._limits = limits
        self._max_future_us = limits.max_future_seconds * MICROSECONDS
        self._max_age_us = math.inf if limits.max_age_days is None else limits.max_age_days * 86_400 * MICROSECONDS
        self._max_factor = limits.max_price_factor or math.inf
        self._price_faults = price_faults(accept_zero=limits.accept_zero_prices)
        self._symbols: dict[str, _Symbol] = {}

    def follow(self, zones: Mapping[str, ZoneInfo], positions: Mapping[str, Position]) -> None:
        """Take ticks of these symbols from now on.

        `zones` names them and the zones of their trading days; `positions` is where they stand in the table.
        """
        for name, zone in zones.items():
            symbol = self._symbols[name] = _Symbol(zone)
            if name in positions:
                self._resume(symbol, positions[name])

    @staticmethod
    def _resume(symbol: _Symbol, position: Position) -> None:
        symbol.seen = True
        symbol.stamp_us, symbol.count = position.stamp_us, position.sharing
        symbol.price, symbol.day_volume = position.price, position.day_volume
        symbol.level = position.price
        symbol.highest = position.highest_day_volume
        symbol.day_start_us, symbol.day_end_us = trading_day_us(position.stamp_us, symbol.zone)

    def place(
        self,
        events: Sequence[PriceEvent | str],
        received_us: Sequence[int],
        payloads: Sequence[bytes],
        connections: Sequence[int] = (),
    ) -> Placed:
        """Place events in arrival order. `received_us` and `payloads` run parallel to `events`.

        `connections` are the positions, ascending, of events that are the first of a new connection: there each
        symbol's first tick may be the vendor's repetition of its last one.
        """
        placed = Placed()
        begin = 0
        for end in (*connections, len(events)):
            part = slice(begin, end)
            self._place_part(placed, events[part], received_us[part], payloads[part])
            if end < len(events):
                self._expect_repetitions()
            begin = end
        return placed

    def _expect_repetitions(self) -> None:
        for symbol in self._symbols.values():
            symbol.just_connected = True

    def _place_part(
        self, placed: Placed, events: Sequence[PriceEvent | str], received_us: Sequence[int], payloads: Sequence[bytes]
    ) -> None:
        max_future_us, factor = self._max_future_us, self._max_factor
        squared = factor * factor
        # One bound for all, not looser than each tick's own: what is older is looked at closely.
        oldest_us = max(STAMP_MIN_US, max(received_us, default=0) - self._max_age_us)
        for event, received, payload in zip(events, received_us, payloads, strict=True):
            if isinstance(event, str):
                self._reject(placed, received, event, payload)
                continue
            symbol = self._symbols.get(event.symbol)
            if symbol is None:
                self._reject(placed, received, f"symbol {event.symbol!r} was not asked for", payload)
                continue
            stamp_us = event.timestamp * MICROSECONDS
            if (
                not oldest_us <= stamp_us <= received + max_future_us
                or not SMALLEST <= event.price <= LARGEST
                or not symbol.level <= event.price * factor <= symbol.level * squared
                or not (event.bid is None or SMALLEST <= event.bid <= LARGEST)
                or not (event.ask is None or SMALLEST <= event.ask <= LARGEST)
                or not (not event.day_volume or SMALLEST <= event.day_volume <= LARGEST)
            ) and (reason := self._reason(symbol, event, received)):
                self._reject(placed, received, reason, payload)
                continue
            if symbol.just_connected:
                symbol.just_connected = False
                if (symbol.stamp_us, symbol.price, symbol.day_volume) == (stamp_us, event.price, event.day_volume):
                    placed.snapshots += 1
                    continue
            if stamp_us < symbol.stamp_us:
                self._place_late(placed.late, symbol, event, received)
            else:
                self._place_next(placed.trades, symbol, event, received)

    def _place_next(self, trades: Trades, symbol: _Symbol, event: PriceEvent, received_us: int) -> None:
        stamp_us = event.timestamp * MICROSECONDS
        if stamp_us != symbol.stamp_us:
            symbol.stamp_us, symbol.count = stamp_us, 0
        ordinal = symbol.count
        symbol.count = ordinal + 1
        if stamp_us >= symbol.day_end_us:
            symbol.day_start_us, symbol.day_end_us = trading_day_us(stamp_us, symbol.zone)
            symbol.highest = 0.0 if symbol.seen else None
        day_volume = event.day_volume
        volume = None
        if day_volume is not None:
            highest = symbol.highest
            if highest is None:
                symbol.highest = day_volume
            elif day_volume > highest:
                volume = day_volume - highest
                symbol.highest = day_volume
            else:
                volume = 0.0
        symbol.price, symbol.day_volume, symbol.seen = event.price, day_volume, True
        if event.price:
            symbol.level, symbol.far = event.price, None
        _append(trades, event, stamp_us, ordinal, volume, received_us)

    @staticmethod
    def _place_late(late: Trades, symbol: _Symbol, event: PriceEvent, received_us: int) -> None:
        stamp_us = event.timestamp * MICROSECONDS
        if stamp_us < symbol.day_start_us:
            symbol.highest = symbol.highest or 0.0
        elif event.day_volume is not None:
            symbol.highest = max(symbol.highest or 0.0, event.day_volume)
        _append(late, event, stamp_us, 0, None, received_us)

    def _reason(self, symbol: _Symbol, event: PriceEvent, received_us: int) -> str | None:
        """Say what is wrong with a tick that is not as most are; None when nothing is."""
        return (
            self._number_problem(event)
            or self._stamp_problem(symbol, event.timestamp, received_us)
            or self._price_problem(symbol, event)
        )

    def _number_problem(self, event: PriceEvent) -> str | None:
        for name in ("price", "bid", "ask", "day_volume"):
            value = getattr(event, name)
            faults = VOLUME_FAULTS if name == "day_volume" else self._price_faults
            if value is not None and (fault := fault_of(value, faults)):
                return f"{name} {value!r} {fault}"
        return None

    def _stamp_problem(self, symbol: _Symbol, stamp: int, received_us: int) -> str | None:
        if stamp * MICROSECONDS < STAMP_MIN_US:
            return f"stamp {stamp} is before 1990"
        if stamp * MICROSECONDS > received_us + self._max_future_us:
            return f"stamp {stamp} is {stamp - received_us // MICROSECONDS} s in the future"
        if stamp * MICROSECONDS == symbol.stamp_us:  # the vendor repeats the last tick of a symbol that rarely trades
            return None
        return age_fault(stamp * MICROSECONDS, received_us, self._limits.max_age_days)

    def _price_problem(self, symbol: _Symbol, event: PriceEvent) -> str | None:
        """Compare a price with the symbol's level, which moves once enough ticks in a row agree on another one.

        A late tick and a repetition confirm nothing.
        """
        factor = self._limits.max_price_factor
        reason = price_distance_fault(event.price, symbol.level, factor) if symbol.level else None
        if reason is None:
            return None
        far = symbol.far
        late = event.timestamp * MICROSECONDS < symbol.stamp_us
        if late or (far and (far.stamp, far.price) == (event.timestamp, event.price)):
            return reason
        agree = far is not None and price_distance_fault(event.price, far.price, factor) is None
        count = far.count + 1 if far and agree else 1
        if count < self._limits.price_confirming_ticks:
            symbol.far = _FarTicks(count, event.timestamp, event.price)
            return reason
        symbol.level, symbol.far = event.price, None
        return None

    @staticmethod
    def _reject(placed: Placed, received_us: int, reason: str, payload: bytes) -> None:
        placed.rejections.append(Rejection(received_us, reason, payload.decode(errors="replace")))


def _append(
    trades: Trades, event: PriceEvent, stamp_us: int, ordinal: int, volume: float | None, received_us: int
) -> None:
    trades.stamp_us.append(stamp_us)
    trades.ordinal.append(ordinal)
    trades.symbol.append(event.symbol)
    trades.price.append(event.price)
    trades.day_volume.append(event.day_volume)
    trades.volume.append(volume)
    trades.bid.append(event.bid)
    trades.ask.append(event.ask)
    trades.received_us.append(received_us)
