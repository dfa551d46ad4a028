"""Stores imported bars as ticks at moments of their own intervals, except where finer bars or ticks are stored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from candleworks.candles.bar_writer import BarWriter
from candleworks.database.connection import Connection
from candleworks.imports.staging import Parts
from candleworks.model.bars import MINUTE_US, Bar, Spans
from candleworks.model.trades import moment_of
from candleworks.storage.bars import taken_intervals
from candleworks.storage.gaps import fillable_spans
from candleworks.storage.trades import Meeting, ZoneOf

_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class BarSink:
    """Stores bars of trades, `interval_us` long. Frames have their beginnings as `stamp_us`."""

    connection: Connection
    zone_of: ZoneOf
    interval_us: int
    received_us: int

    @property
    def crowded(self) -> str:
        return "its interval has a bar already"

    @property
    def _writer(self) -> BarWriter:
        return BarWriter(self.connection, self.zone_of, self.received_us)

    def prepare(self, frame: pl.DataFrame) -> None:
        self._writer.prepare_from(frame["stamp_us"].to_list())

    def place(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame

    def put(self, frame: pl.DataFrame, placed: pl.DataFrame | None = None) -> Meeting:  # noqa: ARG002 - Sink's
        stored = sum(self._put(str(symbol), part) for (symbol,), part in frame.group_by("symbol"))
        return Meeting(stored, len(frame) - stored)

    def merge(self, parts: Parts) -> Meeting:
        meeting = Meeting(0, 0)
        for part in parts():
            if not part.known:
                put = self.put(part.frame)
                meeting = Meeting(meeting.stored + put.stored, meeting.duplicates + put.duplicates)
        return meeting

    def _put(self, symbol: str, frame: pl.DataFrame) -> int:
        """Store the bars of one symbol whose intervals hold neither ticks nor bars as fine; of equal ones the first."""
        bars = frame.unique("stamp_us", keep="first", maintain_order=True).sort("stamp_us")
        first, last = bars["stamp_us"][0], bars["stamp_us"][-1] + self.interval_us
        taken = taken_intervals(self.connection, symbol, (first, last), self.interval_us)
        free = bars.filter(~pl.col("stamp_us").is_in(list(taken)))
        rows = free.select("stamp_us", *_PRICES, "volume").rows()
        if rows:
            new = [Bar(*row) for row in rows]
            self._writer.write_new(symbol, new, self.interval_us, self._traded(symbol, new))
        return len(rows)

    def _traded(self, symbol: str, bars: Sequence[Bar]) -> Mapping[int, Spans]:
        """Return where in each interval ticks may stand: in its sessions, or anywhere where it has none."""
        whole = {bar.minute_us: [(bar.minute_us, bar.minute_us + self.interval_us)] for bar in bars}
        if self.interval_us == MINUTE_US:
            return whole
        start, stop = (moment_of(us) for us in (bars[0].minute_us, bars[-1].minute_us + self.interval_us))
        sessions = fillable_spans(self.connection, symbol, start, stop)
        return {
            start: inside or whole[start]
            for start, inside in _inside(sessions, [bar.minute_us for bar in bars], self.interval_us)
        }


def _inside(sessions: Spans, starts: Sequence[int], interval_us: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Return what of each interval lies in the sessions; both are ascending."""
    place = 0
    for start in starts:
        while place < len(sessions) and sessions[place][1] <= start:
            place += 1
        found, at = [], place
        while at < len(sessions) and sessions[at][0] < start + interval_us:
            found.append((max(sessions[at][0], start), min(sessions[at][1], start + interval_us)))
            at += 1
        yield start, found
