"""`candleworks import`: files in."""

from typing import Annotated

import typer

from candleworks.cli.console import explain
from candleworks.cli.import_report import ImportProgress, show
from candleworks.cli.undoing import undo_imports
from candleworks.imports.columns import column_mapping
from candleworks.imports.formats import FORMATS, Reading
from candleworks.imports.importer import import_paths
from candleworks.imports.undo import check_undo
from candleworks.runtime.database import migrated
from candleworks.settings import load_settings


def import_files(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Files, directories, patterns in quotes, archives, or - for standard input.", metavar="PATH..."
        ),
    ],
    format: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option("--format", help=f"Take it for one of {', '.join(FORMATS)}.")
    ] = None,
    symbol: Annotated[
        str | None,
        typer.Option("--symbol", help="The symbol of the ticks where no column tells it, else the only one taken."),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option("--timezone", help="The zone of times without an offset from UTC, such as Europe/Zurich."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            help="Where our columns stand, by the header's names or by numbers from 1: time=Date,bid=Bid,ask=Ask, or"
            " time=1,price=2,volume=3, where volume is the size of a trade and day_volume a running total.",
        ),
    ] = None,
    digits: Annotated[
        int | None, typer.Option("--digits", min=0, max=15, help="Round prices to so many decimal places.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Import even what was imported before by its content.")
    ] = False,
    undo: Annotated[
        bool,
        typer.Option(
            "--undo", help="Take back what importing these files has stored, and restore the bars it replaced."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read, compare and count, but store nothing.")] = False,
) -> None:
    """Store ticks, bars and companies from CSV, Parquet and Arrow files, plain, gzip, zstd or zip.

    The format is told by the header and the first rows. What is stored already is not stored again, and an interrupted
    import goes on where it was. Lines that cannot be used are kept in rejected_ticks. --undo takes an import back.
    """
    settings = load_settings()
    reading = Reading(format, symbol, timezone, column_mapping(columns), digits)
    if undo:
        check_undo(reading, again=again)
        undo_imports(settings, paths, dry_run=dry_run)
        return
    with migrated(settings, "import", create="embedded") as connection, ImportProgress() as progress:
        try:
            reports = []
            for report in import_paths(
                connection, settings, paths, reading, again=again, dry_run=dry_run, progress=progress.tell
            ):
                progress.end()
                if report.failure is not None:
                    explain(report.failure)
                reports.append(report)
        except KeyboardInterrupt:
            progress.end()
            typer.echo("Interrupted: the same command goes on where this one was.", err=True)
            raise typer.Exit(1) from None
    show(reports, dry_run=dry_run)
    if failed := [report.failure for report in reports if report.failure is not None]:
        raise typer.Exit(max(error.exit_code for error in failed))
