"""Files in, with progress."""

from typing import Annotated

from prefect import flow, get_run_logger
from pydantic import Field

from candleworks.cli.opening import migrated
from candleworks.errors import TerminalError
from candleworks.history.importer import import_paths
from candleworks.settings import load_settings
from flows.support.events import tell
from flows.support.reports import Progress, table
from flows.support.results import file_row

Paths = Annotated[list[str], Field(min_length=1)]


@flow(name="import-ticks", flow_run_name="import ticks", timeout_seconds=24 * 3600)
def import_ticks(paths: Paths, again: bool = False) -> dict[str, int]:
    """Store ticks, quotes or companies from files; what is stored already is not stored again.

    Args:
        paths: Files, directories, patterns or archives that the worker can read.
        again: Import even what was imported before by its content.
    """
    settings = load_settings()
    progress = Progress("import-ticks", "percent of the file")
    with migrated(settings, "import-ticks") as connection:
        reports = list(
            import_paths(
                connection,
                settings,
                paths,
                again=again,
                notify=tell,
                progress=lambda at: progress(int(at.fraction * 100), 100, f"({at.name}, {at.rows:,} rows)"),
            )
        )
    table("import-ticks", [file_row(report) for report in reports], "Files imported")
    for report in reports:
        get_run_logger().info("%s: %s", report.path, report.error or "stored")
    if failed := [report.path for report in reports if report.error]:
        raise TerminalError(f"{len(failed)} of {len(reports)} files could not be imported: {', '.join(failed)}.")
    return {"files": len(reports), "stored": sum(report.result.record.stored for report in reports if report.result)}
