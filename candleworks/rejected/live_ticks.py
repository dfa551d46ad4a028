"""Refused ticks of feeds: frames as they came, and what the database would not take."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from candleworks.database.connection import Connection
from candleworks.feed.sequencer import Sequencer
from candleworks.feed.subscriptions import Subscriptions
from candleworks.feed.writer import ORIGIN
from candleworks.model.tick_validation import age_fault, price_distance_fault
from candleworks.model.trades import Trades, microseconds_of
from candleworks.model.trading_day import calendar_of, zone_of
from candleworks.rejected.corrections import Corrections, corrected_object
from candleworks.settings import Settings
from candleworks.storage.live_trades import RecentTrades
from candleworks.storage.rejected_list import RejectedTick, Replayed
from candleworks.storage.trades import TradeStore

# What storage keeps of a trade that the database refused.
_REFUSED = re.compile(
    r"symbol=(?P<symbol>\S+) stamp=(?P<timestamp>\S+) price=(?P<price>\S+)"
    r" day_volume=(?P<day_volume>\S+) bid=(?P<bid>\S+) ask=(?P<ask>\S+)"
)


_NUMBERS = ("price", "day_volume", "bid", "ask")


@dataclass
class LiveTicks:
    """Puts frames of configured feeds through the live path's rules, as if they came at `now_us`."""

    settings: Settings
    connection: Connection
    now_us: int
    _recent: RecentTrades = field(default_factory=RecentTrades)

    def line_of(self, tick: RejectedTick, payload: str, corrections: Corrections) -> str:  # noqa: ARG002 - as for lines
        """Return the frame that a payload stands for, corrected; as it came where there is nothing to correct."""
        if found := _REFUSED.fullmatch(payload):
            return corrected_object(_fields(found), corrections)
        if not corrections:
            return payload
        try:
            fields = json.loads(payload)
        except ValueError:
            fields = None
        return corrected_object(fields if isinstance(fields, dict) else {"event": "price"}, corrections)

    def put(self, tick: RejectedTick, frame: str) -> Replayed:
        """Store a frame behind what is stored of its stamp, unless it is stored already."""
        trades, refusal = self._judged(tick, frame)
        if refusal is not None:
            return Replayed("rejected", refusal)
        store = TradeStore(self.connection, ORIGIN, self._zone)
        meeting = store.merge(trades, self._recent.of_same_stamps(trades))
        if meeting.refused:
            return Replayed("rejected", store.crowded)
        if meeting.stored:
            self._recent.remember(trades)
        return Replayed("stored" if meeting.stored else "duplicate")

    def put_all(self, frames: Sequence[tuple[RejectedTick, str]]) -> bool:
        """Store frames at once; False, and the caller has to take it back, where one of them is stored already."""
        trades = Trades()
        for tick, frame in frames:
            trades.extend(self._placed(tick, frame)[0])
        store = TradeStore(self.connection, ORIGIN, self._zone)
        if store.merge(trades, self._recent.of_same_stamps(trades)).stored < len(frames):
            return False
        self._recent.remember(trades)
        return True

    def prepare(self, frames: Sequence[tuple[RejectedTick, str]]) -> list[str | None]:
        """Make room for what the frames tell, outside a transaction; return why each of them is refused, or None."""
        placed = [self._judged(tick, frame) for tick, frame in frames]
        stamps_us = [stamp for trades, _ in placed for stamp in trades.stamp_us]
        TradeStore(self.connection, ORIGIN, self._zone).prepare(stamps_us)
        return [refusal for _, refusal in placed]

    def _judged(self, tick: RejectedTick, frame: str) -> tuple[Trades, str | None]:
        """Do the same, and compare the trade with its first arrival and with what is stored around it."""
        trades, refusal = self._placed(tick, frame)
        return trades, refusal or self._distance(trades)

    def _distance(self, trades: Trades) -> str | None:
        """Say what is far from all that is known of the trade; near the price before it or the one after it will do."""
        limits, stamp_us, price = self.settings.ingest, trades.stamp_us[0], trades.price[0]
        if reason := age_fault(stamp_us, trades.received_us[0], limits.max_age_days):
            return reason
        around = TradeStore(self.connection, ORIGIN, self._zone).prices_around(trades.symbol[0], stamp_us)
        reasons = [price_distance_fault(price, known, limits.max_price_factor) for known in around]
        return reasons[0] if reasons and all(reasons) else None

    def _placed(self, tick: RejectedTick, frame: str) -> tuple[Trades, str | None]:
        """Return the trade that a frame tells with the time of its first arrival, or why it is refused."""
        feed = next((feed for feed in self.settings.feeds if feed.name == tick.feed), None)
        if feed is None:
            return Trades(), f"no feed named {tick.feed!r} is configured"
        sequencer = Sequencer(self.settings.ingest.model_copy(update={"max_age_days": None}))
        sequencer.add_symbols({name: self._zone(name) for name in feed.names}, {})
        payload = frame.encode()
        placed = sequencer.sequence(Subscriptions(feed.instruments).decode([payload]), [self.now_us], [payload])
        if placed.rejections:
            return Trades(), placed.rejections[0].reason
        placed.trades.received_us = [microseconds_of(tick.received_at)]
        return placed.trades, None

    def _zone(self, symbol: str) -> ZoneInfo:
        return zone_of(calendar_of(symbol, self.settings.calendars))


def _fields(found: re.Match[str]) -> dict[str, Any]:
    values = {name: None if found[name] == "None" else float(found[name]) for name in _NUMBERS}
    stamp = int(datetime.fromisoformat(found["timestamp"]).timestamp())
    return {"event": "price", "symbol": found["symbol"], "timestamp": stamp, **values}
