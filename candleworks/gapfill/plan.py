"""Which minutes are missing of whom, and in how few requests they can be had."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from candleworks.database.connection import Connection
from candleworks.model.bars import MINUTE_US, Spans
from candleworks.model.trades import MICROSECONDS, microseconds_of, moment_of
from candleworks.settings import Instrument, Settings
from candleworks.storage.gaps import (
    FillRecord,
    Gap,
    StreamedSymbol,
    fill_records,
    fillable_spans,
    streamed_symbols,
    unfilled_gaps,
)
from candleworks.vendor.bars import MAX_BARS, BarWindow


class Choice(NamedTuple):
    """Which gaps: of a feed, of a symbol, of those that ended later; None leaves it open."""

    feed: str | None = None
    symbol: str | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class DueGap:
    """A gap of one symbol that is to be filled, or is to be found closed: then it has no minutes.

    `minutes` are spans of whole minutes; `record` is what came of it so far.
    """

    gap: Gap
    symbol: str
    minutes: Spans
    record: FillRecord | None

    @property
    def count(self) -> int:
        return sum(stop - start for start, stop in self.minutes) // MINUTE_US


@dataclass(frozen=True)
class Plan:
    """Gaps that are over for long enough, with the symbols that each concerns; `waiting` counts the younger ones.

    `only` is the symbol that was chosen, if any.
    """

    only: str | None
    gaps: dict[int, tuple[Gap, tuple[str, ...]]]
    unknown: tuple[Gap, ...]
    waiting: int

    @property
    def symbols(self) -> list[str]:
        """Every symbol that has a gap, that of the youngest gap first."""
        youngest: dict[str, datetime] = {}
        for gap, symbols in self.gaps.values():
            youngest |= dict.fromkeys((symbol for symbol in symbols if self.only in (None, symbol)), gap.ended_at)
        return sorted(youngest, key=lambda symbol: (-microseconds_of(youngest[symbol]), symbol))


def make_plan(connection: Connection, settings: Settings, choice: Choice, now: datetime) -> Plan:
    """Find the gaps whose last minute has been over for the settling time; `unknown` are of feeds without symbols."""
    gaps = unfilled_gaps(connection, *choice)
    latest_us = microseconds_of(now) - settings.rest.settle_seconds * MICROSECONDS
    due = [gap for gap in gaps if _minute_end(microseconds_of(gap.ended_at)) <= latest_us]
    streamed = streamed_symbols(connection)
    concerned = {gap.id: (gap, _concerned(gap, settings, streamed)) for gap in due}
    return Plan(
        choice.symbol,
        {number: found for number, found in concerned.items() if found[1]},
        tuple(gap for gap, symbols in concerned.values() if not symbols),
        len(gaps) - len(due),
    )


def due_gaps(connection: Connection, plan: Plan, symbol: str) -> list[DueGap]:
    """Return what is left to do of one symbol, oldest first."""
    gaps = [gap for gap, symbols in plan.gaps.values() if symbol in symbols]
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
    return [(start - start % MINUTE_US, _minute_end(stop)) for start, stop in fillable]


def windows(spans: Iterable[tuple[int, int]]) -> list[BarWindow]:
    """Cover spans of whole minutes with as few windows of MAX_BARS minutes as possible."""
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


def listing_of(settings: Settings, feed: str, symbol: str) -> str | Instrument:
    """Return what to ask the vendor for; a symbol that is not configured any more is asked for by its name."""
    for configured in settings.feeds:
        if configured.name == feed:
            return configured.instruments.get(symbol, symbol)
    return symbol


def _concerned(gap: Gap, settings: Settings, streamed: Mapping[str, Sequence[StreamedSymbol]]) -> tuple[str, ...]:
    """Name the gap's symbols: those that the feed had when it began, else those of the configuration."""
    if gap.symbol is not None:
        return (gap.symbol,)
    if gap.feed in streamed:
        return tuple(
            known.symbol
            for known in streamed[gap.feed]
            if known.removed_at is None or known.removed_at > gap.started_at
        )
    return next((feed.names for feed in settings.feeds if feed.name == gap.feed), ())


def _minute_end(moment_us: int) -> int:
    return moment_us + -moment_us % MINUTE_US
