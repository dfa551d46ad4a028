"""Refreshes candles, even where no feed runs."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from candleworks.candles.refresh import refresh
from candleworks.runtime.database import writing
from candleworks.settings import load_settings
from flows.support.run_states import completed, explained


@flow(name="refresh-candles", flow_run_name="refresh candles", timeout_seconds=600)
@explained
def refresh_candles() -> State[Any]:
    """Update all candle levels with changed ticks."""
    with writing(load_settings(), "refresh-candles") as connection:
        changed = {level: count for level, count in refresh(connection).items() if count}
    counts = ", ".join(f"{count:,} of {level}" for level, count in changed.items())
    return completed(f"Candles changed: {counts or 'none'}")
