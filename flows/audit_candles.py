"""Audits stored candles against their ticks."""

from datetime import timedelta
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from candleworks import clock
from candleworks.candles.audit import audit
from candleworks.runtime.database import writing
from candleworks.settings import load_settings
from flows.support.artifacts import ProgressArtifact, emit_repairs, table
from flows.support.results import difference_row
from flows.support.run_states import completed, explained


@flow(name="audit-candles", flow_run_name="audit candles", retries=2, retry_delay_seconds=300, timeout_seconds=6 * 3600)
@explained
def audit_candles(days: Annotated[int, Field(ge=0, le=3660)] = 2, repair: bool = True) -> State[Any]:
    """Compare the candles of the last days with their ticks, record differences, and repair wrong candles.

    Args:
        days: Number of UTC days before today, 0 to 3660; today is audited too.
        repair: Recompute wrong candles from their ticks.
    """
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    found, repaired = [], 0
    progress = ProgressArtifact("audit-candles", "days audited")
    with writing(load_settings(), "audit-candles") as connection:
        for done in range(days + 1):
            day = today - timedelta(days=days - done)
            report = audit(connection, day, day + timedelta(days=1), repair=repair)
            found += report.differences
            repaired += report.repaired
            progress(done + 1, days + 1)
    message = f"{len(found):,} wrong candles in {days + 1} days, {repaired:,} repaired"
    table("audit-candles", [difference_row(each) for each in found], message)
    emit_repairs(repaired, len(found))
    return completed(message, None if repaired == len(found) else "WrongCandles")
