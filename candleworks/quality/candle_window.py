"""Which stored candles a run of checks looks at: new ones, recent ones, and a day of the history."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from candleworks.database.connection import Connection
from candleworks.quality.limits import sampled, shuffled
from candleworks.quality.rechecks import DAY, midnight, piece
from candleworks.quality.tick_window import Window
from candleworks.storage.quality import day_with_candles, ticks_of_symbols

RECENT_SYMBOLS = 100  # all levels of today and yesterday are compared of so many in every run
AUDITED_TICKS = 500_000  # so many are read for the newest two days, and for a day of the history: half a second each


class Part(NamedTuple):
    """Pieces of history; `symbols` are those whose new ticks are covered, `day` is the stored day that was due."""

    pieces: list[dict[str, Any]]
    symbols: Sequence[str]
    day: datetime | None = None


def new_part(symbols: Iterable[str], span: Window) -> Part:
    """Return the candles of symbols in the window of a run."""
    names = sorted(symbols)
    return Part([piece(names, span.parameters["candles_from"], span.until)] if names else [], names)


def levels_part(
    connection: Connection, batch: Iterable[str], streamed: Iterable[str], span: Window, reached: datetime | None
) -> Part:
    """Return where levels are compared with each other: what is new, today and yesterday, and a day of the history.

    A day holds whole candles of every level. `reached` is the day of the history that was looked at last.
    """
    new = new_part(batch, span)
    if span.by_time:
        return new
    recent = sampled({*new.symbols, *streamed}, RECENT_SYMBOLS, span.until)
    pieces = [*new.pieces, piece(recent, midnight(span.until) - DAY, span.until)] if recent else []
    return _with_day(connection, Part(pieces, new.symbols), span, reached, RECENT_SYMBOLS)


def audit_part(
    connection: Connection, batch: Iterable[str], count: int, span: Window, reached: datetime | None
) -> Part:
    """Return where one-minute candles are compared with their ticks: of at least `count` symbols, others in each run.

    Without a time that is asked for: today and yesterday, and a day of the history, of as many symbols as are cheap.
    """
    if span.by_time:
        return new_part(sampled(batch, count, span.until), span)
    first = midnight(span.until) - DAY
    recent = _affordable(ticks_of_symbols(connection, first, span.until), count, span.until)
    part = Part([piece(recent, first, span.until)] if recent else [], sorted(set(recent) & set(batch)))
    return _with_day(connection, part, span, reached, count)


def _affordable(ticks: Mapping[str, int], count: int, moment: datetime) -> list[str]:
    """Choose symbols, others at every moment, that have AUDITED_TICKS together, but `count` at least."""
    chosen: list[str] = []
    total = 0
    for symbol in shuffled(ticks, moment):
        total += ticks[symbol]
        if len(chosen) >= count and total > AUDITED_TICKS:
            break
        chosen.append(symbol)
    return chosen


def _with_day(connection: Connection, part: Part, span: Window, reached: datetime | None, count: int) -> Part:
    day = _day_due(connection, reached, span.until)
    if day is None:
        return part
    symbols = _affordable(ticks_of_symbols(connection, day, day + DAY), count, span.until)
    return Part([*part.pieces, piece(symbols, day, day + DAY)], part.symbols, day)


def _day_due(connection: Connection, reached: datetime | None, until: datetime) -> datetime | None:
    """Return the stored day before the one that was looked at last, or the newest after the oldest.

    Today and yesterday are left out.
    """
    newest = midnight(until) - DAY
    before = min(reached, newest) if reached else newest
    return day_with_candles(connection, before) or day_with_candles(connection, newest)
