"""Imports files chunk by chunk: memory is bounded, and an interrupted import resumes where it was."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from polars.exceptions import PanicException

from candleworks import clock
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, is_outage
from candleworks.errors import CandleworksError, TerminalError, UsageError
from candleworks.imports.bars import as_text, with_interval
from candleworks.imports.chunk_writer import ORIGIN, TickImport
from candleworks.imports.chunks import Reader, TextData, TextReader
from candleworks.imports.company_csv import parse_companies
from candleworks.imports.files import Content, Source, sources_of, sources_within
from candleworks.imports.formats import TextLayout, text_layout
from candleworks.imports.reading import Reading, RowType, check_reading
from candleworks.imports.report import (
    FileProgress,
    FileReport,
    ImportResult,
    OnProgress,
    Tally,
    candle_progress,
    ignore_progress,
)
from candleworks.imports.tables import table_reader
from candleworks.imports.validation import Bounds, bounds_at
from candleworks.model.bars import period_of
from candleworks.model.notices import Notice, Notify, ignore
from candleworks.model.trades import microseconds_of
from candleworks.model.trading_day import zone_lookup
from candleworks.settings import Settings
from candleworks.storage.companies import merge_companies
from candleworks.storage.imports import (
    IMPORTED,
    ImportRecord,
    begin_run,
    keeping_replaced_bars,
    locked_import,
    read_import,
    read_progress,
    save_import,
)
from candleworks.storage.rejected import quarantine

__all__ = ["ORIGIN", "FileReport", "ImportResult", "Reading", "import_file", "import_paths"]

HEAD_BYTES = 65_536
DEFAULT_READING = Reading()


def import_paths(
    connection: Connection,
    settings: Settings,
    paths: Iterable[str | Path],
    reading: Reading = DEFAULT_READING,
    *,
    again: bool = False,
    dry_run: bool = False,
    progress: OnProgress = ignore_progress,
    notify: Notify = ignore,
) -> Iterator[FileReport]:
    """Import files, directories, patterns and archives; yield a report for each file when it is done.

    Needs a connection in autocommit mode. A content that was imported before is skipped unless `again`; `dry_run`
    reads, compares and counts without storing. A file that cannot be imported is reported and does not stop the others;
    a lost connection to the database does.
    """
    check_reading(reading)
    importer = _Importer(connection, settings, reading, again, dry_run, _ProgressCallback(progress))
    for path in paths:
        for source in sources_within(path):
            report = importer.report(source)
            if report.result is not None and not report.result.known and not dry_run:
                notify(_finished(report.path, report.result))
            yield report


def import_file(
    connection: Connection,
    settings: Settings,
    path: Path,
    reading: Reading = DEFAULT_READING,
    *,
    again: bool = False,
    dry_run: bool = False,
) -> ImportResult:
    """Import one file; TerminalError when it is missing, unreadable or of an unknown format."""
    check_reading(reading)
    sources = sources_of(path)
    if len(sources) != 1:
        raise UsageError(f"{path} stands for {len(sources)} files: use import_paths.")
    return _Importer(connection, settings, reading, again, dry_run, _ProgressCallback(ignore_progress)).result(
        sources[0]
    )


def _finished(path: str, result: ImportResult) -> Notice:
    record = result.record
    counts = {name: getattr(record, name) for name in ("rows", "stored", "duplicates", "rejected")}
    bounds = {name: getattr(record, name) and getattr(record, name).isoformat() for name in ("first", "last")}
    return Notice("import.finished", path, {**counts, **bounds, "sha256": record.sha256, "format": result.format})


def _command_line(options: Mapping[str, Any]) -> str:
    """Return options as on the command line."""
    given = [f"--{each.name} {_option(value)}" for each in fields(Reading) if (value := options[each.name]) is not None]
    return " ".join(given) or "no options"


def _option(value: object) -> str:
    if isinstance(value, Mapping):
        value = ",".join(f"{ours}={theirs}" for ours, theirs in sorted(value.items()))
    return shlex.quote(str(value))


def _unexpected(name: str, error: BaseException) -> TerminalError:
    """Describe an unforeseen error, with its traceback as the cause."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    described = TerminalError(f"{name} cannot be imported ({reason}): check the file, or see --debug.")
    described.__cause__ = error
    return described


@dataclass
class _ProgressCallback:
    """Calls back with progress; an exception that the callback raises is not an error of the file."""

    report: OnProgress
    raised: Exception | None = None

    def __call__(self, progress: FileProgress) -> None:
        try:
            self.report(progress)
        except Exception as error:
            self.raised = error
            raise


