"""`candleworks export`: ticks and candles as files."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from candleworks.cli.console import RangeEnd, RangeStart, complete_symbol
from candleworks.cli.progress import ProgressDisplay
from candleworks.exports.request import Export, ExportResult, Format, wanted_export
from candleworks.libraries import file_libraries
from candleworks.runtime.database import reading
from candleworks.settings import load_settings
from candleworks.storage.exports import ExportRelation, ExportSelection
from candleworks.times import check_range
from candleworks.wording import counted

LINE_SECONDS = 5.0


def export(
    relation: Annotated[ExportRelation, typer.Argument(help="Relation to export.")],
    symbols: Annotated[
        list[str] | None, typer.Option("--symbol", help="Only this symbol; repeatable.", autocompletion=complete_symbol)
    ] = None,
    start: RangeStart = None,
    stop: RangeEnd = None,
    kind: Annotated[
        Format | None, typer.Option("--format", help="File format. [default: from the file name, or parquet]")
    ] = None,
    zstd: Annotated[
        bool, typer.Option("--zstd", help="Compress CSV; Parquet and Arrow are always compressed.")
    ] = False,
    by: Annotated[Literal["day"] | None, typer.Option("--partition-by", help="Write one file per UTC day.")] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File or directory to write to; with --partition-by a directory."),
    ] = Path(),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Export ticks or candles to files.

    Parquet, Arrow or CSV files are written from one snapshot of the database. They get their names once all of them are
    complete. With --partition-by day they are OUTPUT/RELATION/date=YYYY-MM-DD/part.parquet.
    """
    selection = ExportSelection(relation, tuple(dict.fromkeys(symbols or ())), start, stop)
    check_range(start, stop)
    wanted = wanted_export(selection, output, kind, zstd=zstd, by_day=by is not None, overwrite=overwrite)
    # Not at the top: it imports pyarrow, which would cost every other command 0.2 to 0.3 s.
    with file_libraries():
        from candleworks.exports.exporter import export as export_rows  # noqa: PLC0415

    with reading(load_settings(), "export") as connection, ProgressDisplay("rows", line_seconds=LINE_SECONDS) as shown:
        result = export_rows(
            connection, wanted, lambda at: shown.show(relation, at.rows, at.rows / at.total if at.total else 1.0)
        )
    _print(wanted, result)


def _print(wanted: Export, result: ExportResult) -> None:
    where = str(result.files[0]) if len(result.files) == 1 else f"{len(result.files):,} files"
    if wanted.by_day:
        where = f"{len(result.files):,} files in {wanted.output / wanted.selection.relation}"
    extent = result.extent
    span = f", {extent.first:%Y-%m-%d %H:%M:%S} to {extent.last:%Y-%m-%d %H:%M:%S} UTC" if extent.first else ""
    typer.echo(
        f"{where}: {counted(extent.rows, 'row')} of {wanted.selection.relation}{span}, {result.size_bytes:,} bytes"
    )
