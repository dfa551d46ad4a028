"""Moves batches from the feed into the pipeline, and looks at what comes."""

from candleworks.feed.batcher import Batch, Batcher
from candleworks.feed.gaps import GapBook
from candleworks.feed.queue import Pipeline
from candleworks.feed.silence import Watchdog
from candleworks.feed.subscriptions import Roster
from candleworks.model.trades import MICROSECONDS


class Collector:
    """Belongs to one event loop. Decodes every frame once: the writer takes the events from here."""

    def __init__(self, batcher: Batcher, pipeline: Pipeline, roster: Roster, book: GapBook, watchdog: Watchdog) -> None:
        self._batcher = batcher
        self._pipeline = pipeline
        self._roster = roster
        self._book = book
        self._watchdog = watchdog

    async def run(self) -> None:
        """Move batches until the batcher is closed and empty."""
        await self._pipeline.room()
        while (batch := await self._batcher.next_batch()) is not None:
            self._take(batch)
            await self._pipeline.turn(len(batch))

    def flush(self) -> None:
        """Move what has come so far at once, so that what is noted next comes behind it."""
        if batch := self._batcher.take_all():
            self._take(batch)

    def _take(self, batch: Batch) -> None:
        batch.events = self._roster.decode(batch.frames)
        prices = [event for event in batch.events if not isinstance(event, str)]
        if prices:
            self._look_at({event.symbol for event in prices}, batch.received_us[-1])
            self._book.heard(batch.received_us[-1], max([event.timestamp for event in prices]) * MICROSECONDS)
        self._pipeline.put(batch)

    def _look_at(self, symbols: set[str], received_us: int) -> None:
        self._watchdog.seen(symbols, received_us)
        for symbol in self._book.silent & symbols:
            self._book.spoke(symbol, received_us)
        if self._book.reason not in (None, "overflow"):
            self._book.recovered(received_us)
