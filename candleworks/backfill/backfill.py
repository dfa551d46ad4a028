"""Loads the history of new symbols, the newest part of each first; docs/explanation/backfill.md says what is stored."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from candleworks import clock
from candleworks.backfill.history import MINUTE, DailyPart, History, Part
from candleworks.backfill.plan import EVERYTHING, BackfillRequest, chosen_feeds, due_histories
from candleworks.backfill.report import BackfillProgress, BackfillReport, PlannedBackfill
from candleworks.backfill.wanted import DAY
from candleworks.candles.bar_writer import BarWriter
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, connect, transient_errors
from candleworks.database.profiles import WRITER
from candleworks.errors import CandleworksError
from candleworks.imports.companies import sync_companies
from candleworks.model.trades import microseconds_of
from candleworks.model.trading_day import zone_lookup
from candleworks.settings import Settings
from candleworks.storage.backfills import (
    analyze_daily_bars,
    count_due_fills,
    locked_feed_history,
    save_backfill,
)
from candleworks.storage.companies import known_companies
from candleworks.vendor.bars import MAX_BARS, BarResponse, VendorBars
from candleworks.vendor.client import KeyRejectedError, NoCreditsLeftError, NotServedError, VendorAwayError
from candleworks.vendor.credits import Credits, NoCreditsTodayError

MAX_FAILURES = 3  # consecutive symbols: then the vendor is unavailable, and requests would only cost credits
DAY_MINUTES = 1_440
RETRY = timedelta(minutes=10)

_Request = tuple[History, Part, Callable[[], BarResponse]]

log = logging.getLogger(__name__)


def backfill(
    settings: Settings,
    dsn: str,
    request: BackfillRequest = EVERYTHING,
    *,
    dry_run: bool = False,
    progress: Callable[[BackfillProgress], None] | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> BackfillReport:
    """Load what is due of the history before each symbol's first tick: minutes as bars, and daily bars before them.

    Candles are refreshed, and the names of companies looked up, once for each symbol. Safe to interrupt and to run
    concurrently: a feed is loaded by one process at a time. `wait` sleeps until there are credits. Raises
    TransientError when the database is unavailable and UsageError for an unknown symbol or without a key; errors of the
    vendor are in the report.
    """
    with transient_errors(dsn), connect(dsn, "backfill", profile=WRITER) as connection:
        loader = _HistoryLoader(connection, settings, dsn, request, progress or (lambda _: None), wait)
        return loader.dry_run() if dry_run else loader.load()


class _HistoryLoader:
    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        dsn: str,
        request: BackfillRequest,
        progress: Callable[[BackfillProgress], None],
        wait: Callable[[float], None],
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._dsn = dsn
        self._request = request
        self._progress = progress
        self._wait = wait
        self._credits = Credits(connection, settings, self._wait_for_credits, purpose="backfill")
        self._writer = BarWriter(connection, zone_lookup(settings.calendars))
        self._report = BackfillReport()
        self._loaded = (0, 0)  # minutes and days: loaded, and to be loaded
        self._failures = 0  # of symbols in a row
        self._refreshed = False  # an interrupted run may have left outdated candles

    def dry_run(self) -> BackfillReport:
        now = clock.now()
        for feed, symbols in chosen_feeds(self._settings, self._request):
            for history in due_histories(self._connection, self._settings, feed, symbols, self._request, now):
                if planned := _planned(history, now):
                    self._report.planned.append(planned)
                    self._report.credits += -(-planned.minutes // MAX_BARS) - (-planned.days // MAX_BARS)
        return self._report

    def load(self) -> BackfillReport:
        with contextlib.ExitStack() as locks:
            histories = [history for feed in self._locked_feeds(locks) for history in feed]
            if histories:
                self._load(histories)
        self._report.credits += self._credits.spent
        return self._report

    def _locked_feeds(self, locks: contextlib.ExitStack) -> Iterator[list[History]]:
        for feed, symbols in chosen_feeds(self._settings, self._request):
            if locks.enter_context(locked_feed_history(self._connection, feed.name)):
                yield due_histories(self._connection, self._settings, feed, symbols, self._request, clock.now())
            else:
                self._report.busy.append(f"feed {feed.name}")

    def _load(self, histories: Sequence[History]) -> None:
        for history in histories:
            self._save(history)
        left = [history for history in histories if history.next_part(clock.now())]
        self._loaded = (0, sum(_count_bars(history, clock.now()) for history in histories))
        vendor = VendorBars(self._settings, self._credits)
        try:
            if self._settings.shows_simulated:  # names cost nothing, and a day of each symbol is there in no time
                self._name_companies(histories)
                left = self._load_round(vendor, left, DAY_MINUTES)
            else:
                left = self._load_round(vendor, left, MAX_BARS)
                self._name_companies(histories)
            while left:
                left = self._load_round(vendor, left, MAX_BARS)
            self._load_days(vendor, histories)
        except (KeyRejectedError, NoCreditsTodayError, NoCreditsLeftError) as error:
            self._stop(histories, error)
        self._postpone_names(histories)
        self._refresh()
        self._report.records = [history.record for history in histories]

    def _load_round(self, vendor: VendorBars, histories: Sequence[History], size: int) -> list[History]:
        """Load one part of each history, and show it; return those with another one."""
        left = [
            history
            for history, part, request in self._requests(vendor, histories, size)
            if self._load_part(history, part, request)
        ]
        self._refresh()
        return left

    def _requests(self, vendor: VendorBars, histories: Sequence[History], size: int) -> Iterator[_Request]:
        """Return the next part of each history, and a function that requests it.

        The simulator computes the next part while one is stored: 30 days of 7 symbols take 26 s instead of 40.
        """
        parts = ((history, part) for history in histories if (part := history.next_part(clock.now(), size)))
        requests = ((history, part, partial(_request_bars, vendor, history, part)) for history, part in parts)
        if not self._settings.shows_simulated:
            yield from requests
            return
        with ThreadPoolExecutor(1) as thread:
            ahead: _Request | None = None
            for history, part, request in requests:
                submitted = (history, part, thread.submit(request).result)
                if ahead:
                    yield ahead
                ahead = submitted
            if ahead:
                yield ahead

    def _load_part(self, history: History, part: Part, request: Callable[[], BarResponse]) -> bool:
        """Load one part; return whether another one may be left."""
        answer = self._request_part(history, f"{history.symbol} before {part.stop:%Y-%m-%d %H:%M}", request)
        return answer is not None and self._store(history, part, answer)

    def _load_days(self, vendor: VendorBars, histories: Sequence[History]) -> None:
        """Load the daily bars from before the minutes of each history."""
        stored = self._report.daily_bars
        for history in histories:
            while part := history.next_days(clock.now(), MAX_BARS):
                step = f"daily bars of {history.symbol} before {part.stop:%Y-%m-%d}"
                request = partial(vendor.read_days, history.listing, microseconds_of(part.stop), part.size)
                if (answer := self._request_part(history, step, request)) is None:
                    break
                self._store_days(history, part, answer)
        if self._report.daily_bars > stored:
            analyze_daily_bars(self._connection)

    def _request_part(self, history: History, step: str, request: Callable[[], BarResponse]) -> BarResponse | None:
        """Return the response; None, and the failure is recorded, when there is none or the vendor is unavailable."""
        if self._failures == MAX_FAILURES:
            return None
        self._report_step(step)
        self._credits.reserved = count_due_fills(self._connection)
        try:
            answer = request()
        except NotServedError as error:
            history.refused(str(error))
        except VendorAwayError as error:
            history.failed(str(error))
            self._count_failure()
        else:
            self._failures = 0
            return answer
        self._save(history)
        return None

    def _store(self, history: History, part: Part, answer: BarResponse) -> bool:
        before = history.record
        if not history.store(self._connection, self._writer, part, answer, clock.now()):
            self._report.busy.append(history.symbol)
            return False
        self._report.bars += history.record.bars - before.bars
        self._refreshed = False
        first = history.record.fetched_from or part.stop
        self._count_loaded(max((part.stop - (part.start or first)) // MINUTE, 0))
        return True

    def _store_days(self, history: History, part: DailyPart, answer: BarResponse) -> None:
        before = history.record
        history.store_days(self._connection, part, answer, clock.now())
        self._report.daily_bars += history.record.daily_bars - before.daily_bars
        self._count_loaded((part.stop - (history.record.daily_from or part.stop)) // DAY)

    def _count_loaded(self, count: int) -> None:
        done, wanted = self._loaded
        self._loaded = (done + count, wanted)

    def _count_failure(self) -> None:
        self._failures += 1
        if self._failures == MAX_FAILURES:
            self._report.stopped = f"The vendor failed for {self._failures} symbols in a row: it is tried again later."

    def _stop(self, histories: Sequence[History], error: CandleworksError) -> None:
        """Record why what is left could not be loaded; no history fails because credits are used up."""
        self._report.stopped = str(error)
        for history in histories:
            if history.next_part(clock.now()) is None and history.next_days(clock.now()) is None:
                continue
            if isinstance(error, KeyRejectedError):
                history.failed(str(error))
            else:
                retry_at = clock.now() + RETRY
                history.record = replace(history.record, outcome="loading", reason=str(error), retry_at=retry_at)
            self._save(history)

    def _name_companies(self, histories: Sequence[History]) -> None:
        """Look up the names of symbols once; what the vendor does not list is left to `sync-companies`."""
        unnamed = {history.symbol: history for history in histories if not history.record.named}
        if wanted := unnamed.keys() - known_companies(self._connection, unnamed):
            self._report_step("names of companies")
            try:
                found = sync_companies(
                    self._settings, self._dsn, symbols=wanted, purpose="backfill", wait=self._wait_for_credits
                )
            except (NoCreditsTodayError, NoCreditsLeftError, KeyRejectedError):
                raise
            except CandleworksError as error:
                log.warning("Names of companies are looked up again later: %s", error)
                return
            self._report.named += found.stored
            self._report.credits += found.credits
        for history in unnamed.values():
            history.record = replace(history.record, named=True)
            self._save(history)

    def _postpone_names(self, histories: Sequence[History]) -> None:
        """Let a name that could not be looked up wait, also where the history is complete."""
        for history in histories:
            if not history.record.named and history.record.retry_at is None:
                history.record = replace(history.record, retry_at=clock.now() + RETRY)
                self._save(history)

    def _save(self, history: History) -> None:
        save_backfill(self._connection, history.record, clock.now())

    def _wait_for_credits(self, seconds: float) -> None:
        self._report_step(f"waiting {seconds:.0f} s for API credits")
        self._refresh()
        self._wait(seconds)

    def _refresh(self) -> None:
        if not self._refreshed:
            refresh(self._connection)
            self._refreshed = True

    def _report_step(self, step: str) -> None:
        log.info("%s", step)
        done, wanted = self._loaded
        self._progress(BackfillProgress(min(done, wanted), wanted, step))


def _planned(history: History, now: datetime) -> PlannedBackfill | None:
    """Return what is left of a history; None: nothing that can be requested now."""
    part, record = history.next_part(now), history.record
    start, stop = (part.start or record.wanted_from, part.stop) if part else (None, None)
    minutes = (stop - start) // MINUTE if start and stop else 0
    days = history.days_left(now)
    if not minutes and not days:
        return None
    days_from = record.daily_wanted_from if days else None
    return PlannedBackfill(record.feed, record.symbol, start, stop, minutes, days_from, days)


def _count_bars(history: History, now: datetime) -> int:
    planned = _planned(history, now)
    return planned.minutes + planned.days if planned else 0


def _request_bars(vendor: VendorBars, history: History, part: Part) -> BarResponse:
    if part.window is not None:
        return vendor.read(history.listing, part.window)
    return vendor.read_latest(history.listing, microseconds_of(part.stop), part.size)
