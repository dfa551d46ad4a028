"""Commands that store files and lists: `import`, its --undo, and `sync-companies`."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from candleworks.candles.refresh import REFRESHED
from candleworks.cli.console import report_to_stderr
from candleworks.cli.import_report import show_imports
from candleworks.cli.program import explain
from candleworks.cli.progress import ProgressDisplay
from candleworks.database.engine import engine_of
from candleworks.imports.companies import CompanyReport
from candleworks.imports.companies import sync_companies as fill_companies
from candleworks.imports.reading import FORMATS, Reading, column_mapping
from candleworks.imports.report import FileProgress
from candleworks.imports.undo import UndoReport, check_undo, undo_paths
from candleworks.libraries import file_libraries
from candleworks.runtime.database import prepared, writing
from candleworks.settings import Settings, load_settings
from candleworks.wording import counted_levels

SHOWN_NAMES = 20

Paths = Annotated[
    list[str],
    typer.Argument(help="Files, directories, quoted patterns, archives, or - for standard input.", metavar="PATH..."),
]
Columns = Annotated[
    str | None,
    typer.Option(
        help="Which columns to read, by header name or by number from 1: time=Date,bid=Bid,ask=Ask or"
        " time=1,price=2,volume=3; volume is the size of a trade, day_volume a running total."
    ),
]
Timezone = Annotated[str | None, typer.Option(help="Time zone of times without a UTC offset, such as Europe/Zurich.")]
Undo = Annotated[
    bool, typer.Option("--undo", help="Remove what importing these files stored, and restore the bars it replaced.")
]


def import_files(
    paths: Paths,
    format: Annotated[str | None, typer.Option(help=f"File format: {', '.join(FORMATS)}.")] = None,  # noqa: A002
    symbol: Annotated[
        str | None, typer.Option(help="Symbol of the ticks if no column has it; otherwise import only this symbol.")
    ] = None,
    timezone: Timezone = None,
    columns: Columns = None,
    digits: Annotated[int | None, typer.Option(min=0, max=15, help="Round prices to this many decimal places.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Import files whose content was imported before.")] = False,
    undo: Undo = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read, compare and count, without storing.")] = False,
) -> None:
    """Import ticks, bars or companies from files.

    CSV, Parquet and Arrow files are read, plain or compressed with gzip, zstd or zip. The format is detected from the
    header and the first rows. Ticks that are stored already are not stored again, and an interrupted import resumes.
    Rejected rows are kept in rejected_ticks.
    """
    settings = load_settings()
    reading = Reading(format, symbol, timezone, column_mapping(columns), digits)
    if undo:
        check_undo(reading, again=again)
        _undo_imports(settings, paths, dry_run=dry_run)
    else:
        _import_files(settings, paths, reading, again=again, dry_run=dry_run)


def _import_files(settings: Settings, paths: Sequence[str], reading: Reading, *, again: bool, dry_run: bool) -> None:
    with file_libraries():
        from candleworks.imports.importer import import_paths  # noqa: PLC0415 - it needs the libraries
    reports = []
    with (
        writing(settings, "import", create="embedded", report=report_to_stderr) as connection,
        ProgressDisplay("rows") as progress,
    ):
        try:
            for report in import_paths(
                connection,
                settings,
                paths,
                reading,
                again=again,
                dry_run=dry_run,
                progress=lambda at: _show_progress(progress, at),
            ):
                progress.end()
                if report.failure is not None:
                    explain(report.failure)
                reports.append(report)
        except KeyboardInterrupt:
            progress.end()
            typer.echo("Interrupted: run the same command again to resume.", err=True)
            raise typer.Exit(1) from None
    show_imports(reports, dry_run=dry_run)
    if failed := [report.failure for report in reports if report.failure is not None]:
        raise typer.Exit(max(error.exit_code for error in failed))


def _undo_imports(settings: Settings, paths: Sequence[str], *, dry_run: bool) -> None:
    reports = []
    with writing(settings, "import --undo") as connection, ProgressDisplay("rows") as progress:
        for report in undo_paths(
            connection, settings, paths, dry_run=dry_run, progress=lambda at: _show_progress(progress, at)
        ):
            progress.end()
            _show_undo(report, REFRESHED[engine_of(connection)], dry_run=dry_run)
            reports.append(report)
    if failed := [report.error for report in reports if report.error is not None]:
        raise typer.Exit(max(error.exit_code for error in failed))


def _show_progress(progress: ProgressDisplay, at: FileProgress) -> None:
    if at.stage:
        progress.show(f"{at.name}: {at.stage}", None, at.fraction)
    else:
        progress.show(at.name, at.rows, at.fraction)


def _show_undo(report: UndoReport, counted_as: str, *, dry_run: bool) -> None:
    if report.error is not None:
        explain(report.error)
    if report.undone is None:
        return
    typer.echo(report.sentence(dry_run=dry_run))
    if candles := counted_levels(report.undone.candles):
        typer.echo(f"{report.path}: candles {counted_as}: {candles}")
    for name in report.undone.reopened:
        typer.echo(f"{report.path}: {name} may contain the same ticks; its next import reads it again")


def sync_companies(
    file: Annotated[
        Path | None,
        typer.Argument(help="CSV with symbol,name and optionally exchange,currency,type, instead of the vendor."),
    ] = None,
    *,
    exchange: Annotated[str | None, typer.Option(help="Only the vendor's lists of this exchange.")] = None,
    country: Annotated[str | None, typer.Option(help="Only the vendor's lists of this country.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Everything the vendor lists, not only configured and stored symbols.")
    ] = False,
) -> None:
    """Look up the companies behind the symbols.

    The table company gets the name, exchange, currency and type of each symbol. Reads as many of the vendor's lists
    (stocks, ETFs, currency pairs, cryptocurrencies) as needed, for one API credit each. Stored values are never
    replaced with empty ones. Symbols that are not found are listed.
    """
    settings = load_settings()
    with prepared(settings, create="embedded", report=report_to_stderr) as dsn:
        report = fill_companies(
            settings, dsn, file=file, every=every, exchange=exchange, country=country, wait=_wait_for_credits
        )
    _show_companies(report)


def _wait_for_credits(seconds: float) -> None:
    typer.echo(f"waiting {seconds:,.0f} s for API credits (rest.credits_per_minute)", err=True)
    time.sleep(seconds)


def _show_companies(report: CompanyReport) -> None:
    cost = f", {report.credits} API credits used" if report.credits else ""
    typer.echo(f"companies: {report.stored:,} new or changed, {report.unchanged:,} unchanged{cost}")
    _list("unknown to the vendor", ", ", report.unknown)
    _list("on several exchanges, choose one with SYMBOL:EXCHANGE or --exchange", "; ", report.ambiguous)
    _list("rejected lines", "; ", report.rejected)


def _list(heading: str, separator: str, names: tuple[str, ...]) -> None:
    if names:
        more = f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
        typer.echo(f"{heading} ({len(names):,}): {separator.join(names[:SHOWN_NAMES])}{more}")
