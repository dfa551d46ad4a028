"""The history of one symbol: which part is next, what is stored of it, and how far it has come."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from candleworks import clock
from candleworks.backfill.wanted import DAY, midnight
from candleworks.candles.bar_writer import BarWriter
from candleworks.database.connection import Connection
from candleworks.model.bars import MINUTE_US, Bar, within
from candleworks.model.trades import microseconds_of, moment_of
from candleworks.settings import Instrument
from candleworks.storage.backfills import (
    BackfillOutcome,
    BackfillRecord,
    first_streamed,
    gap_minutes,
    save_backfill,
    save_daily_bars,
)
from candleworks.storage.bars import taken_intervals
from candleworks.storage.gaps import locked_symbol
from candleworks.vendor.bars import MAX_BARS, BarResponse, BarWindow

MINUTE = timedelta(minutes=1)
DAY_US = 1_440 * MINUTE_US
NO_BARS = "the vendor has no bars for it"
NO_TICK = "it had no tick yet"
NOT_FINAL = "the minute of its first tick is not final at the vendor"
NO_TICK_RETRY = timedelta(minutes=10)
REFUSED_RETRY = timedelta(days=1)
LONGEST_RETRY = timedelta(hours=1)


class Part(NamedTuple):
    """A part of the history to request: the last `size` bars before `stop`, or all of them from `start` on."""

    stop: datetime
    size: int
    start: datetime | None = None

    @property
    def window(self) -> BarWindow | None:
        """The window of a part with a start."""
        return BarWindow(microseconds_of(self.start), microseconds_of(self.stop)) if self.start else None


class DailyPart(NamedTuple):
    """A part of the daily bars to request: the last ones before the date `stop`, `size` with that date."""

    stop: datetime
    size: int


@dataclass
class History:
    """The history of one symbol. `listing` is what to request; bars are final `settle` after their minute.

    `has_minutes` is whether one-minute bars are wanted; `record` says so of daily bars, which follow them.
    """

    record: BackfillRecord
    listing: str | Instrument
    settle: timedelta
    has_minutes: bool = True

    @property
    def symbol(self) -> str:
        return self.record.symbol

    def next_part(self, now: datetime, count: int = MAX_BARS) -> Part | None:
        """Return the newest part that can be requested now; None: there is none."""
        found = self.record
        if found.outcome == "complete" or not self.has_minutes:
            return None
        if not is_loaded(found):
            last = min(now, found.streamed_from or now)
            stop = found.fetched_from or _minute(last)
            left = -((found.wanted_from - stop) // MINUTE)
            return Part(stop, max(min(left, count), 1))
        return self._last_minutes(now)

    def _last_minutes(self, now: datetime) -> Part | None:
        """Return the minutes up to that of the first tick, as soon as they are final."""
        start, streamed = self.record.fetched_until, self.record.streamed_from
        if start is None or streamed is None or start >= streamed or _minute_end(streamed) > now - self.settle:
            return None
        stop = _minute_end(streamed)
        start = max(start, stop - MAX_BARS * MINUTE)
        return Part(stop, (stop - start) // MINUTE, start)

    def next_days(self, now: datetime, count: int = MAX_BARS) -> DailyPart | None:
        """Return the newest part of the daily bars, once the minutes are loaded; None: nothing is left of them."""
        found = self.record
        if found.daily_wanted_from is None or found.outcome in ("complete", "refused", "failed"):
            return None
        if self.has_minutes and not is_loaded(found):
            return None
        days = self.days_left(now)
        return DailyPart(found.daily_from or self._days_end(now), min(days + 1, count)) if days else None

    def days_left(self, now: datetime) -> int:
        """Return how many days, traded or not, there are between the daily bars that are wanted and what is loaded."""
        found = self.record
        if found.daily_wanted_from is None:
            return 0
        return max(((found.daily_from or self._days_end(now)) - found.daily_wanted_from) // DAY, 0)

    def _days_end(self, now: datetime) -> datetime:
        """Return the date on which minutes begin; without minutes, that of the last day that is over everywhere."""
        return midnight(self.record.wanted_from if self.has_minutes else min(self.record.wanted_from, now - DAY / 2))

    def find_first_tick(self, connection: Connection) -> None:
        """Look for the first tick, unless it is known. Bars that follow it are not final."""
        found = self.record
        if found.streamed_from is None and (first := first_streamed(connection, self.symbol, found.fetched_from)):
            until = (
                found.fetched_until
                and found.fetched_from
                and max(found.fetched_from, min(found.fetched_until, _minute(first)))
            )
            self.record = replace(found, streamed_from=first, fetched_until=until)

    def store(self, connection: Connection, writer: BarWriter, part: Part, answer: BarResponse, now: datetime) -> bool:
        """Store the bars of a part, and that it is loaded; False, and nothing is stored, while its gaps are filled.

        A transaction for each day, the latest first: one that takes half a second delays streamed ticks.
        """
        with locked_symbol(connection, self.symbol) as locked:
            if not locked:
                return False
            bars = self._wanted(connection, part, answer)
            writer.prepare(bars)
            days = [bars] if part.start is not None else _days(bars)
            for left, day in reversed(list(enumerate(days))):
                with connection.transaction():
                    stored = self._write(connection, writer, part, day)
                    self.record = self._after(part, answer, stored, now, day[0] if left else None)
                    save_backfill(connection, self.record, clock.now())
        return True

    def store_days(self, connection: Connection, part: DailyPart, answer: BarResponse, now: datetime) -> None:
        """Store the daily bars of a part, and that it is loaded, in one transaction."""
        found = self.record
        if found.daily_wanted_from is None:
            return
        wanted_us = microseconds_of(found.daily_wanted_from)
        bars = [bar for bar in answer.bars if bar.minute_us >= wanted_us]
        dates = sorted([*(bar.minute_us for bar in answer.bars), *answer.rejected])
        is_all = len(dates) < part.size - 1 or not dates or dates[0] <= wanted_us
        first = found.daily_wanted_from if is_all else moment_of(dates[0])
        self.record = self.judged(replace(found, daily_from=first, daily_bars=found.daily_bars + len(bars), attempts=0))
        with connection.transaction():
            save_daily_bars(connection, self.record, bars, now)
            save_backfill(connection, self.record, now)

    def _wanted(self, connection: Connection, part: Part, answer: BarResponse) -> list[Bar]:
        """Return the bars from the wanted start on, outside of gaps: these are filled by themselves."""
        wanted_us, stop = microseconds_of(self.record.wanted_from), part.stop
        bars = [bar for bar in answer.bars if bar.minute_us >= wanted_us]
        if not bars:
            return []
        gaps = gap_minutes(connection, self.symbol, moment_of(bars[0].minute_us), stop)
        return [bar for bar in bars if not within(gaps, bar.minute_us, bar.minute_us + MINUTE_US)]

    def _write(self, connection: Connection, writer: BarWriter, part: Part, bars: Sequence[Bar]) -> int:
        if not bars:
            return 0
        span = (bars[0].minute_us, bars[-1].minute_us + MINUTE_US)
        if part.start is not None and self.record.streamed_from:
            writer.write(self.symbol, bars, [(span[0], min(span[1], microseconds_of(self.record.streamed_from)))])
            return len(bars)
        taken = taken_intervals(connection, self.symbol, span, MINUTE_US)
        new = [bar for bar in bars if bar.minute_us not in taken]
        if new:
            minutes = {bar.minute_us: [(bar.minute_us, bar.minute_us + MINUTE_US)] for bar in new}
            writer.write_new(self.symbol, new, MINUTE_US, minutes)
        return len(new)

    def _after(
        self, part: Part, answer: BarResponse, stored: int, now: datetime, reached: Bar | None
    ) -> BackfillRecord:
        """Return the record after bars were stored from `reached` on; None: all of them."""
        found = replace(self.record, bars=self.record.bars + stored, attempts=0)
        if part.start is not None:
            return self.judged(replace(found, fetched_until=found.streamed_from))
        minutes = sorted([*(bar.minute_us for bar in answer.bars), *answer.rejected])
        is_all = len(minutes) < part.size or minutes[0] <= microseconds_of(found.wanted_from)
        first = found.wanted_from if is_all else moment_of(minutes[0])
        first = moment_of(reached.minute_us) if reached else first
        until = found.fetched_until or max(first, min(part.stop, _minute(now - self.settle)))
        return self.judged(replace(found, fetched_from=first, fetched_until=until))

    def judged(self, found: BackfillRecord) -> BackfillRecord:
        """Return the record with the outcome that follows from how far it has come."""
        judged = (
            _judged_minutes(found, self.settle)
            if self.has_minutes
            else replace(found, outcome="complete", reason=None, retry_at=None)
        )
        if judged.outcome == "loading" or has_days(judged):
            return judged
        return replace(judged, outcome="loading", reason=None, retry_at=None)

    def refused(self, reason: str) -> BackfillRecord:
        """Return the record after the vendor said that it does not serve the symbol."""
        return self._failed("refused", reason, REFUSED_RETRY)

    def failed(self, reason: str) -> BackfillRecord:
        """Return the record after a failed attempt; each is followed by a longer pause."""
        return self._failed("failed", reason, min(2**self.record.attempts * MINUTE, LONGEST_RETRY))

    def _failed(self, outcome: BackfillOutcome, reason: str, pause: timedelta) -> BackfillRecord:
        self.record = replace(
            self.record,
            outcome=outcome,
            reason=reason,
            attempts=self.record.attempts + 1,
            retry_at=clock.now() + pause,
        )
        return self.record


def is_loaded(found: BackfillRecord) -> bool:
    """Whether everything from `wanted_from` on is there but for the minutes before the first tick."""
    if found.streamed_from is not None and found.streamed_from <= found.wanted_from:
        return True
    return found.fetched_from is not None and found.fetched_from <= found.wanted_from


def has_days(found: BackfillRecord) -> bool:
    """Whether all wanted daily bars are there, or would belong to days with minutes."""
    if found.daily_wanted_from is None:
        return True
    return (found.daily_from or midnight(found.wanted_from)) <= found.daily_wanted_from


def _judged_minutes(found: BackfillRecord, settle: timedelta) -> BackfillRecord:
    streamed, until = found.streamed_from, found.fetched_until
    if not is_loaded(found):
        return replace(found, outcome="loading", reason=None, retry_at=None)
    if streamed is None:
        return replace(found, outcome="waiting", reason=NO_TICK, retry_at=clock.now() + NO_TICK_RETRY)
    if until is not None and until < streamed:
        return replace(found, outcome="waiting", reason=NOT_FINAL, retry_at=_minute_end(streamed) + settle)
    reason = NO_BARS if until is not None and not found.bars else None
    return replace(found, outcome="complete", reason=reason, retry_at=None)


def _days(bars: Sequence[Bar]) -> list[list[Bar]]:
    """Return ascending bars by their UTC days; one empty day when there are none."""
    days = [list(day) for _, day in groupby(bars, key=lambda bar: bar.minute_us // DAY_US)]
    return days or [[]]


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def _minute_end(time: datetime) -> datetime:
    """Return the end of the minute that is not over before a time."""
    start = _minute(time)
    return start if start == time else start + MINUTE
