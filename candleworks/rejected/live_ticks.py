"""Rejected ticks of feeds: frames as they came, and rows that the database refused."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from candleworks.database.connection import Connection
from candleworks.feed.sequencer import Sequencer
from candleworks.feed.subscriptions import Subscriptions
from candleworks.feed.writer import ORIGIN
from candleworks.model.quotes import Quotes
from candleworks.model.tick_validation import age_fault, price_distance_fault
from candleworks.model.trades import Trades, microseconds_of
from candleworks.model.trading_day import ZoneOf, zone_lookup
from candleworks.rejected.corrections import corrected_object
from candleworks.settings import Settings
from candleworks.storage.live_quotes import LiveQuoteStore
from candleworks.storage.live_tables import Recent
from candleworks.storage.rejected import RejectedTick, RetryResult
from candleworks.storage.trades import MergeResult, TradeStore

# The payload of a trade that the database refused, see TradeStore.rejection.
_REFUSED = re.compile(
    r"symbol=(?P<symbol>\S+) event_time=(?P<timestamp>\S+) price=(?P<price>\S+)"
    r" day_volume=(?P<day_volume>\S+) bid=(?P<bid>\S+) ask=(?P<ask>\S+)"
)
_NUMBERS = ("price", "day_volume", "bid", "ask")


@dataclass(frozen=True, slots=True)
class RetriedTicks:
    """The trades of frames, and the quotes of those that have both sides."""

    trades: Trades = field(default_factory=Trades)
    quotes: Quotes = field(default_factory=Quotes)

    def extend(self, other: "RetriedTicks") -> None:
        self.trades.extend(other.trades)
        self.quotes.extend(other.quotes)


@dataclass
class LiveTicks:
    """Retries frames of configured feeds by the rules of the live path, as if they arrived at `now_us`."""

    settings: Settings
    connection: Connection
    now_us: int
    _recent: Recent = field(default_factory=Recent)

    def line_of(self, tick: RejectedTick, payload: str, corrections: Mapping[str, str]) -> str:
        """Return the frame of a payload, corrected; unchanged where there is nothing to correct."""
        if tick.kind == "trade" and (found := _REFUSED.fullmatch(payload)):
            return corrected_object(_fields(found), corrections)
        if not corrections:
            return payload
        try:
            fields = json.loads(payload)
        except ValueError:
            fields = None
        return corrected_object(fields if isinstance(fields, dict) else {"event": "price"}, corrections)

    def put(self, tick: RejectedTick, frame: str) -> RetryResult:
        """Store a frame's trade and quote after the stored ones of its event time, unless they are stored already."""
        ticks, refusal = self._checked(tick, frame)
        if refusal is not None:
            return RetryResult("rejected", refusal)
        merged = self._merge(ticks)
        if any(result.rejected for result in merged):
            return RetryResult("rejected", self._trades.no_ordinal_left)
        if not any(result.stored for result in merged):
            return RetryResult("duplicate")
        self._remember(ticks)
        return RetryResult("stored")

    def put_all(self, frames: Sequence[tuple[RejectedTick, str]]) -> bool:
        """Store frames together; False, and the caller has to roll back, when one of them is stored already."""
        ticks = RetriedTicks()
        for tick, frame in frames:
            ticks.extend(self._sequenced(tick, frame)[0])
        if not any(result.stored == len(frames) for result in self._merge(ticks)):
            return False
        self._remember(ticks)
        return True

    def _merge(self, ticks: RetriedTicks) -> list[MergeResult]:
        """Return the results of the trades, and of the quotes if there are any."""
        merged = [self._trades.merge(ticks.trades, self._recent.trades.of_same_times(ticks.trades))]
        if ticks.quotes:
            merged.append(self._quotes.merge(ticks.quotes, self._recent.quotes.of_same_times(ticks.quotes)))
        return merged

    def _remember(self, ticks: RetriedTicks) -> None:
        self._recent.trades.remember(ticks.trades)
        self._recent.quotes.remember(ticks.quotes)

    def prepare(self, frames: Sequence[tuple[RejectedTick, str]]) -> list[str | None]:
        """Create partitions for the frames, outside a transaction; return for each why it is rejected, or None."""
        checked = [self._checked(tick, frame) for tick, frame in frames]
        self._trades.prepare([event_time for ticks, _ in checked for event_time in ticks.trades.event_us])
        self._quotes.prepare([event_time for ticks, _ in checked for event_time in ticks.quotes.event_us])
        return [refusal for _, refusal in checked]

    def _checked(self, tick: RejectedTick, frame: str) -> tuple[RetriedTicks, str | None]:
        """Sequence a frame, and compare the trade with its first arrival and with the stored trades around it."""
        ticks, refusal = self._sequenced(tick, frame)
        return ticks, refusal or self._distance(ticks.trades)

    def _distance(self, trades: Trades) -> str | None:
        """Return why a trade is too old, or too far from both the price before it and the price after it."""
        limits, event_us, price = self.settings.ingest, trades.event_us[0], trades.price[0]
        if reason := age_fault(event_us, trades.received_us[0], limits.max_age_days):
            return reason
        around = self._trades.prices_around(trades.symbol[0], event_us)
        reasons = [price_distance_fault(price, known, limits.max_price_factor) for known in around]
        return reasons[0] if reasons and all(reasons) else None

    def _sequenced(self, tick: RejectedTick, frame: str) -> tuple[RetriedTicks, str | None]:
        """Return the trade and the quote of a frame, with the time of its first arrival, or why one is rejected."""
        feed = next((feed for feed in self.settings.feeds if feed.name == tick.feed), None)
        if feed is None:
            return RetriedTicks(), f"no feed named {tick.feed!r} is configured"
        sequencer = Sequencer(self.settings.ingest.model_copy(update={"max_age_days": None}))
        sequencer.add_symbols({name: self._zone_of(name) for name in feed.names}, {})
        payload = frame.encode()
        placed = sequencer.sequence(Subscriptions(feed.instruments).decode([payload]), [self.now_us], [payload])
        for rejection in (*placed.rejections, *placed.quotes.rejections):
            return RetriedTicks(), rejection.reason
        ticks = RetriedTicks(placed.trades, placed.quotes.quotes)
        received_us = microseconds_of(tick.received_at)
        ticks.trades.received_us = [received_us] * len(ticks.trades)
        ticks.quotes.received_us = [received_us] * len(ticks.quotes)
        return ticks, None

    @cached_property
    def _zone_of(self) -> ZoneOf:
        return zone_lookup(self.settings.calendars)

    @property
    def _trades(self) -> TradeStore:
        return TradeStore(self.connection, ORIGIN, self._zone_of)

    @property
    def _quotes(self) -> LiveQuoteStore:
        return LiveQuoteStore(self.connection, ORIGIN)


def _fields(found: re.Match[str]) -> dict[str, Any]:
    values = {name: None if found[name] == "None" else float(found[name]) for name in _NUMBERS}
    event_time = int(datetime.fromisoformat(found["timestamp"]).timestamp())
    return {"event": "price", "symbol": found["symbol"], "timestamp": event_time, **values}
