"""The tables and lines that `candleworks import` prints."""

from collections.abc import Sequence

import typer
from rich.table import Table

from candleworks.cli.console import wide_console
from candleworks.imports.report import FileReport, ImportResult
from candleworks.wording import counted

_HEADINGS = ("file", "read", "stored", "duplicates", "rejected", "first tick", "last tick", "candles")


def show_imports(reports: Sequence[FileReport], *, dry_run: bool) -> None:
    """Print a table of all files, or the counts of a single one, then what is special about each."""
    results = [(report.path, report.result) for report in reports if report.result is not None]
    for path, result in results:
        if result.known:
            before = result.record.path
            typer.echo(f"{path}: imported before as {before}, nothing to do (--again imports it again)")
    done = [(path, result) for path, result in results if not result.known]
    if not done:
        return
    subject = done[0][0] if len(done) == 1 else f"{len(done)} files"
    typer.echo(f"{subject}: {'not stored (--dry-run)' if dry_run else 'imported'}")
    wide_console().print(_single(*done[0]) if len(done) == 1 else _several(done))
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
        return f"{stored} wait for the other side, bid or ask"
    return f"{stored} stored, their candles are marked as rebuilt"


def _explain(path: str, result: ImportResult, *, dry_run: bool) -> None:
    if result.bars:
        typer.echo(f"{path}: {_bars(result, dry_run=dry_run)}")
    if result.resumed:
        typer.echo(f"{path}: resumed an interrupted import")
    if result.ambiguous:
        times = counted(result.ambiguous, "ambiguous time", "ambiguous times")
        typer.echo(f"{path}: {times} of a clock change resolved by the order of rows")
    for example in result.examples:
        typer.echo(f"{path}: {example}")
    if more := result.record.rejected - len(result.examples):
        typer.echo(f"{path}: and {more:,} more rejected rows: see `candleworks rejected list`")
