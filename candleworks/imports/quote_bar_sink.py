"""Stores imported bars of bid and ask as quotes, as soon as both sides are known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from candleworks.candles.bar_ticks import ticks_of
from candleworks.database.connection import Connection
from candleworks.imports.staging import Parts, combined
from candleworks.model.bars import Bar
from candleworks.model.trades import moment_of
from candleworks.storage.quote_bars import (
    COLUMNS,
    BarQuote,
    QuoteBar,
    insert_bar_quotes,
    keep_quote_bars,
    remove_quote_bars,
    taken_quote_intervals,
    whole_quote_bars,
)
from candleworks.storage.quotes import QuoteStore
from candleworks.storage.trades import Meeting


@dataclass(frozen=True)
class QuoteBarSink:
    """Stores bars, `interval_us` long. Frames have their beginnings as `stamp_us`, and one side or both."""

    connection: Connection
    interval_us: int
    received_us: int

    @property
    def _received_at(self) -> datetime:
        return moment_of(self.received_us)

    @property
    def crowded(self) -> str:
        return "its ask is below the bid of the same bar"

    def prepare(self, frame: pl.DataFrame) -> None:
        QuoteStore(self.connection, 1).prepare(frame["stamp_us"].to_list())

    def place(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame

    def put(self, frame: pl.DataFrame, placed: pl.DataFrame | None = None) -> Meeting:  # noqa: ARG002 - Sink's
        meeting = Meeting(0, 0)
        for (symbol,), part in frame.group_by("symbol"):
            meeting = combined(meeting, self._put(str(symbol), part))
        return meeting

    def merge(self, parts: Parts) -> Meeting:
        meeting = Meeting(0, 0)
        for part in parts():
            if not part.known:
                meeting = combined(meeting, self.put(part.frame))
        return meeting

    def _put(self, symbol: str, frame: pl.DataFrame) -> Meeting:
        """Keep bars where neither quotes nor bars as fine stand, and store the whole ones; of equal ones the first."""
        bars = frame.unique("stamp_us", keep="first", maintain_order=True).sort("stamp_us")
        span = (bars["stamp_us"][0], bars["stamp_us"][-1] + self.interval_us)
        taken = taken_quote_intervals(self.connection, symbol, span, self.interval_us)
        free = bars.filter(~pl.col("stamp_us").is_in(list(taken)))
        if free.is_empty():
            return Meeting(0, len(frame))
        columns = {name: free[name].to_list() for name in COLUMNS if name in free.columns}
        starts = free["stamp_us"].to_list()
        added = keep_quote_bars(self.connection, symbol, starts, self.interval_us, columns, self._received_at)
        whole = whole_quote_bars(self.connection, symbol, sorted(added), self.interval_us)
        crossed = [bar.start_us for bar in whole if bar.is_crossed]
        if uncrossed := [bar for bar in whole if not bar.is_crossed]:
            self._store(symbol, uncrossed)
        refused = free.filter(pl.col("stamp_us").is_in(crossed))["row"].to_list()
        return Meeting(len(added) - len(refused), len(frame) - len(added), tuple(refused))

    def _store(self, symbol: str, bars: Sequence[QuoteBar]) -> None:
        spans = [(symbol, moment_of(bar.start_us), moment_of(bar.start_us + self.interval_us - 1)) for bar in bars]
        remove_quote_bars(self.connection, spans, wider_than_us=self.interval_us)
        quotes = [quote for bar in bars for quote in _quotes_of(bar, self.interval_us)]
        starts = [bar.start_us for bar in bars]
        insert_bar_quotes(self.connection, symbol, quotes, starts, self.interval_us, self._received_at)


def _quotes_of(bar: QuoteBar, interval_us: int) -> Iterator[BarQuote]:
    """Return a bar's quotes at the moments that a bar of trades has; the last carries the volumes."""
    bid = Bar(bar.start_us, bar.bid_open, bar.bid_high, bar.bid_low, bar.bid_close, None)
    opened, *extremes, closed = ticks_of(bid, [(bar.start_us, bar.start_us + interval_us)], None)
    yield BarQuote(opened.time_us, bar.bid_open, bar.ask_open)
    sides = [(bar.bid_low, bar.ask_low), (bar.bid_high, bar.ask_high)]
    rising = bar.bid_close > bar.bid_open
    for tick, (low_or_high, its_ask) in zip(extremes, sides if rising else sides[::-1], strict=True):
        yield BarQuote(tick.time_us, low_or_high, its_ask)
    yield BarQuote(closed.time_us, bar.bid_close, bar.ask_close, bar.bid_volume, bar.ask_volume)
