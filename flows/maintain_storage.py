"""The nightly work on the database."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from candleworks.runtime.database import writing
from candleworks.settings import load_settings
from candleworks.storage.maintenance import maintain
from flows.support.reports import Progress, table
from flows.support.results import work_row, work_sentence
from flows.support.run_states import completed, explained


@flow(name="maintain-storage", flow_run_name="maintain storage", retries=2, retry_delay_seconds=300)
@explained
def maintain_storage() -> State[Any]:
    """Refresh candles, drop what retention says, and compress what is old enough (TimescaleDB). Candles always stay."""
    settings = load_settings()
    progress = Progress("maintain-storage-progress", "steps done", long_only=True)
    with writing(settings, "maintain-storage") as connection:
        done = maintain(connection, settings, lambda at, steps, now: progress(at, steps, now and f"({now})"))
    message = "; ".join(map(work_sentence, done)) or "Nothing is old enough to be dropped or compressed"
    table("maintain-storage", [work_row(work) for work in done], message)
    return completed(message)
