"""Stores bars of files as ticks within their intervals, except where finer bars or ticks are stored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from candleworks.candles.bar_ticks import ticks_of
from candleworks.candles.bar_writer import BarWriter
from candleworks.database.connection import Connection
from candleworks.imports.staging import Parts, combined
from candleworks.model.bars import MINUTE_US, Bar, Spans
from candleworks.model.trades import moment_of
from candleworks.model.trading_day import ZoneOf
from candleworks.storage.bars import taken_intervals
from candleworks.storage.gaps import fillable_spans
from candleworks.storage.quotes import (
    COLUMNS,
    BarQuote,
    QuoteBar,
    QuoteStore,
    complete_quote_bars,
    insert_bar_quotes,
    keep_quote_bars,
    remove_quote_bars,
    taken_quote_intervals,
)
from candleworks.storage.trades import MergeResult

_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class BarSink:
    """Stores bars of trades, `interval_us` long. Frames have their start times as `event_us`."""

    connection: Connection
    zone_of: ZoneOf
    interval_us: int
    received_us: int

    @property
    def rejection_reason(self) -> str:
        return "its interval already has a bar"

    @property
    def _writer(self) -> BarWriter:
        return BarWriter(self.connection, self.zone_of, self.received_us)

    def prepare(self, frame: pl.DataFrame) -> None:
        self._writer.prepare_from(frame["event_us"].to_list())

    def arrange(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame

    def put(self, frame: pl.DataFrame, arranged: pl.DataFrame | None = None) -> MergeResult:  # noqa: ARG002 - Sink's
        stored = sum(self._put(str(symbol), part) for (symbol,), part in frame.group_by("symbol"))
        return MergeResult(stored, len(frame) - stored)

    def merge(self, parts: Parts) -> MergeResult:
        result = MergeResult(0, 0)
        for part in parts():
            if not part.known:
                put = self.put(part.frame)
                result = MergeResult(result.stored + put.stored, result.duplicates + put.duplicates)
        return result

    def _put(self, symbol: str, frame: pl.DataFrame) -> int:
        """Store the bars of one symbol whose intervals have no ticks and no bars as fine; of equal ones the first."""
        bars = frame.unique("event_us", keep="first", maintain_order=True).sort("event_us")
        first, last = bars["event_us"][0], bars["event_us"][-1] + self.interval_us
        taken = taken_intervals(self.connection, symbol, (first, last), self.interval_us)
        free = bars.filter(~pl.col("event_us").is_in(list(taken)))
        rows = free.select("event_us", *_PRICES, "volume").rows()
        if rows:
            new = [Bar(*row) for row in rows]
            self._writer.write_new(symbol, new, self.interval_us, self._traded(symbol, new))
        return len(rows)

    def _traded(self, symbol: str, bars: Sequence[Bar]) -> Mapping[int, Spans]:
        """Return where in each interval ticks may be: in its sessions, or anywhere where it has none."""
        intervals = {bar.minute_us: [(bar.minute_us, bar.minute_us + self.interval_us)] for bar in bars}
        if self.interval_us == MINUTE_US:
            return intervals
        start, stop = (moment_of(us) for us in (bars[0].minute_us, bars[-1].minute_us + self.interval_us))
        sessions = fillable_spans(self.connection, symbol, start, stop)
        return {
            start: inside or intervals[start]
            for start, inside in _inside(sessions, [bar.minute_us for bar in bars], self.interval_us)
        }


def _inside(sessions: Spans, starts: Sequence[int], interval_us: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Return the parts of each interval that lie in the sessions; both are ascending."""
    first = 0
    for start in starts:
        while first < len(sessions) and sessions[first][1] <= start:
            first += 1
        found, at = [], first
        while at < len(sessions) and sessions[at][0] < start + interval_us:
            found.append((max(sessions[at][0], start), min(sessions[at][1], start + interval_us)))
            at += 1
        yield start, found


