"""Imports files."""

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field, WithJsonSchema

from candleworks.imports.reading import FORMATS, Reading, column_mapping
from candleworks.imports.report import CANDLES, REMOVAL, FileProgress
from candleworks.imports.undo import check_undo, undo_paths
from candleworks.libraries import file_libraries
from candleworks.runtime.database import writing
from candleworks.settings import Settings, load_settings
from flows.support.artifacts import ProgressArtifact, emit, table
from flows.support.results import file_row, import_state, undo_state
from flows.support.run_states import explained

DETECT = "detect"
Paths = Annotated[list[str], Field(min_length=1, examples=[["/data/EURUSD_Ticks.csv"], ["/data/*.csv.gz"]])]
FormatName = Annotated[str, WithJsonSchema({"type": "string", "enum": [DETECT, *FORMATS]})]
Digits = Annotated[int, Field(ge=0, le=15)]


@flow(name="import-ticks", flow_run_name="import ticks", timeout_seconds=24 * 3600)
@explained
def import_ticks(
    paths: Paths,
    format: FormatName = DETECT,  # noqa: A002 - the option's name
    symbol: str | None = None,
    timezone: str | None = None,
    columns: str | None = None,
    digits: Digits | None = None,
    again: bool = False,
    undo: bool = False,
    dry_run: bool = False,
) -> State[Any]:
    """Import ticks, bars or companies from CSV, Parquet and Arrow files; stored ticks are not stored again.

    Args:
        paths: Files, directories, patterns or archives that the worker can read, such as /data/a.csv or /data/*.zip.
        format: File format, if it cannot be detected from the header and the first rows.
        symbol: Symbol of the ticks if no column has it, such as EUR/USD; otherwise import only this symbol.
        timezone: Time zone of times without a UTC offset, such as UTC or Europe/Zurich.
        columns: Which columns to read, such as time=Date,bid=Bid,ask=Ask, or time=1,price=2 without a header.
        digits: Round prices to this many decimal places, such as 5.
        again: Import files whose content was imported before.
        undo: Remove what importing these files stored, and restore the bars it replaced; without other options.
        dry_run: Read, compare and count, without storing.
    """
    settings = load_settings()
    reading = Reading(None if format == DETECT else format, symbol, timezone, column_mapping(columns), digits)
    if undo:
        check_undo(reading, again=again)
        return _undo(settings, paths, dry_run=dry_run)
    return _import(settings, paths, reading, again=again, dry_run=dry_run)


def _undo(settings: Settings, paths: list[str], *, dry_run: bool) -> State[Any]:
    with writing(settings, "import-ticks undo") as connection:
        reports = list(undo_paths(connection, settings, paths, dry_run=dry_run, progress=_FileStages()))
    return undo_state(reports, dry_run=dry_run)


class _FileStages:
    """Shows each stage of an import in a progress artifact of its own."""

    def __init__(self) -> None:
        self._stages = {
            "": ProgressArtifact("import-ticks", "percent of the file"),
            REMOVAL: ProgressArtifact("import-removal", "percent of the removal"),
            CANDLES: ProgressArtifact("import-candles", "percent of the candles"),
        }

    def __call__(self, at: FileProgress) -> None:
        about = at.name if at.stage else f"{at.name}, {at.rows:,} rows"
        self._stages[at.stage](int(at.fraction * 100), 100, f"({about})")


def _import(settings: Settings, paths: list[str], reading: Reading, *, again: bool, dry_run: bool) -> State[Any]:
    with file_libraries():
        from candleworks.imports.importer import import_paths  # noqa: PLC0415 - it needs the libraries
    with writing(settings, "import-ticks", create="embedded") as connection:
        reports = list(
            import_paths(
                connection,
                settings,
                paths,
                reading,
                again=again,
                dry_run=dry_run,
                notify=emit,
                progress=_FileStages(),
            )
        )
    table("import-ticks", [file_row(report) for report in reports], "Files")
    return import_state(reports, dry_run=dry_run)
