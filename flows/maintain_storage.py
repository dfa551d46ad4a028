"""Applies retention and compression."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from candleworks.candles.maintenance import maintain
from candleworks.runtime.database import writing
from candleworks.settings import load_settings
from flows.support.artifacts import ProgressArtifact, table
from flows.support.results import work_row, work_sentence
from flows.support.run_states import completed, explained


@flow(name="maintain-storage", flow_run_name="maintain storage", retries=2, retry_delay_seconds=300)
@explained
def maintain_storage() -> State[Any]:
    """Refresh candles, apply retention, and compress old data (TimescaleDB only). Candles are never dropped."""
    settings = load_settings()
    progress = ProgressArtifact("maintain-storage-progress", "steps", long_only=True)
    with writing(settings, "maintain-storage") as connection:
        done = maintain(connection, settings, lambda at, steps, now: progress(at, steps, now and f"({now})"))
    message = "; ".join(map(work_sentence, done)) or "Nothing to drop or compress"
    table("maintain-storage", [work_row(work) for work in done], message)
    return completed(message)
