"""Fills booked gaps with the vendor's one-minute bars; docs/explanation/gaps.md tells what that means for candles."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from candleworks import clock
from candleworks.candles.bar_writer import BarWriter
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, connect, transient_errors
from candleworks.database.profiles import WRITER
from candleworks.gapfill.plan import Choice, DueGap, Plan, due_gaps, listing_of, make_plan, windows
from candleworks.model.bars import Bar
from candleworks.model.notices import Notice, Notify, ignore
from candleworks.model.trades import moment_of
from candleworks.model.trading_day import calendar_of, zone_of
from candleworks.settings import Settings
from candleworks.storage.gaps import (
    FillRecord,
    Gap,
    Outcome,
    gap_spans,
    locked_symbol,
    mark_filled,
    market_was_closed,
    save_fill_record,
)
from candleworks.vendor.bars import BarResponse, BarWindow, VendorBars
from candleworks.vendor.client import KeyRejectedError, NoCreditsLeftError, NotServedError, VendorAwayError
from candleworks.vendor.credits import Credits, NoCreditsTodayError

MAX_FAILURES = 3  # so many symbols in a row that the vendor fails for: it is away, and asking on costs credits
NOTHING_THERE = "the vendor has no bars for it"
MARKET_CLOSED = "its market was closed, so nothing is missing"
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
TICKS_DROPPED = "retention has dropped the ticks of that time"

log = logging.getLogger(__name__)


class GapFill(NamedTuple):
    """What became of one symbol of a gap; `error` says why it failed, or why there is nothing.

    `planned` stands in the report of a dry run, with the number of minutes to fetch.
    """

    gap: Gap
    symbol: str
    outcome: Outcome | Literal["planned"]
    bars: int
    error: str | None


class FillProgress(NamedTuple):
    """Called for before each request and each wait: symbols that are done, of how many, and what comes now."""

    done: int
    symbols: int
    now: str


@dataclass
class FillReport:
    """What a run did. `credits` were spent, or in a dry run would be.

    `waiting` counts gaps that are not over for long enough, `busy` names symbols that another process fills, `unknown`
    are gaps of feeds that nobody knows the symbols of, and `stopped` says why the run ended before its end.
    """

    fills: list[GapFill] = field(default_factory=list)
    closed: list[Gap] = field(default_factory=list)
    credits: int = 0
    waiting: int = 0
    busy: list[str] = field(default_factory=list)
    unknown: tuple[Gap, ...] = ()
    stopped: str | None = None

    @property
    def complete(self) -> bool:
        """Whether everything that was due could be fetched."""
        return self.stopped is None and all(fill.outcome != "failed" for fill in self.fills)

    @property
    def outcomes(self) -> str:
        """How many symbols of gaps came to which outcome, such as `2 filled, 5 market closed`."""
        counts = Counter(fill.outcome for fill in self.fills)
        known = [f"{counts[name]:,} {name.replace('_', ' ')}" for name in OUTCOMES if counts[name]]
        return ", ".join(known) or "nothing to fill"


def fill_gaps(
    settings: Settings,
    dsn: str,
    *,
    feed: str | None = None,
    symbol: str | None = None,
    since: datetime | None = None,
    dry_run: bool = False,
    retry_credits: bool = False,
    notify: Notify = ignore,
    progress: Callable[[FillProgress], None] | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> FillReport:
    """Fetch the minutes of all closed gaps, store them as bars, and bring the candles up to date.

    `feed` and `symbol` choose, and `since` leaves out what ended by then. `retry_credits` asks the vendor again
    although it said that there are no more API credits. Safe to interrupt and to run at the same time. `notify` gets
    `feed.gap-filled` for every gap that is settled, `wait` sleeps until there are credits again. Raises TransientError
    when the database is away and UsageError when there is no key; whatever the vendor does stands in the report.
    """
    with transient_errors(dsn), connect(dsn, "fill-gaps", profile=WRITER) as connection:
        run = _Run(connection, settings, Choice(feed, symbol, since), notify, progress or (lambda _: None), wait)
        if dry_run:
            return run.dry()
        if retry_credits:
            run.lift_credits_pause()
        return run.fill()


class _Run:
    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        choice: Choice,
        notify: Notify,
        progress: Callable[[FillProgress], None],
        wait: Callable[[float], None],
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._notify = notify
        self._progress = progress
        self._wait = wait
        self._credits = Credits(connection, settings, self._wait_for_credits)
        self._writer = BarWriter(connection, _zones(settings))
        self._plan: Plan = make_plan(connection, settings, choice, clock.now())
        self._fills: dict[tuple[int, str], GapFill] = {}
        self._report = FillReport(waiting=self._plan.waiting, unknown=self._plan.unknown)
        self._done = 0
        self._refreshed = False  # an interrupted run may have left candles behind

    def lift_credits_pause(self) -> None:
        if self._credits.lift_pause():
            log.info("The vendor is asked again although it said that there are no more API credits.")

    def dry(self) -> FillReport:
        for symbol in self._plan.symbols:
            due = due_gaps(self._connection, self._plan, symbol)
            self._report.fills += [GapFill(each.gap, symbol, "planned", each.count, None) for each in due]
            self._report.credits += len(windows(span for each in due for span in each.minutes))
        return self._report

    def fill(self) -> FillReport:
        vendor = VendorBars(self._settings, self._credits)
        self._follow_up()
        failures = 0
        try:
            for symbol in self._plan.symbols:
                failures = failures + 1 if self._fill_symbol(vendor, symbol) else 0
                self._done += 1
                if failures == MAX_FAILURES:
                    self._report.stopped = (
                        f"The vendor failed for {failures} symbols in a row: run fill-gaps again later."
                    )
                    break
        except (KeyRejectedError, NoCreditsTodayError, NoCreditsLeftError) as error:
            self._report.stopped = str(error)
        self._refresh()
        self._report.fills = list(self._fills.values())
        self._close_gaps()
        self._report.credits = self._credits.spent
        return self._report

    def _follow_up(self) -> None:
        with self._connection.transaction():
            self._writer.follow_up()

    def _fill_symbol(self, vendor: VendorBars, symbol: str) -> bool:
        """Fill the gaps of one symbol; tell whether the vendor failed."""
        with locked_symbol(self._connection, symbol) as held:
            if not held:
                self._report.busy.append(symbol)
                return False
            due = due_gaps(self._connection, self._plan, symbol)
            self._save([self._without_minutes(each) for each in due if not each.minutes], due)
            left = _SymbolGaps([each for each in due if each.minutes])
            try:
                for window in windows(span for each in left.due for span in each.minutes):
                    self._fill_window(vendor, symbol, left, window)
            except (VendorAwayError, NotServedError) as error:
                self._save([left.failed(each, str(error)) for each in left.due], left.due)
                return isinstance(error, VendorAwayError)
        return False

    def _without_minutes(self, each: DueGap) -> FillRecord:
        """Record a gap that has nothing to fetch, or nothing any more."""
        gap, record = each.gap, each.record
        if record and record.bars:
            return record._replace(outcome="filled", reason=None)
        if record and record.fetched_until:
            return record._replace(outcome="empty", reason=NOTHING_THERE)
        if market_was_closed(self._connection, each.symbol, gap.started_at, gap.ended_at):
            return FillRecord(gap.id, each.symbol, "market_closed", 0, None, MARKET_CLOSED)
        return FillRecord(gap.id, each.symbol, "empty", 0, None, TICKS_DROPPED)

    def _fill_window(self, vendor: VendorBars, symbol: str, left: "_SymbolGaps", window: BarWindow) -> None:
        touched = left.touched_by(window)
        self._say(f"{symbol} {moment_of(window.start_us):%Y-%m-%d %H:%M} to {moment_of(window.stop_us):%Y-%m-%d %H:%M}")
        answer = vendor.read(listing_of(self._settings, touched[0].gap.feed, symbol), window)
        feeds = sorted({each.gap.feed for each in touched})
        spans = gap_spans(self._connection, symbol, feeds, window.start_us, window.stop_us)
        wanted = [bar for bar in answer.bars if any(_lies_in(bar.minute_us, each) for each in touched)]
        self._writer.prepare(wanted)
        with self._connection.transaction():
            self._writer.write(symbol, wanted, spans)
            self._save([left.fetched(each, answer, wanted, window) for each in touched], touched)
        self._refreshed &= not wanted

    def _save(self, records: Sequence[FillRecord], due: Sequence[DueGap]) -> None:
        """Keep what became of gaps so far."""
        gaps = {each.gap.id: each.gap for each in due}
        for record in records:
            save_fill_record(self._connection, record, clock.now())
            self._fills[record.gap_id, record.symbol] = GapFill(
                gaps[record.gap_id], record.symbol, record.outcome, record.bars, record.reason
            )

    def _close_gaps(self) -> None:
        for gap, symbols in self._plan.gaps.values():
            if mark_filled(self._connection, gap, symbols, clock.now()):
                self._report.closed.append(gap)
                self._notify(_notice(gap, [fill for fill in self._report.fills if fill.gap == gap]))

    def _wait_for_credits(self, seconds: float) -> None:
        self._say(f"waiting {seconds:.0f} s for API credits")
        self._refresh()
        self._wait(seconds)

    def _refresh(self) -> None:
        if not self._refreshed:
            refresh(self._connection)
            self._refreshed = True

    def _say(self, what: str) -> None:
        log.info("%s", what)
        self._progress(FillProgress(self._done, len(self._plan.symbols), what))


class _SymbolGaps:
    """The gaps of one symbol while its windows are fetched, oldest first."""

    def __init__(self, due: list[DueGap]) -> None:
        self.due = due
        self._bars = {each.gap.id: each.record.bars if each.record else 0 for each in due}
        self._until: dict[int, datetime | None] = {
            each.gap.id: each.record.fetched_until if each.record else None for each in due
        }
        self._refused: dict[int, str] = {}

    def touched_by(self, window: BarWindow) -> list[DueGap]:
        return [
            each
            for each in self.due
            if any(start < window.stop_us and stop > window.start_us for start, stop in each.minutes)
        ]

    def fetched(self, each: DueGap, answer: BarResponse, bars: Sequence[Bar], window: BarWindow) -> FillRecord:
        """Record a window that was fetched; the last one of a gap decides about it."""
        number = each.gap.id
        for minute_us, problem in answer.rejected.items():
            if _lies_in(minute_us, each):
                said = f"the bar of {moment_of(minute_us):%Y-%m-%d %H:%M} cannot be used, {problem}"
                self._refused.setdefault(number, said)
        if number in self._refused:
            return self.failed(each, self._refused[number])
        self._bars[number] += sum(_lies_in(bar.minute_us, each) for bar in bars)
        self._until[number] = moment_of(window.stop_us)
        if each.minutes[-1][1] > window.stop_us:
            return self.failed(each, f"interrupted after {moment_of(window.stop_us):%Y-%m-%d %H:%M} UTC")
        self.due.remove(each)
        if self._bars[number]:
            return FillRecord(number, each.symbol, "filled", self._bars[number], self._until[number])
        return FillRecord(number, each.symbol, "empty", 0, self._until[number], NOTHING_THERE)

    def failed(self, each: DueGap, reason: str) -> FillRecord:
        number = each.gap.id
        return FillRecord(number, each.symbol, "failed", self._bars[number], self._until[number], reason)


def _lies_in(minute_us: int, each: DueGap) -> bool:
    return any(start <= minute_us < stop for start, stop in each.minutes)


def _notice(gap: Gap, fills: Sequence[GapFill]) -> Notice:
    return Notice(
        "feed.gap-filled",
        gap.feed if gap.symbol is None else f"{gap.feed}/{gap.symbol}",
        {
            "gap": gap.id,
            "started_at": gap.started_at.isoformat(),
            "ended_at": gap.ended_at.isoformat(),
            "reason": gap.reason,
            "bars": sum(fill.bars for fill in fills),
            "empty": sorted(fill.symbol for fill in fills if fill.outcome == "empty"),
            "market_closed": sorted(fill.symbol for fill in fills if fill.outcome == "market_closed"),
        },
    )


def _zones(settings: Settings) -> Callable[[str], ZoneInfo]:
    @cache
    def zone(symbol: str) -> ZoneInfo:
        return zone_of(calendar_of(symbol, settings.calendars))

    return zone
