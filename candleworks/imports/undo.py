"""Takes imports back: what they stored goes, what they replaced returns, and candles follow."""

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
from candleworks.imports.formats import Reading
from candleworks.model.trades import microseconds_of
from candleworks.model.trading_day import calendar_of, trading_day, zone_of
from candleworks.settings import Settings
from candleworks.storage.candles import retention_horizon
from candleworks.storage.imports import UNDONE, ImportRecord, locked_import, read_import
from candleworks.storage.trades import Day, TradeStore
from candleworks.storage.undo import (
    QUOTES,
    TRADES,
    Removal,
    Runs,
    find_imports,
    forget_import,
    forget_replaced_bars,
    read_runs,
    remove_quote_bar_sides,
    reopen_imports,
    restore_quote_bars,
    restore_vendor_bars,
)
from candleworks.wording import counted

_Days = dict[str, set[tuple[datetime, datetime]]]
_END_OF_BAR = timedelta(microseconds=1)


@dataclass(frozen=True)
class Undone:
    """What was taken back: how many ticks and bars were removed, replaced bars returned, rejected lines forgotten.

    `reopened` are files that were imported later and may have met these ticks; they are read again the next time.
    `candles` counts changed candles per level.
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
                (self.rejected, "line no longer quarantined"),
            )
            if count
        ]
        return ", ".join(parts) or "nothing was stored"


@dataclass(frozen=True)
class UndoReport:
    """What became of a path, an archive's member or a directory's file: what was undone, or why nothing was."""

    path: str
    undone: Undone | None = None
    error: CandleworksError | None = None

    def sentence(self, *, dry_run: bool) -> str:
        """Say what became of it."""
        if self.undone is None:
            return str(self.error)
        return f"{self.path}: {'would be taken back' if dry_run else 'taken back'}, {self.undone}"


def check_undo(reading: Reading, *, again: bool) -> None:
    """Refuse options that say how to import; UsageError."""
    if again or reading != Reading():
        raise UsageError(
            "Undo takes back whatever the files were imported as: leave out options that say how to import."
        )


def undo_paths(
    connection: Connection, settings: Settings, paths: Iterable[str | Path], *, dry_run: bool = False
) -> Iterator[UndoReport]:
    """Take back the imports of these files, or of the names that they had where they are gone; yield a report each.

    The connection has to be in autocommit mode. An import is taken back whole or not at all; `dry_run` counts without
    changing anything. A file that was not imported is reported and does not stop the others; a lost database does.
    """
    for path in paths:
        for report in _undo_path(connection, settings, path, dry_run=dry_run):
            if report.error is not None and is_outage(report.error):
                raise report.error
            yield report


def _undo_path(connection: Connection, settings: Settings, path: str | Path, *, dry_run: bool) -> Iterator[UndoReport]:
    for sha256 in [] if Path(path).exists() else find_imports(connection, str(path)):
        yield _report(_Undo(connection, settings, str(path), sha256, dry_run))
        return
    for source in sources_within(path):
        try:
            with source.opened() as content:
                sha256 = content.sha256
        except CandleworksError as error:
            yield UndoReport(source.name, error=error)
        else:
            yield _report(_Undo(connection, settings, source.name, sha256, dry_run))


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

    def run(self) -> Undone:
        with locked_import(self.connection, self.sha256):
            record = self._record()
            with self.connection.transaction(force_rollback=self.dry_run):
                undone = self._undo(record, self._runs(record))
        return undone if self.dry_run else replace(undone, candles=refresh(self.connection))

    def _record(self) -> ImportRecord:
        record = read_import(self.connection, self.sha256)
        if record is None:
            raise TerminalError(f"{self.name} was not imported into this database: there is nothing to take back.")
        if record.status == UNDONE:
            raise TerminalError(f"{self.name} was taken back already: there is nothing left of its import.")
        return record

    def _runs(self, record: ImportRecord) -> Runs:
        runs = read_runs(self.connection, self.sha256)
        if runs is None:
            raise self._refusal("retention has dropped ticks of its time, and their candles stay")
        if runs.first is None and record.stored:
            raise self._refusal("a list of companies replaces entries without keeping them; import the former list")
        for table in (TRADES, QUOTES):
            horizon = retention_horizon(self.connection, table)
            if horizon is not None and runs.first is not None and runs.first < horizon:
                raise self._refusal(
                    f"retention has dropped ticks of {table} before {horizon:%Y-%m-%d}, and its candles stay"
                )
        return runs

    def _refusal(self, reason: str) -> TerminalError:
        return TerminalError(f"{self.name} cannot be taken back exactly, so nothing was changed: {reason}.")

    def _undo(self, record: ImportRecord, runs: Runs) -> Undone:
        ticks = bars = restored = 0
        if runs.first is not None:
            ticks, bars, restored = self._undo_ticks(runs)
            bars += forget_replaced_bars(self.connection, self.sha256, runs)
        if record.stored and not ticks and not bars:
            raise self._refusal(
                f"none of its {counted(record.stored, 'tick')} has the mark of its import (ticks that were exported by"
                " candleworks keep the arrival that they had)"
            )
        reopened = reopen_imports(self.connection, self.sha256, runs)
        rejected = forget_import(self.connection, record, runs.received_at)
        return Undone(ticks, bars, restored, rejected, tuple(reopened))

    def _undo_ticks(self, runs: Runs) -> tuple[int, int, int]:
        """Remove ticks and bars and bring back what they replaced; return how many of each."""
        ticks, bars, days = self._remove_trades(Removal(self.connection, TRADES, runs))
        quotes = Removal(self.connection, QUOTES, runs)
        ticks += sum(quotes.remove_ticks(symbol) for symbol in quotes.symbols())
        bars += remove_quote_bar_sides(self.connection, runs)
        restored = restore_vendor_bars(self.connection, self.sha256)
        for symbol, start, stop in restored:
            days.setdefault(symbol, set()).update(self._day(symbol, at) for at in (start, stop - _END_OF_BAR))
        self._settle(days, restored)
        return ticks, bars, len(restored) + restore_quote_bars(self.connection, self.sha256)

    def _remove_trades(self, removal: Removal) -> tuple[int, int, _Days]:
        ticks, bars, days = 0, 0, _Days()
        for symbol in removal.symbols():
            removed = removal.remove_vendor_bars(symbol)
            ticks += removal.remove_ticks(symbol)
            bars += removed.bars
            days[symbol] = {self._day(symbol, time) for _, time, _ in removed.ticks}
            days[symbol].update(removal.removed_days(self._zone_of(symbol)))
        return ticks, bars, days

    def _settle(self, days: _Days, restored: Sequence[tuple[str, datetime, datetime]]) -> None:
        """Let running totals and volumes follow from what is left, those of the first known day too."""
        store = TradeStore(self.connection, "", self._zone_of)
        writer = BarWriter(self.connection, self._zone_of)
        changed = store.replace_bars(restored)
        for symbol, its_days in days.items():
            for start, end in sorted(its_days):
                changed += writer.lay_again(symbol, (start, end), microseconds_of(start))
        first_days = {symbol: {self._day(symbol, time)} for symbol, time in store.oldest(set(days)).items()}
        for symbol, its_days in days.items():
            changed += [
                Day(symbol, start, end, start, end, float("inf"))
                for start, end in its_days | first_days.get(symbol, set())
            ]
        store.recompute_volumes(changed)

    def _day(self, symbol: str, moment: datetime) -> tuple[datetime, datetime]:
        return trading_day(moment, self._zone_of(symbol))

    def _zone_of(self, symbol: str) -> ZoneInfo:
        return zone_of(calendar_of(symbol, self.settings.calendars))
