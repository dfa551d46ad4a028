"""Whether a feed is alive: opens and closes gaps by what arrives and by what does not."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from candleworks import clock
from candleworks.feed.batcher import Batch
from candleworks.feed.gaps import GapRecorder
from candleworks.feed.silence import SilenceMonitor
from candleworks.feed.subscriptions import Subscriptions
from candleworks.model.gaps import Reason
from candleworks.model.trades import MICROSECONDS
from candleworks.processes import stopped_within

CHECK_INTERVAL_SECONDS = 1


class LivenessMonitor:
    """Belongs to one event loop."""

    def __init__(self, subscriptions: Subscriptions, silence: SilenceMonitor, gaps: GapRecorder) -> None:
        self._subscriptions = subscriptions
        self._silence = silence
        self._gaps = gaps
        self.ticking = False  # whether a tick came since the connection was made

    def inspect(self, batch: Batch) -> None:
        """Decode a batch, once: the writer uses the same events; close the gaps of the symbols in it."""
        batch.events = self._subscriptions.decode(batch.frames)
        prices = [event for event in batch.events if not isinstance(event, str)]
        if not prices:
            return
        self.ticking = True
        received_us = batch.received_us[-1]
        symbols = {event.symbol for event in prices}
        self._silence.received(symbols, received_us)
        for symbol in self._gaps.silent_symbols & symbols:
            self._gaps.close_symbol_gap(symbol, received_us)
        if self._gaps.open_reason not in (None, "overflow"):
            self._gaps.close_gap(received_us)
        self._gaps.traffic(received_us, max([event.timestamp for event in prices]) * MICROSECONDS)

    def subscribed(self, symbols: Sequence[str]) -> None:
        """Note that the vendor streams these symbols."""
        now_us = clock.now_us()
        self._silence.subscribed(symbols, now_us)
        self._gaps.traffic(now_us)
        if self._gaps.open_reason not in (None, "silent", "overflow"):
            self._gaps.close_gap(now_us)

    def alive(self) -> None:
        """Note that something other than a tick arrived."""
        self._gaps.traffic(clock.now_us())

    def reading_paused(self) -> None:
        """Note that the connection has not been read for a while, or until now."""
        self._gaps.reading_paused(clock.now_us())

    def disconnected(self, reason: Reason) -> None:
        """Note that the connection ended, or could not be made."""
        self.ticking = False
        self._silence.disconnected()
        self._gaps.open_gap(reason)

    async def run(self, stop: asyncio.Event, reconnect: Callable[[Reason], Awaitable[None]]) -> None:
        """Record the gaps of silent symbols, and reconnect when nothing arrives at all, until the stop."""
        while not await stopped_within(stop, CHECK_INTERVAL_SECONDS):
            now_us = clock.now_us()
            self._gaps.close_ended_overflow(now_us)
            for symbol in self._gaps.silent_symbols:
                if not self._silence.is_market_open(symbol, now_us):
                    self._gaps.close_symbol_gap(symbol, now_us)
            if (since_us := self._silence.feed_silent_since(now_us)) is not None:
                self._gaps.open_gap("silent", since_us)
                await reconnect("silent")
                continue
            for symbol, since_us in self._silence.silent_symbols(now_us):
                self._gaps.open_symbol_gap(symbol, since_us)
