"""Ticks and candles out, as files where the worker runs."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import AwareDatetime

from candleworks.errors import UsageError
from candleworks.exports.exporter import export
from candleworks.exports.request import Format, wanted_export
from candleworks.runtime.database import writing
from candleworks.settings import load_settings
from candleworks.storage.export import Relation, Selection
from flows.support.reports import Progress
from flows.support.results import export_sentence
from flows.support.run_states import completed, explained


@flow(name="export", flow_run_name="export {relation}", timeout_seconds=24 * 3600)
@explained
def export_data(
    output: str,
    relation: Relation = Relation.CANDLES_1M,
    symbols: list[str] | None = None,
    start: AwareDatetime | None = None,
    stop: AwareDatetime | None = None,
    format: Format | None = None,  # noqa: A002 - the option's name
    by_day: bool = False,
    overwrite: bool = False,
) -> State[Any]:
    """Write ticks or candles to Parquet, Arrow or CSV files on the worker's machine, as they are at one moment.

    Args:
        output: File or directory on the worker's machine, such as /data/candles.parquet or /data/ticks.csv.zst.
        relation: What to export; stocks_real_time and quotes are ticks.
        symbols: Only these, such as AAPL; all without any.
        start: First time.
        stop: End, not included.
        format: Only where the name of the output does not tell it.
        by_day: One file per day of UTC, in a directory.
        overwrite: Replace files that exist.
    """
    if start and stop and start >= stop:
        raise UsageError(f"start {start} is not before stop {stop}: name a time before it.")
    selection = Selection(relation, tuple(symbols or ()), start, stop)
    wanted = wanted_export(selection, Path(output), format, zstd=False, by_day=by_day, overwrite=overwrite)
    progress = Progress("export", "rows written")
    with writing(load_settings(), "export") as connection:
        result = export(connection, wanted, lambda at: progress(at.rows, at.total))
    return completed(export_sentence(wanted, result))
