"""Loads the history of new symbols."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from candleworks.backfill.backfill import backfill as load
from candleworks.backfill.plan import BackfillRequest
from candleworks.runtime.database import prepared
from candleworks.settings import load_settings
from flows.support.artifacts import ProgressArtifact, table
from flows.support.results import backfill_row, backfill_sentence
from flows.support.run_states import completed, explained, failed


@flow(name="backfill", flow_run_name="backfill", timeout_seconds=6 * 3600)
@explained
def backfill(symbols: list[str] | None = None, days: int | None = None, years: int | None = None) -> State[Any]:
    """Load bars from before the first tick of new symbols, within the limits on API credits.

    Args:
        symbols: Only these symbols, also when the last attempt failed.
        days: Days of one-minute bars, instead of those of the configuration.
        years: Years of daily bars before that, instead of those of the configuration.
    """
    settings = load_settings()
    progress = ProgressArtifact("backfill", "bars of history", long_only=True)
    with prepared(settings) as dsn:
        report = load(
            settings,
            dsn,
            BackfillRequest(symbols or (), days, years=years),
            progress=lambda at: progress(at.done, at.wanted, f"({at.now})"),
        )
    message = backfill_sentence(report)
    if report.records:
        table("backfill", [backfill_row(each) for each in report.records], message)
    return completed(message) if report.complete else failed(message)
