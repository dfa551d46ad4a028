"""What `candleworks import` shows: progress while it runs, one table afterwards."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from candleworks import clock
from candleworks.imports.report import FileReport, ImportResult
from candleworks.imports.report import Progress as Told
from candleworks.wording import counted

PLAIN_INTERVAL_SECONDS = 2.0
_HEADINGS = ("file", "read", "stored", "duplicates", "rejected", "first tick", "last tick", "candles")


class ImportProgress:
    """A bar on a terminal, else a line every two seconds; nothing where an import is over before that."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._name = ""
        self._began = self._last = clock.monotonic()
        self._rows_before = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def tell(self, told: Told) -> None:
        now = clock.monotonic()
        if told.name != self._name:
            self._name, self._began, self._last, self._rows_before = told.name, now, now, told.rows
        rate = (told.rows - self._rows_before) / max(now - self._began, 1e-9)
        if now - self._began < PLAIN_INTERVAL_SECONDS:
            return
        if Console(stderr=True).is_terminal:
            self._draw(told, rate)
        elif now - self._last >= PLAIN_INTERVAL_SECONDS:
            self._last = now
            left = (now - self._began) * (1 - told.fraction) / max(told.fraction, 1e-9)
            typer.echo(
                f"{told.name}: {told.rows:,} rows, {rate:,.0f} rows/s, {told.fraction:.0%}, about {left:,.0f} s left",
                err=True,
            )

    def _draw(self, told: Told, rate: float) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[speed]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(told.name, total=1.0, speed="")
        if self._task is not None:
            self._bar.update(self._task, completed=told.fraction, speed=f"{rate:,.0f} rows/s")

    def end(self) -> None:
        """Take the bar away; the next file gets its own."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._task, self._name = None, None, ""


def show(reports: Sequence[FileReport], *, dry_run: bool) -> None:
    """Print what became of the files: one below the other where there are several, else its figures so."""
    results = [(report.path, report.result) for report in reports if report.result is not None]
    for path, result in results:
        if result.known:
            before = result.record.path
            typer.echo(f"{path}: imported before as {before}, nothing to do (--again imports it once more)")
    done = [(path, result) for path, result in results if not result.known]
    if not done:
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    subject = done[0][0] if len(done) == 1 else f"{len(done)} files"
    typer.echo(f"{subject}: {'read, but not stored (--dry-run)' if dry_run else 'imported'}")
    console.print(_single(*done[0]) if len(done) == 1 else _several(done))
    for path, result in done:
        _explain(path, result, dry_run=dry_run)


def _single(path: str, result: ImportResult) -> Table:
    table = Table(show_header=False)
    for heading, cell in zip(_HEADINGS[1:], _cells(path, result)[1:], strict=True):
        if cell:
            table.add_row(heading, cell)
    return table


def _several(done: Sequence[tuple[str, ImportResult]]) -> Table:
    table = Table(show_footer=True)
    for index, heading in enumerate(_HEADINGS):
        names = ("rows", "stored", "duplicates", "rejected")
        total = f"{sum(getattr(r.record, names[index - 1]) for _, r in done):,}" if 1 <= index <= len(names) else ""
        justify = "right" if total else "left"
        table.add_column(heading, total or ("total" if index == 0 else ""), justify=justify, overflow="fold")  # type: ignore[arg-type]
    for path, result in done:
        table.add_row(*_cells(path, result))
    return table


def _cells(path: str, result: ImportResult) -> tuple[str, ...]:
    record = result.record
    counts = (f"{getattr(record, name):,}" for name in ("rows", "stored", "duplicates", "rejected"))
    bounds = (f"{each:%Y-%m-%d %H:%M:%S} UTC" if each else "" for each in (record.first, record.last))
    candles = ", ".join(f"{count:,} of {level}" for level, count in result.candles.items())
    return (path, *counts, *bounds, candles or ("none" if record.first else ""))


def _bars(result: ImportResult, *, dry_run: bool) -> str:
    stored = f"{counted(result.record.stored, 'bar')} of {result.bars}"
    if dry_run or not result.record.stored:
        return stored
    if not result.candles:
        return f"{stored} wait for those of the other side, bid or ask"
    return f"{stored} stored, marked as rebuilt in the candles"


def _explain(path: str, result: ImportResult, *, dry_run: bool) -> None:
    if result.bars:
        typer.echo(f"{path}: {_bars(result, dry_run=dry_run)}")
    if result.resumed:
        typer.echo(f"{path}: went on where an interrupted import was")
    if result.ambiguous:
        typer.echo(f"{path}: {result.ambiguous:,} times of an hour that the clock told twice were told by their order")
    for example in result.examples:
        typer.echo(f"{path}: {example}")
    if more := result.record.rejected - len(result.examples):
        typer.echo(f"{path}: and {more:,} more, all in rejected_ticks")
