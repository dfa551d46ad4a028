"""Fills recorded gaps with the vendor's one-minute bars; docs/explanation/gaps.md describes the effect on candles."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from candleworks import clock
from candleworks.candles.bar_writer import BarWriter
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, connect, transient_errors
from candleworks.database.profiles import WRITER
from candleworks.gapfill.plan import FillPlan, GapFilter, listing_of, make_plan
from candleworks.gapfill.report import FillProgress, FillReport, GapFill, filled_notice
from candleworks.gapfill.symbol_fill import NO_BARS, DueGap, SymbolFill, due_gaps, windows
from candleworks.model.notices import Notify, ignore
from candleworks.model.trades import moment_of
from candleworks.model.trading_day import zone_lookup
from candleworks.settings import Settings
from candleworks.storage.gaps import (
    FillRecord,
    gap_spans,
    locked_symbol,
    mark_filled,
    market_was_closed,
    save_fill_record,
)
from candleworks.vendor.bars import BarWindow, VendorBars
from candleworks.vendor.client import KeyRejectedError, NoCreditsLeftError, NotServedError, VendorAwayError
from candleworks.vendor.credits import Credits, NoCreditsTodayError

MAX_FAILURES = 3  # consecutive symbols: then the vendor is unavailable, and requests would only cost credits
MARKET_CLOSED = "its market was closed, so nothing is missing"
TICKS_DROPPED = "retention has dropped the ticks of that time"

log = logging.getLogger(__name__)


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
    """Fetch the minutes of all closed gaps, store them as bars, and refresh the candles.

    `feed` and `symbol` select gaps, and `since` skips gaps that ended by then. `retry_credits` requests bars although
    the vendor answered that there are no API credits left. Safe to interrupt and to run concurrently. `notify` gets
    `feed.gap-filled` for every gap that is filled, `wait` sleeps until there are credits. Raises TransientError when
    the database is unavailable and UsageError when there is no key; errors of the vendor are in the report.
    """
    with transient_errors(dsn), connect(dsn, "fill-gaps", profile=WRITER) as connection:
        filler = _GapFiller(
            connection, settings, GapFilter(feed, symbol, since), notify, progress or (lambda _: None), wait
        )
        if dry_run:
            return filler.dry_run()
        if retry_credits:
            filler.lift_credits_pause()
        return filler.fill()


class _GapFiller:
    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        chosen: GapFilter,
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
        self._writer = BarWriter(connection, zone_lookup(settings.calendars))
        self._plan: FillPlan = make_plan(connection, settings, chosen, clock.now())
        self._fills: dict[tuple[int, str], GapFill] = {}
        self._report = FillReport(waiting=self._plan.waiting, unknown=self._plan.unknown)
        self._done = 0
        self._refreshed = False  # an interrupted run may have left outdated candles

    def lift_credits_pause(self) -> None:
        if self._credits.lift_pause():
            log.info("Requesting bars again although the vendor answered that there are no API credits left.")

    def dry_run(self) -> FillReport:
        for symbol in self._plan.symbols:
            due = due_gaps(self._connection, self._plan.gaps_of(symbol), symbol)
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
        """Fill the gaps of one symbol; return whether the vendor failed."""
        with locked_symbol(self._connection, symbol) as locked:
            if not locked:
                self._report.busy.append(symbol)
                return False
            due = due_gaps(self._connection, self._plan.gaps_of(symbol), symbol)
            self._save([self._without_minutes(each) for each in due if not each.minutes], due)
            left = SymbolFill([each for each in due if each.minutes])
            try:
                for window in windows(span for each in left.due for span in each.minutes):
                    self._fill_window(vendor, symbol, left, window)
            except (VendorAwayError, NotServedError) as error:
                self._save([left.failed(each, str(error)) for each in left.due], left.due)
                return isinstance(error, VendorAwayError)
        return False

    def _without_minutes(self, each: DueGap) -> FillRecord:
        """Return the record of a gap that has nothing to fetch, or nothing left to fetch."""
        gap, record = each.gap, each.record
        if record and record.bars:
            return record._replace(outcome="filled", reason=None)
        if record and record.fetched_until:
            return record._replace(outcome="empty", reason=NO_BARS)
        if market_was_closed(self._connection, each.symbol, gap.started_at, gap.ended_at):
            return FillRecord(gap.id, each.symbol, "market_closed", 0, None, MARKET_CLOSED)
        return FillRecord(gap.id, each.symbol, "empty", 0, None, TICKS_DROPPED)

    def _fill_window(self, vendor: VendorBars, symbol: str, left: SymbolFill, window: BarWindow) -> None:
        touched = left.touched_by(window)
        self._report_progress(
            f"{symbol} {moment_of(window.start_us):%Y-%m-%d %H:%M} to {moment_of(window.stop_us):%Y-%m-%d %H:%M}"
        )
        answer = vendor.read(listing_of(self._settings, touched[0].gap.feed, symbol), window)
        feeds = sorted({each.gap.feed for each in touched})
        spans = gap_spans(self._connection, symbol, feeds, window.start_us, window.stop_us)
        wanted = [bar for bar in answer.bars if any(each.contains(bar.minute_us) for each in touched)]
        self._writer.prepare(wanted)
        with self._connection.transaction():
            self._writer.write(symbol, wanted, spans)
            self._save([left.fetched(each, answer, wanted, window) for each in touched], touched)
        self._refreshed &= not wanted

    def _save(self, records: Sequence[FillRecord], due: Sequence[DueGap]) -> None:
        """Record the results so far."""
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
                self._notify(filled_notice(gap, [fill for fill in self._report.fills if fill.gap == gap]))

    def _wait_for_credits(self, seconds: float) -> None:
        self._report_progress(f"waiting {seconds:.0f} s for API credits")
        self._refresh()
        self._wait(seconds)

    def _refresh(self) -> None:
        if not self._refreshed:
            refresh(self._connection)
            self._refreshed = True

    def _report_progress(self, step: str) -> None:
        log.info("%s", step)
        self._progress(FillProgress(self._done, len(self._plan.symbols), step))
