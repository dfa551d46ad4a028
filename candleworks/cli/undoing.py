"""`candleworks import --undo`: imports taken back."""

from collections.abc import Sequence

import typer

from candleworks.cli.console import explain
from candleworks.imports.undo import UndoReport, undo_paths
from candleworks.runtime.database import migrated
from candleworks.settings import Settings
from candleworks.wording import counted_levels


def undo_imports(settings: Settings, paths: Sequence[str], *, dry_run: bool) -> None:
    """Take back the imports of these files, and print what became of each."""
    reports = []
    with migrated(settings, "import --undo") as connection:
        for report in undo_paths(connection, settings, paths, dry_run=dry_run):
            _show(report, dry_run=dry_run)
            reports.append(report)
    if failed := [report.error for report in reports if report.error is not None]:
        raise typer.Exit(max(error.exit_code for error in failed))


def _show(report: UndoReport, *, dry_run: bool) -> None:
    if report.error is not None:
        explain(report.error)
    if report.undone is None:
        return
    typer.echo(report.sentence(dry_run=dry_run))
    if candles := counted_levels(report.undone.candles):
        typer.echo(f"{report.path}: candles changed: {candles}")
    for name in report.undone.reopened:
        typer.echo(f"{report.path}: {name} may have met its ticks; the next import of that file reads it again")
