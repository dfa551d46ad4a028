"""Undoes imports: removes what they stored, restores what they replaced, and refreshes candles."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from candleworks.candles.bar_writer import BarWriter
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, is_outage
from candleworks.errors import CandleworksError, TerminalError, UsageError
from candleworks.imports.files import sources_within
from candleworks.imports.reading import Reading
from candleworks.imports.report import REMOVAL, FileProgress, OnProgress, candle_progress, ignore_progress
from candleworks.model.trades import microseconds_of
from candleworks.model.trading_day import trading_day, zone_lookup
from candleworks.settings import Settings
from candleworks.storage.candles import dropped_until
from candleworks.storage.imports import (
    QUOTES,
    TRADES,
    UNDONE,
    ImportRecord,
    Runs,
    TickRemoval,
    find_imports,
    forget_import,
    forget_replaced_bars,
    forget_shared_totals,
    locked_import,
    read_import,
    read_runs,
    remove_quote_bar_sides,
    reopen_imports,
    restore_quote_bars,
    restore_vendor_bars,
)
from candleworks.storage.trades import Day, TradeStore
from candleworks.wording import counted

_Days = dict[str, set[tuple[datetime, datetime]]]
_END_OF_BAR = timedelta(microseconds=1)


@dataclass(frozen=True)
class UndoResult:
    """Counts of removed ticks and bars, restored bars, and deleted rejected lines.

    `reopened` are files that were imported later and may have been compared with these ticks; they are read again the
    next time. `candles` counts changed candles per level.
    """

    ticks: int
    bars: int
    restored: int
    rejected: int
    reopened: tuple[str, ...] = ()
    candles: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        parts = [
            counted(count, what)
            for count, what in (
                (self.ticks, "tick removed"),
                (self.bars, "bar removed"),
                (self.restored, "bar restored"),
                (self.rejected, "rejected line deleted"),
            )
            if count
        ]
        return ", ".join(parts) or "nothing was stored"


@dataclass(frozen=True)
class UndoReport:
    """The result for a path, an archive's member or a directory's file, or the error."""

    path: str
    undone: UndoResult | None = None
    error: CandleworksError | None = None

    def sentence(self, *, dry_run: bool) -> str:
        """Return the report as a sentence."""
        if self.undone is None:
            return str(self.error)
        return f"{self.path}: {'would be undone' if dry_run else 'undone'}, {self.undone}"


def check_undo(reading: Reading, *, again: bool) -> None:
    """Raise UsageError for options of an import."""
    if again or reading != Reading():
        raise UsageError("--undo does not depend on how the files were imported: leave out the options of the import.")


def undo_paths(
    connection: Connection,
    settings: Settings,
    paths: Iterable[str | Path],
    *,
    dry_run: bool = False,
    progress: OnProgress = ignore_progress,
) -> Iterator[UndoReport]:
    """Undo the imports of these files, or of these names where the files no longer exist; yield a report for each.

    Needs a connection in autocommit mode. An import is undone completely or not at all; `dry_run` counts without
    changing anything. A file that was not imported is reported and does not stop the others; a lost connection to the
    database does.
    """
    for path in paths:
        for report in _undo_path(connection, settings, path, progress, dry_run=dry_run):
            if report.error is not None and is_outage(report.error):
                raise report.error
            yield report


def _undo_path(
    connection: Connection, settings: Settings, path: str | Path, progress: OnProgress, *, dry_run: bool
) -> Iterator[UndoReport]:
    for sha256 in [] if Path(path).exists() else find_imports(connection, str(path)):
        yield _report(_Undo(connection, settings, str(path), sha256, dry_run, progress))
        return
    for source in sources_within(path):
        try:
            with source.opened() as content:
                sha256 = content.sha256
        except CandleworksError as error:
            yield UndoReport(source.name, error=error)
        else:
            yield _report(_Undo(connection, settings, source.name, sha256, dry_run, progress))


def _report(undo: "_Undo") -> UndoReport:
    try:
        return UndoReport(undo.name, undo.run())
    except CandleworksError as error:
        return UndoReport(undo.name, error=error)


@dataclass(frozen=True)
class _Undo:
    connection: Connection
    settings: Settings
    name: str
    sha256: str
    dry_run: bool
    progress: OnProgress

    def run(self) -> UndoResult:
        with locked_import(self.connection, self.sha256):
            record = self._record()
            self.progress(FileProgress(self.name, 0, 0.0, REMOVAL))
            with self.connection.transaction(force_rollback=self.dry_run):
                undone = self._undo(record, self._runs(record))
        if self.dry_run:
            return undone
        progress = candle_progress(self.name, 0, self.progress)
        return replace(undone, candles=refresh(self.connection, progress))

    def _record(self) -> ImportRecord:
        record = read_import(self.connection, self.sha256)
        if record is None:
            raise TerminalError(f"{self.name} was not imported into this database: there is nothing to undo.")
        if record.status == UNDONE:
            raise TerminalError(f"{self.name} was undone already: there is nothing left of its import.")
        return record

    def _runs(self, record: ImportRecord) -> Runs:
        runs = read_runs(self.connection, self.sha256)
        if runs is None:
            raise self._impossible("retention has dropped ticks of its time, and their candles are kept")
        if runs.first is None and record.stored:
            raise self._impossible(
                "an import of companies does not keep the rows that it replaces; import the previous list"
            )
        for table in (TRADES, QUOTES):
            stop = dropped_until(self.connection, table, runs.first, runs.last) if runs.first is not None else None
            if stop is not None:
                raise self._impossible(
                    f"retention has dropped ticks of {table} before {stop:%Y-%m-%d}, whose candles are kept"
                )
        return runs

    def _impossible(self, reason: str) -> TerminalError:
        return TerminalError(f"{self.name} cannot be undone exactly, so nothing was changed: {reason}.")

    def _undo(self, record: ImportRecord, runs: Runs) -> UndoResult:
        ticks = bars = restored = 0
        if runs.first is not None:
            ticks, bars, restored = self._undo_ticks(runs)
            bars += forget_replaced_bars(self.connection, self.sha256, runs)
        if record.stored and not ticks and not bars:
            raise self._impossible(
                f"none of its {counted(record.stored, 'tick')} has the received_at of its import (ticks exported by"
                " candleworks keep their received_at)"
            )
        reopened = reopen_imports(self.connection, self.sha256, runs)
        rejected = forget_import(self.connection, record, runs.received_at)
        return UndoResult(ticks, bars, restored, rejected, tuple(reopened))

    def _undo_ticks(self, runs: Runs) -> tuple[int, int, int]:
        """Remove ticks and bars and restore what they replaced; return the counts of removed and restored ones."""
        ticks, bars, days = self._remove_trades(TickRemoval(self.connection, TRADES, runs))
        forget_shared_totals(self.connection, runs)
        quotes = TickRemoval(self.connection, QUOTES, runs)
        ticks += sum(quotes.remove_ticks(symbol) for symbol in quotes.symbols())
        bars += remove_quote_bar_sides(self.connection, runs)
        restored = restore_vendor_bars(self.connection, self.sha256)
        for symbol, start, stop in restored:
            days.setdefault(symbol, set()).update(self._day(symbol, at) for at in (start, stop - _END_OF_BAR))
        self._recompute(days, restored)
        return ticks, bars, len(restored) + restore_quote_bars(self.connection, self.sha256)

    def _remove_trades(self, removal: TickRemoval) -> tuple[int, int, _Days]:
        ticks, bars, days = 0, 0, _Days()
        for symbol in removal.symbols():
            removed = removal.remove_vendor_bars(symbol)
            ticks += removal.remove_ticks(symbol)
            bars += removed.bars
            days[symbol] = {self._day(symbol, time) for _, time, _ in removed.ticks}
            days[symbol].update(removal.removed_days(self._zone_of(symbol)))
        return ticks, bars, days

    def _recompute(self, days: _Days, restored: Sequence[tuple[str, datetime, datetime]]) -> None:
        """Recompute running totals and volumes from what is left, those of the first known day too."""
        store = TradeStore(self.connection, "", self._zone_of)
        writer = BarWriter(self.connection, self._zone_of)
        changed = store.replace_bars(restored)
        for symbol, its_days in days.items():
            for start, end in sorted(its_days):
                changed += writer.continue_totals(symbol, (start, end), microseconds_of(start))
        first_days = {symbol: {self._day(symbol, time)} for symbol, time in store.oldest(set(days)).items()}
        for symbol, its_days in days.items():
            changed += [
                Day(symbol, start, end, start, end, float("inf"))
                for start, end in its_days | first_days.get(symbol, set())
            ]
        store.recompute_volumes(changed)

    def _day(self, symbol: str, time: datetime) -> tuple[datetime, datetime]:
        return trading_day(time, self._zone_of(symbol))

    def _zone_of(self, symbol: str) -> ZoneInfo:
        return zone_lookup(self.settings.calendars)(symbol)
