"""Exports ticks and candles to files on the worker's machine."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import AwareDatetime

from candleworks.errors import UsageError
from candleworks.exports.request import Format, wanted_export
from candleworks.libraries import file_libraries
from candleworks.runtime.database import writing
from candleworks.settings import load_settings
from candleworks.storage.exports import ExportRelation, ExportSelection
from flows.support.artifacts import ProgressArtifact
from flows.support.results import export_sentence
from flows.support.run_states import completed, explained


@flow(name="export", flow_run_name="export {relation}", timeout_seconds=24 * 3600)
@explained
def export_data(
    output: str,
    relation: ExportRelation = ExportRelation.CANDLES_1M,
    symbols: list[str] | None = None,
    start: AwareDatetime | None = None,
    stop: AwareDatetime | None = None,
    format: Format | None = None,  # noqa: A002 - the option's name
    by_day: bool = False,
    overwrite: bool = False,
) -> State[Any]:
    """Export ticks or candles to Parquet, Arrow or CSV files on the worker's machine, from one snapshot.

    Args:
        output: File or directory on the worker's machine, such as /data/candles.parquet or /data/ticks.csv.zst.
        relation: Relation to export; stocks_real_time and quotes are ticks.
        symbols: Only these symbols, such as AAPL; all if empty.
        start: First time.
        stop: End, exclusive.
        format: File format, if not clear from the name of the output.
        by_day: Write one file per UTC day into a directory.
        overwrite: Replace existing files.
    """
    if start and stop and start >= stop:
        raise UsageError(f"start {start} is not before stop {stop}: swap them.")
    selection = ExportSelection(relation, tuple(symbols or ()), start, stop)
    wanted = wanted_export(selection, Path(output), format, zstd=False, by_day=by_day, overwrite=overwrite)
    progress = ProgressArtifact("export", "rows written")
    with file_libraries():
        from candleworks.exports.exporter import export  # noqa: PLC0415 - it needs the libraries
    with writing(load_settings(), "export") as connection:
        result = export(connection, wanted, lambda at: progress(at.rows, at.total))
    return completed(export_sentence(wanted, result))