@dataclass(frozen=True)
class _Importer:
    connection: Connection
    settings: Settings
    reading: Reading
    again: bool
    dry_run: bool
    progress: _ProgressCallback

    def report(self, source: Source) -> FileReport:
        try:
            return FileReport(source.name, self.result(source))
        except CandleworksError as error:
            if is_outage(error):
                raise
            return FileReport(source.name, error=error)
        except (Exception, PanicException) as error:
            # Broad on purpose: parsers of CSV, Parquet, zip and zstd raise many kinds of errors on broken files, and
            # one broken file must not stop the import of the others. The cause is kept for --debug.
            if is_outage(error) or error is self.progress.raised:
                raise
            return FileReport(source.name, error=_unexpected(source.name, error))

    def result(self, source: Source) -> ImportResult:
        with (
            source.opened() as content,
            locked_import(self.connection, content.sha256),
            keeping_replaced_bars(self.connection, content.sha256),
        ):
            record = read_import(self.connection, content.sha256)
            if record is not None and record.status == IMPORTED and not (self.again or record.is_unusable):
                self._require_same_options(content, record)
                result = ImportResult(record, known=True)
            else:
                result = self._imported(content, record)
            if self.dry_run:
                return result
            progress = candle_progress(content.name, result.record.rows, self.progress)
            return replace(result, candles=refresh(self.connection, progress))

    def _require_same_options(self, content: Content, record: ImportRecord) -> None:
        """Raise TerminalError for a content imported with other options, which may give its rows another meaning."""
        if record.options in (None, self._options):
            return
        raise TerminalError(
            f"{content.name} was imported on {record.imported_at:%Y-%m-%d %H:%M} UTC with"
            f" {_command_line(record.options)}, not with {_command_line(self._options)}: undo that import first with"
            " --undo, or import its rows in addition with --again."
        )

    @property
    def _options(self) -> dict[str, Any]:
        return asdict(self.reading)

    def _imported(self, content: Content, known: ImportRecord | None) -> ImportResult:
        now = clock.now()
        if not self.dry_run:
            now = begin_run(self.connection, content.sha256, now)
        bounds = bounds_at(microseconds_of(now), self.settings)
        tally = Tally(content.name, content.sha256, now, self._options)
        with as_text(content, self.reading) as (plain, reading):
            return self._read(plain, reading, tally, bounds, known)

    def _read(
        self, content: Content, reading: Reading, tally: Tally, bounds: Bounds, known: ImportRecord | None
    ) -> ImportResult:
        if content.kind != "text":
            return self._ticks(content, table_reader(content, bounds, reading), tally, bounds, known)
        with content.path.open("rb") as file:
            file.seek(content.start)
            head = file.read(HEAD_BYTES)
        layout = text_layout(content.name, head, reading)
        if layout.row_type is RowType.COMPANIES:
            return self._companies(content, layout, tally, bounds, known)
        header_bytes = len(head.split(b"\n", 1)[0]) + 1 if layout.header_lines else 0
        data = TextData(content, min(header_bytes, content.size - content.start), layout.header_lines)
        reader = TextReader(data, layout, bounds)
        if layout.row_type.is_bars:
            reader = with_interval(reader)
        return self._ticks(content, reader, tally, bounds, known)

    def _ticks(
        self, content: Content, reader: Reader, tally: Tally, bounds: Bounds, known: ImportRecord | None
    ) -> ImportResult:
        state = self._interrupted(content, known)
        ticks = TickImport(
            connection=self.connection,
            zone_of=zone_lookup(self.settings.calendars),
            reader=reader,
            tally=tally,
            received_us=bounds.received_us,
            dry_run=self.dry_run,
            quarantine_once=known is not None and state is None,
            interval_us=reader.interval_us,
        )
        if state is not None and known is not None:
            ticks.resume(known, state)
        for done in ticks.run():
            self.progress(FileProgress(content.name, ticks.tally.rows, done / content.size))
        record = ticks.tally.record(IMPORTED)
        if not self.dry_run:
            with self.connection.transaction():
                save_import(self.connection, record)
        return ImportResult(
            record,
            examples=tuple(ticks.tally.examples),
            format=reader.format,
            ambiguous=ticks.tally.ambiguous,
            resumed=state is not None,
            bars=period_of(reader.interval_us) if reader.interval_us else "",
        )

    def _interrupted(self, content: Content, known: ImportRecord | None) -> Mapping[str, Any] | None:
        """Return the reader's state of an interrupted import with the same options, None: there is none."""
        if self.again or self.dry_run or known is None or known.options != self._options:
            return None
        return read_progress(self.connection, content.sha256)

    def _companies(
        self, content: Content, layout: TextLayout, tally: Tally, bounds: Bounds, known: ImportRecord | None
    ) -> ImportResult:
        text = content.path.read_bytes()[content.start :]
        header = [name or "" for name in layout.columns]
        parsed = parse_companies(text, header, bounds.received_us)
        with self.connection.transaction(force_rollback=self.dry_run):
            stored = merge_companies(self.connection, parsed.rows)
            tally.add(stored, len(parsed.rows) - stored, parsed.rejections)
            quarantine(self.connection, content.name, parsed.rejections, once=known is not None)
            save_import(self.connection, tally.record(IMPORTED))
        return ImportResult(tally.record(IMPORTED), examples=tuple(tally.examples), format=layout.format)