@dataclass(frozen=True)
class QuoteBarSink:
    """Stores bars of bid and ask as quotes, as soon as both sides are known.

    Bars are `interval_us` long. Frames have their start times as `event_us`, and one side or both.
    """

    connection: Connection
    interval_us: int
    received_us: int

    @property
    def _received_at(self) -> datetime:
        return moment_of(self.received_us)

    @property
    def rejection_reason(self) -> str:
        return "its ask is below the bid of the same bar"

    def prepare(self, frame: pl.DataFrame) -> None:
        QuoteStore(self.connection, 1).prepare(frame["event_us"].to_list())

    def arrange(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame

    def put(self, frame: pl.DataFrame, arranged: pl.DataFrame | None = None) -> MergeResult:  # noqa: ARG002 - Sink's
        result = MergeResult(0, 0)
        for (symbol,), part in frame.group_by("symbol"):
            result = combined(result, self._put(str(symbol), part))
        return result

    def merge(self, parts: Parts) -> MergeResult:
        result = MergeResult(0, 0)
        for part in parts():
            if not part.known:
                result = combined(result, self.put(part.frame))
        return result

    def _put(self, symbol: str, frame: pl.DataFrame) -> MergeResult:
        """Keep bars where there are no quotes and no bars as fine, and store those with both sides."""
        bars = frame.unique("event_us", keep="first", maintain_order=True).sort("event_us")
        span = (bars["event_us"][0], bars["event_us"][-1] + self.interval_us)
        taken = taken_quote_intervals(self.connection, symbol, span, self.interval_us)
        free = bars.filter(~pl.col("event_us").is_in(list(taken)))
        if free.is_empty():
            return MergeResult(0, len(frame))
        columns = {name: free[name].to_list() for name in COLUMNS if name in free.columns}
        starts = free["event_us"].to_list()
        added = keep_quote_bars(self.connection, symbol, starts, self.interval_us, columns, self._received_at)
        complete = complete_quote_bars(self.connection, symbol, sorted(added), self.interval_us)
        crossed = [bar.start_us for bar in complete if bar.is_crossed]
        if uncrossed := [bar for bar in complete if not bar.is_crossed]:
            self._store(symbol, uncrossed)
        rejected = free.filter(pl.col("event_us").is_in(crossed))["row"].to_list()
        return MergeResult(len(added) - len(rejected), len(frame) - len(added), tuple(rejected))

    def _store(self, symbol: str, bars: Sequence[QuoteBar]) -> None:
        spans = [(symbol, moment_of(bar.start_us), moment_of(bar.start_us + self.interval_us - 1)) for bar in bars]
        remove_quote_bars(self.connection, spans, wider_than_us=self.interval_us)
        quotes = [quote for bar in bars for quote in _quotes_of(bar, self.interval_us)]
        starts = [bar.start_us for bar in bars]
        insert_bar_quotes(self.connection, symbol, quotes, starts, self.interval_us, self._received_at)


def _quotes_of(bar: QuoteBar, interval_us: int) -> Iterator[BarQuote]:
    """Return a bar's quotes at the times that ticks of a bar of trades have; the last has the volumes."""
    bid = Bar(bar.start_us, bar.bid_open, bar.bid_high, bar.bid_low, bar.bid_close, None)
    opened, *extremes, closed = ticks_of(bid, [(bar.start_us, bar.start_us + interval_us)], None)
    yield BarQuote(opened.time_us, bar.bid_open, bar.ask_open)
    sides = [(bar.bid_low, bar.ask_low), (bar.bid_high, bar.ask_high)]
    rising = bar.bid_close > bar.bid_open
    for tick, (low_or_high, its_ask) in zip(extremes, sides if rising else sides[::-1], strict=True):
        yield BarQuote(tick.time_us, low_or_high, its_ask)
    yield BarQuote(closed.time_us, bar.bid_close, bar.ask_close, bar.bid_volume, bar.ask_volume)
