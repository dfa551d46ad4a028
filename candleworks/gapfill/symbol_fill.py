"""Filling the gaps of one symbol: the minutes to fetch, the requests that cover them, and what is recorded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from candleworks.database.connection import Connection
from candleworks.model.bars import MINUTE_US, Bar, Spans
from candleworks.model.trades import microseconds_of, moment_of
from candleworks.storage.gaps import FillRecord, Gap, fill_records, fillable_spans
from candleworks.vendor.bars import MAX_BARS, BarResponse, BarWindow

NO_BARS = "the vendor has no bars for it"


@dataclass(frozen=True)
class DueGap:
    """A gap of one symbol that has to be filled; without minutes there is nothing to fetch.

    `minutes` are spans of full minutes; `record` is the result so far.
    """

    gap: Gap
    symbol: str
    minutes: Spans
    record: FillRecord | None

    @property
    def count(self) -> int:
        return sum(stop - start for start, stop in self.minutes) // MINUTE_US

    def contains(self, minute_us: int) -> bool:
        return any(start <= minute_us < stop for start, stop in self.minutes)


class SymbolFill:
    """The gaps of one symbol while its windows are fetched, oldest first."""

    def __init__(self, due: list[DueGap]) -> None:
        self.due = due
        self._bars = {each.gap.id: each.record.bars if each.record else 0 for each in due}
        self._until: dict[int, datetime | None] = {
            each.gap.id: each.record.fetched_until if each.record else None for each in due
        }
        self._invalid: dict[int, str] = {}

    def touched_by(self, window: BarWindow) -> list[DueGap]:
        return [
            each
            for each in self.due
            if any(start < window.stop_us and stop > window.start_us for start, stop in each.minutes)
        ]

    def fetched(self, each: DueGap, answer: BarResponse, bars: Sequence[Bar], window: BarWindow) -> FillRecord:
        """Return the record of a gap after a window was fetched; its last window decides the outcome."""
        number = each.gap.id
        for minute_us, problem in answer.rejected.items():
            if each.contains(minute_us):
                reason = f"the bar of {moment_of(minute_us):%Y-%m-%d %H:%M} cannot be used, {problem}"
                self._invalid.setdefault(number, reason)
        if number in self._invalid:
            return self.failed(each, self._invalid[number])
        self._bars[number] += sum(each.contains(bar.minute_us) for bar in bars)
        self._until[number] = moment_of(window.stop_us)
        if each.minutes[-1][1] > window.stop_us:
            return self.failed(each, f"interrupted after {moment_of(window.stop_us):%Y-%m-%d %H:%M} UTC")
        self.due.remove(each)
        if self._bars[number]:
            return FillRecord(number, each.symbol, "filled", self._bars[number], self._until[number])
        return FillRecord(number, each.symbol, "empty", 0, self._until[number], NO_BARS)

    def failed(self, each: DueGap, reason: str) -> FillRecord:
        number = each.gap.id
        return FillRecord(number, each.symbol, "failed", self._bars[number], self._until[number], reason)


def due_gaps(connection: Connection, gaps: Sequence[Gap], symbol: str) -> list[DueGap]:
    """Return the gaps of one symbol that are left to fill, oldest first."""
    records = fill_records(connection, gaps)
    found = []
    for gap in gaps:
        record = records.get((gap.id, symbol))
        if record is None or record.outcome == "failed":
            found.append(DueGap(gap, symbol, _minutes(connection, gap, symbol, record), record))
    return found


def _minutes(connection: Connection, gap: Gap, symbol: str, record: FillRecord | None) -> Spans:
    start_us, stop_us = microseconds_of(gap.started_at), microseconds_of(gap.ended_at)
    if record and record.fetched_until:
        start_us = max(start_us, microseconds_of(record.fetched_until))
    if start_us >= stop_us:
        return []
    fillable = fillable_spans(connection, symbol, moment_of(start_us), moment_of(stop_us))
    return [(start - start % MINUTE_US, minute_end(stop)) for start, stop in fillable]


def windows(spans: Iterable[tuple[int, int]]) -> list[BarWindow]:
    """Cover spans of full minutes with as few windows of MAX_BARS minutes as possible."""
    found: list[BarWindow] = []
    for start, stop in sorted(spans):
        begin = start
        if found:
            last = found[-1]
            reach = max(last.stop_us, min(stop, last.start_us + MAX_BARS * MINUTE_US))
            if begin < reach:
                found[-1] = last._replace(stop_us=reach)
                begin = reach
        while begin < stop:
            found.append(BarWindow(begin, min(stop, begin + MAX_BARS * MINUTE_US)))
            begin = found[-1].stop_us
    return found


def minute_end(time_us: int) -> int:
    """Return the end of the minute that is not over before a time."""
    return time_us + -time_us % MINUTE_US
