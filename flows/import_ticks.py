"""Files in, with progress."""

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field, WithJsonSchema

from candleworks.imports.columns import column_mapping
from candleworks.imports.formats import FORMATS, Reading
from candleworks.imports.importer import import_paths
from candleworks.imports.undo import check_undo, undo_paths
from candleworks.runtime.database import writing
from candleworks.settings import load_settings
from flows.support.events import tell
from flows.support.imports import import_state, undo_state
from flows.support.reports import Progress, table
from flows.support.results import file_row
from flows.support.run_states import explained

ANY = "told by the file"
Paths = Annotated[list[str], Field(min_length=1, examples=[["/data/EURUSD_Ticks.csv"], ["/data/*.csv.gz"]])]
FormatName = Annotated[str, WithJsonSchema({"type": "string", "enum": [ANY, *FORMATS]})]
Digits = Annotated[int, Field(ge=0, le=15)]


@flow(name="import-ticks", flow_run_name="import ticks", timeout_seconds=24 * 3600)
@explained
def import_ticks(
    paths: Paths,
    format: FormatName = ANY,  # noqa: A002 - the option's name
    symbol: str | None = None,
    timezone: str | None = None,
    columns: str | None = None,
    digits: Digits | None = None,
    again: bool = False,
    undo: bool = False,
    dry_run: bool = False,
) -> State[Any]:
    """Store ticks, bars or companies from CSV, Parquet and Arrow files; what is stored already is not stored again.

    Args:
        paths: Files, directories, patterns or archives that the worker can read, such as /data/a.csv or /data/*.zip.
        format: Only where the header and the first rows do not tell it.
        symbol: Symbol of the ticks where no column tells it, such as EUR/USD; else the only one that is taken.
        timezone: Zone of times without an offset from UTC, such as UTC or Europe/Zurich.
        columns: Where our columns are, such as time=Date,bid=Bid,ask=Ask, or time=1,price=2 where there is no header.
        digits: Round prices to so many decimal places, such as 5.
        again: Import even what was imported before by its content.
        undo: Take back what importing these files has stored, and restore the bars it replaced; without other options.
        dry_run: Read, compare and count, but store nothing.
    """
    settings = load_settings()
    reading = Reading(None if format == ANY else format, symbol, timezone, column_mapping(columns), digits)
    if undo:
        check_undo(reading, again=again)
        with writing(settings, "import-ticks undo") as connection:
            return undo_state(list(undo_paths(connection, settings, paths, dry_run=dry_run)), dry_run=dry_run)
    progress = Progress("import-ticks", "percent of the file")
    with writing(settings, "import-ticks", create="embedded") as connection:
        reports = list(
            import_paths(
                connection,
                settings,
                paths,
                reading,
                again=again,
                dry_run=dry_run,
                notify=tell,
                progress=lambda at: progress(int(at.fraction * 100), 100, f"({at.name}, {at.rows:,} rows)"),
            )
        )
    table("import-ticks", [file_row(report) for report in reports], "Files")
    return import_state(reports, dry_run=dry_run)
