"""`candleworks import`: files in."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from candleworks.cli.opening import migrated
from candleworks.errors import CandleworksError
from candleworks.history.importer import ImportResult, import_file
from candleworks.settings import load_settings


def import_files(
    files: Annotated[list[Path], typer.Argument(help="CSV files, plain or gzip.", metavar="FILE...")],
    again: Annotated[
        bool, typer.Option("--again", help="Import even what was imported before by its content.")
    ] = False,
) -> None:
    """Store ticks (time,symbol,price,day_volume) or companies (symbol,name) from CSV files.

    The format is told by the header. A file is stored whole or not at all; what is stored already is not stored
    again. Lines that cannot be used are kept in rejected_ticks.
    """
    settings = load_settings()
    failed = 0
    with migrated(settings, "import") as connection:
        for path in files:
            try:
                _print(path, import_file(connection, settings, path, again=again))
            except CandleworksError as error:
                typer.echo(str(error), err=True)
                failed += 1
    if failed:
        raise typer.Exit(1)


def _print(path: Path, result: ImportResult) -> None:
    record = result.record
    if result.known:
        typer.echo(f"{path}: imported before as {record.path}, nothing to do (--again imports it once more)")
        return
    table = Table(title=str(path), title_justify="left", show_header=False)
    for name in ("rows", "stored", "duplicates", "rejected"):
        table.add_row(name, f"{getattr(record, name):,}")
    if record.first and record.last:
        table.add_row("first tick", f"{record.first:%Y-%m-%d %H:%M:%S} UTC")
        table.add_row("last tick", f"{record.last:%Y-%m-%d %H:%M:%S} UTC")
        table.add_row(
            "candles", ", ".join(f"{count:,} of {level}" for level, count in result.candles.items()) or "none"
        )
    for example in result.examples:
        table.add_row("", example)
    Console().print(table)
