"""Imports one file as one transaction, so that there is never half of it."""

import csv
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from candleworks import clock
from candleworks.candles.refresh import refresh
from candleworks.errors import TerminalError
from candleworks.history.company_csv import is_companies, parse_companies
from candleworks.history.text import TextFile, read_text
from candleworks.history.trade_csv import is_trades, parse_trades
from candleworks.history.trade_frame import TradeImport
from candleworks.model.trades import MICROSECONDS, Rejection, moment_of
from candleworks.model.trading_day import calendar_of, zone_of
from candleworks.settings import Settings
from candleworks.storage.companies import merge_companies
from candleworks.storage.connection import Connection
from candleworks.storage.imports import ImportRecord, locked_import, read_import, save_import
from candleworks.storage.rejected import quarantine
from candleworks.storage.trades import Meeting, TradeStore, ZoneOf

ORIGIN = "file"
SHOWN_EXAMPLES = 5
LONGEST_HEADER = 10_000


@dataclass(frozen=True)
class ImportResult:
    """What became of a file. `candles` counts changed candles per level; `known` tells that it was imported before."""

    record: ImportRecord
    known: bool = False
    examples: tuple[str, ...] = ()
    candles: Counter[str] = field(default_factory=Counter)


def import_file(connection: Connection, settings: Settings, path: Path, *, again: bool = False) -> ImportResult:
    """Store a file's rows and bring the candles up to date; what is stored already is not stored again.

    A file whose content was imported before is left alone unless `again`. Raises TerminalError when the file is
    missing, unreadable or of no known format; then nothing of it is stored.
    """
    file = read_text(path)
    header = _header(file)
    run = _Run(connection, settings, file, header, clock.now_us())
    if is_trades(header):
        result = run.trades(again=again)
    elif is_companies(header):
        result = run.companies(again=again)
    else:
        raise TerminalError(
            f"{path} has the columns {_shown(header)}: expected are time,symbol,price,day_volume or symbol,name."
        )
    return ImportResult(result.record, result.known, result.examples, refresh(connection))


def _header(file: TextFile) -> list[str]:
    first_line = file.text[:LONGEST_HEADER].partition(b"\n")[0].decode(errors="replace").strip()
    return [name.strip().lower() for name in next(csv.reader([first_line]), [])]


def _shown(header: list[str]) -> str:
    text = ",".join(header)[:200]
    return text if text.isprintable() else ascii(text)


@dataclass(frozen=True)
class _Run:
    connection: Connection
    settings: Settings
    file: TextFile
    header: list[str]
    now_us: int

    def trades(self, *, again: bool) -> ImportResult:
        latest_us = self.now_us + self.settings.ingest.max_future_seconds * MICROSECONDS
        if not again and (record := read_import(self.connection, self.file.sha256)):
            return ImportResult(record, known=True)
        parsed = parse_trades(self.file.text, self.header, self.now_us, latest_us)
        store = TradeStore(self.connection, ORIGIN, self._zone_of(), parsed.resolution_us)
        trades = TradeImport(store, self.settings.calendars, self.now_us)
        trades.prepare(parsed)
        with locked_import(self.connection, self.file.sha256):
            if not again and (record := read_import(self.connection, self.file.sha256)):
                return ImportResult(record, known=True)
            meeting = trades.run(parsed)
            rejections = parsed.rejections
            if meeting.refused:
                rejections = rejections + parsed.reject(meeting.refused, store.crowded)
            bounds = (parsed.frame["stamp_us"].min(), parsed.frame["stamp_us"].max())
            first, last = (moment_of(us) if isinstance(us, int) else None for us in bounds)
            return self._save(meeting, rejections, first, last)

    def companies(self, *, again: bool) -> ImportResult:
        parsed = parse_companies(self.file.text, self.header, self.now_us)
        with locked_import(self.connection, self.file.sha256):
            if not again and (record := read_import(self.connection, self.file.sha256)):
                return ImportResult(record, known=True)
            stored = merge_companies(self.connection, parsed.rows)
            return self._save(Meeting(stored, len(parsed.rows) - stored), parsed.rejections, None, None)

    def _save(
        self, meeting: Meeting, rejections: list[Rejection], first: datetime | None, last: datetime | None
    ) -> ImportResult:
        earlier = read_import(self.connection, self.file.sha256)
        if earlier is None or earlier.rejected != len(rejections):  # the same lines need not be kept twice
            quarantine(self.connection, str(self.file.path), rejections)
        record = ImportRecord(
            path=str(self.file.path),
            sha256=self.file.sha256,
            rows=meeting.stored + meeting.duplicates + len(rejections),
            stored=meeting.stored,
            duplicates=meeting.duplicates,
            rejected=len(rejections),
            first=first,
            last=last,
            imported_at=moment_of(self.now_us),
        )
        save_import(self.connection, record)
        return ImportResult(record, examples=tuple(rejection.reason for rejection in rejections[:SHOWN_EXAMPLES]))

    def _zone_of(self) -> ZoneOf:
        calendars = self.settings.calendars

        @cache
        def zone(symbol: str) -> ZoneInfo:
            return zone_of(calendar_of(symbol, calendars))

        return zone
