"""Accepts or rejects each live tick, and computes its ordinal within the second and its volume.

The state that tick identity and volume need from one tick of a symbol to the next is in memory, so that most ticks
need no query.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from candleworks.feed.quote_sequencer import QuoteSequencer, SequencedQuotes, Sides
from candleworks.model.tick_validation import (
    EARLIEST_US,
    LARGEST,
    SMALLEST,
    VOLUME_FAULTS,
    age_fault,
    number_fault,
    price_distance_fault,
    price_faults,
)
from candleworks.model.trades import MICROSECONDS, Rejection, Trades, volume_increase
from candleworks.model.trading_day import trading_day_us
from candleworks.settings import Ingest
from candleworks.storage.quotes import QuotePosition
from candleworks.storage.trades import Position
from candleworks.vendor.protocol import PriceEvent

NO_QUOTES: Mapping[str, QuotePosition] = {}
NO_SIDES: Sides = (None, None)


@dataclass(slots=True)
class SequencedBatch:
    """The result of sequencing a batch of events.

    `trades` follow all earlier ticks of their symbols; `late` are older than one of these and have to be merged with
    stored ones. `snapshots` counts the dropped repetitions of last trades. `quotes` are those of the accepted ticks.
    """

    trades: Trades = field(default_factory=Trades)
    late: Trades = field(default_factory=Trades)
    rejections: list[Rejection] = field(default_factory=list)
    snapshots: int = 0
    quotes: SequencedQuotes = field(default_factory=SequencedQuotes)


@dataclass(slots=True)
class _DistantTicks:
    """The newest rejected ticks of a symbol with prices far from its level but near each other."""

    count: int
    timestamp: int
    price: float


@dataclass(slots=True)
class _SymbolState:
    zone: ZoneInfo
    event_time_us: int = 0
    count: int = 0  # of ticks with this event time
    price: float | None = None
    day_volume: float | None = None
    day_start_us: int = 0
    day_end_us: int = 0
    highest: float | None = None
    own: float | None = None  # the highest without bars, while these are above it; None: they are not
    seen: bool = False  # whether an earlier trade is known; without one a first day volume has no volume
    just_connected: bool = False
    level: float = 0.0  # the last accepted price above 0; 0 before the first one
    distant: _DistantTicks | None = None


class Sequencer:
    """Sequences the ticks of one feed."""

    def __init__(self, limits: Ingest) -> None:
        self._limits = limits
        self._max_future_us = limits.max_future_seconds * MICROSECONDS
        self._max_age_us = math.inf if limits.max_age_days is None else limits.max_age_days * 86_400 * MICROSECONDS
        self._max_factor = limits.max_price_factor or math.inf
        self._price_faults = price_faults(accept_zero=limits.accept_zero_prices)
        self._symbols: dict[str, _SymbolState] = {}
        self._quotes = QuoteSequencer(limits)

    def add_symbols(
        self,
        zones: Mapping[str, ZoneInfo],
        positions: Mapping[str, Position],
        quote_positions: Mapping[str, QuotePosition] = NO_QUOTES,
    ) -> None:
        """Accept ticks of these symbols from now on.

        `zones` are the time zones of their trading days; `positions` and `quote_positions` are those of their last
        stored trades and quotes, without an entry for a symbol that has none.
        """
        self._quotes.add_symbols(zones, quote_positions)
        for name, zone in zones.items():
            symbol = self._symbols[name] = _SymbolState(zone)
            if name in positions:
                self._resume(symbol, positions[name])

    @staticmethod
    def _resume(symbol: _SymbolState, position: Position) -> None:
        symbol.seen = True
        symbol.event_time_us, symbol.count = position.event_us, position.sharing
        symbol.price, symbol.day_volume = position.price, position.day_volume
        symbol.level = position.price
        symbol.highest, symbol.own = position.highest_day_volume, position.own_day_volume
        symbol.day_start_us, symbol.day_end_us = trading_day_us(position.event_us, symbol.zone)

    def sequence(
        self,
        events: Sequence[PriceEvent | str],
        received_us: Sequence[int],
        payloads: Sequence[bytes],
        connections: Sequence[int] = (),
    ) -> SequencedBatch:
        """Sequence events in arrival order. `received_us` and `payloads` are parallel to `events`.

        `connections` are the positions, ascending, of the first event of each new connection: from there on, each
        symbol's first tick may be the vendor's repetition of its last one.
        """
        batch = SequencedBatch()
        begin = 0
        for end in (*connections, len(events)):
            part = slice(begin, end)
            self._sequence_part(batch, events[part], received_us[part], payloads[part])
            if end < len(events):
                self._expect_snapshots()
            begin = end
        return batch

    def _expect_snapshots(self) -> None:
        for symbol in self._symbols.values():
            symbol.just_connected = True

    def _sequence_part(
        self,
        batch: SequencedBatch,
        events: Sequence[PriceEvent | str],
        received_us: Sequence[int],
        payloads: Sequence[bytes],
    ) -> None:
        max_future_us, factor = self._max_future_us, self._max_factor
        squared = factor * factor
        # One bound for all, at least as strict as each tick's own: older ticks are checked one by one.
        oldest_us = max(EARLIEST_US, max(received_us, default=0) - self._max_age_us)
        for event, received, payload in zip(events, received_us, payloads, strict=True):
            if isinstance(event, str):
                self._reject(batch, received, event, payload)
                continue
            symbol = self._symbols.get(event.symbol)
            if symbol is None:
                self._reject(batch, received, f"symbol {event.symbol!r} is not subscribed", payload)
                continue
            event_time_us = event.timestamp * MICROSECONDS
            if (
                not oldest_us <= event_time_us <= received + max_future_us
                or not SMALLEST <= event.price <= LARGEST
                or not symbol.level <= event.price * factor <= symbol.level * squared
                or not (not event.day_volume or SMALLEST <= event.day_volume <= LARGEST)
            ) and (reason := self._reason(symbol, event, received)):
                self._reject(batch, received, reason, payload)
                continue
            repeated = symbol.just_connected and self._repeats_last_trade(symbol, event)
            sides = NO_SIDES
            if event.bid is not None or event.ask is not None:
                sides = self._quotes.sequence(batch.quotes, event, received, payload, repeated=repeated)
            if repeated:
                batch.snapshots += 1
            elif event_time_us < symbol.event_time_us:
                self._append_late(batch.late, symbol, event, sides, received)
            else:
                self._append_next(batch.trades, symbol, event, sides, received)

    @staticmethod
    def _repeats_last_trade(symbol: _SymbolState, event: PriceEvent) -> bool:
        """Whether the first tick of a symbol on a new connection is its last known trade."""
        symbol.just_connected = False
        last = (symbol.event_time_us, symbol.price, symbol.day_volume)
        return last == (event.timestamp * MICROSECONDS, event.price, event.day_volume)

    def _append_next(
        self, trades: Trades, symbol: _SymbolState, event: PriceEvent, sides: Sides, received_us: int
    ) -> None:
        event_time_us = event.timestamp * MICROSECONDS
        if event_time_us != symbol.event_time_us:
            symbol.event_time_us, symbol.count = event_time_us, 0
        ordinal = symbol.count
        symbol.count = ordinal + 1
        if event_time_us >= symbol.day_end_us:
            symbol.day_start_us, symbol.day_end_us = trading_day_us(event_time_us, symbol.zone)
            symbol.highest, symbol.own = (0.0 if symbol.seen else None), None
        day_volume = event.day_volume
        volume = None
        if day_volume is not None:
            volume = volume_increase(day_volume, symbol.highest)
            if symbol.own is not None:
                symbol.highest, symbol.own = max(symbol.own, day_volume), None
            elif symbol.highest is None or day_volume > symbol.highest:
                symbol.highest = day_volume
        symbol.price, symbol.day_volume, symbol.seen = event.price, day_volume, True
        if event.price:
            symbol.level, symbol.distant = event.price, None
        _append(trades, event, event_time_us, ordinal, volume, sides, received_us)

    @staticmethod
    def _append_late(late: Trades, symbol: _SymbolState, event: PriceEvent, sides: Sides, received_us: int) -> None:
        event_time_us = event.timestamp * MICROSECONDS
        if event_time_us < symbol.day_start_us:
            symbol.highest = symbol.highest or 0.0
        elif event.day_volume is not None:
            symbol.highest = max(symbol.highest or 0.0, event.day_volume)
            symbol.own = None if symbol.own is None else max(symbol.own, event.day_volume)
        _append(late, event, event_time_us, 0, None, sides, received_us)

    def _reason(self, symbol: _SymbolState, event: PriceEvent, received_us: int) -> str | None:
        """Return why an unusual tick is rejected; None when it is accepted."""
        return (
            self._number_problem(event)
            or self._time_problem(symbol, event.timestamp, received_us)
            or self._price_problem(symbol, event)
        )

    def _number_problem(self, event: PriceEvent) -> str | None:
        for name, value, faults in (
            ("price", event.price, self._price_faults),
            ("day_volume", event.day_volume, VOLUME_FAULTS),
        ):
            if value is not None and (fault := number_fault(value, faults)):
                return f"{name} {value!r} {fault}"
        return None

    def _time_problem(self, symbol: _SymbolState, timestamp: int, received_us: int) -> str | None:
        event_time_us = timestamp * MICROSECONDS
        if event_time_us < EARLIEST_US:
            return f"event time {timestamp} is before 1990"
        if event_time_us > received_us + self._max_future_us:
            return f"event time {timestamp} is {timestamp - received_us // MICROSECONDS} s in the future"
        if event_time_us == symbol.event_time_us:  # the vendor repeats the last tick of a symbol that rarely trades
            return None
        return age_fault(event_time_us, received_us, self._limits.max_age_days)

    def _price_problem(self, symbol: _SymbolState, event: PriceEvent) -> str | None:
        """Compare a price with the symbol's level, which moves when enough ticks in a row confirm another one.

        Late and repeated ticks do not confirm it.
        """
        factor = self._limits.max_price_factor
        reason = price_distance_fault(event.price, symbol.level, factor) if symbol.level else None
        if reason is None:
            return None
        distant = symbol.distant
        late = event.timestamp * MICROSECONDS < symbol.event_time_us
        if late or (distant and (distant.timestamp, distant.price) == (event.timestamp, event.price)):
            return reason
        agrees = distant is not None and price_distance_fault(event.price, distant.price, factor) is None
        count = distant.count + 1 if distant and agrees else 1
        if count < self._limits.price_confirming_ticks:
            symbol.distant = _DistantTicks(count, event.timestamp, event.price)
            return reason
        symbol.level, symbol.distant = event.price, None
        return None

    @staticmethod
    def _reject(batch: SequencedBatch, received_us: int, reason: str, payload: bytes) -> None:
        batch.rejections.append(Rejection(received_us, reason, payload.decode(errors="replace")))


def _append(
    trades: Trades,
    event: PriceEvent,
    event_time_us: int,
    ordinal: int,
    volume: float | None,
    sides: Sides,
    received_us: int,
) -> None:
    trades.event_us.append(event_time_us)
    trades.ordinal.append(ordinal)
    trades.symbol.append(event.symbol)
    trades.price.append(event.price)
    trades.day_volume.append(event.day_volume)
    trades.volume.append(volume)
    trades.bid.append(sides[0])
    trades.ask.append(sides[1])
    trades.received_us.append(received_us)
