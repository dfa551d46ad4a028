"""`candleworks export`: ticks and candles out."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from candleworks import clock
from candleworks.errors import UsageError
from candleworks.exports.request import Export, ExportProgress, ExportResult, Format, wanted_export
from candleworks.runtime.database import reading
from candleworks.settings import load_settings
from candleworks.storage.export import Relation, Selection
from candleworks.wording import counted

QUIET_SECONDS = 2.0
SECONDS_PER_LINE = 5.0
_TIME = "such as 2026-11-20 or 2026-11-20T14:30:00, UTC unless it says otherwise"


def export(
    relation: Annotated[Relation, typer.Argument(help="What to export.")],
    symbols: Annotated[
        list[str] | None, typer.Option("--symbol", help="Only this symbol; may be given several times.")
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help=f"First time, {_TIME}.")] = None,
    stop: Annotated[str | None, typer.Option("--to", help="End, not included.")] = None,
    kind: Annotated[
        Format | None, typer.Option("--format", help="Default: what the name of the output ends with, else parquet.")
    ] = None,
    zstd: Annotated[
        bool, typer.Option("--zstd", help="Compress CSV; Parquet and Arrow files are compressed always.")
    ] = False,
    by: Annotated[Literal["day"] | None, typer.Option("--partition-by", help="One file per day of UTC.")] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="File to write, or a directory to put it into; with --partition-by a directory."
        ),
    ] = Path(),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Write ticks or candles to Parquet, Arrow or CSV files, as they are at one moment.

    Files appear under their names when all of them are whole. With --partition-by day they are called
    OUTPUT/RELATION/date=YYYY-MM-DD/part.parquet.
    """
    selection = Selection(relation, tuple(dict.fromkeys(symbols or ())), _time("--from", start), _time("--to", stop))
    if selection.start and selection.stop and selection.start >= selection.stop:
        raise UsageError(f"--from {start} is not before --to {stop}: name a time before it.")
    wanted = wanted_export(selection, output, kind, zstd=zstd, by_day=by is not None, overwrite=overwrite)
    # Not at the top: it loads pyarrow, 0.2 to 0.3 s that every other command would wait.
    from candleworks.exports.exporter import export as export_rows  # noqa: PLC0415

    with reading(load_settings(), "export") as connection, _shown() as progress:
        result = export_rows(connection, wanted, progress)
    _print(wanted, result)


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{name} is {text!r}, which is no time: write one {_TIME}.") from None


@contextlib.contextmanager
def _shown() -> Iterator[Callable[[ExportProgress], None]]:
    """Show a bar on a terminal and a line every five seconds elsewhere, once it takes over two seconds."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("export", total=None, visible=False)
        began = clock.monotonic()

        def show(progress: ExportProgress) -> None:
            visible = clock.monotonic() - began >= QUIET_SECONDS
            bar.update(task, completed=progress.rows, total=progress.total, visible=visible)

        yield show


class _Lines:
    def __init__(self) -> None:
        self._began = clock.monotonic()
        self._next = self._began + QUIET_SECONDS

    def __call__(self, progress: ExportProgress) -> None:
        now = clock.monotonic()
        if now >= self._next:
            self._next = now + SECONDS_PER_LINE
            rate = progress.rows / (now - self._began)
            typer.echo(f"{progress.rows:,} of {progress.total:,} rows, {rate:,.0f} rows/s", err=True)


def _print(wanted: Export, result: ExportResult) -> None:
    where = str(result.files[0]) if len(result.files) == 1 else f"{len(result.files):,} files"
    if wanted.by_day:
        where = f"{len(result.files):,} files in {wanted.output / wanted.selection.relation}"
    extent = result.extent
    span = f", {extent.first:%Y-%m-%d %H:%M:%S} to {extent.last:%Y-%m-%d %H:%M:%S} UTC" if extent.first else ""
    typer.echo(
        f"{where}: {counted(extent.rows, 'row')} of {wanted.selection.relation}{span}, {result.size_bytes:,} bytes"
    )
