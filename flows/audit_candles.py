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
from candleworks.wording import counted
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
    progress = ProgressArtifact("audit-candles", "levels of candles audited, day by day")
    with writing(load_settings(), "audit-candles") as connection:
        start, stop = today - timedelta(days=days), today + timedelta(days=1)
        report = audit(connection, start, stop, repair=repair, progress=progress)
    if not report.days:
        return completed(f"Nothing was audited: no ticks are stored since {start:%Y-%m-%d} UTC")
    wrong, repaired = len(report.differences), report.repaired
    message = f"{wrong:,} wrong candles in {counted(len(report.days), 'day')}, {repaired:,} repaired"
    table("audit-candles", [difference_row(each) for each in report.differences], message)
    emit_repairs(repaired, wrong)
    return completed(message, None if repaired == wrong else "WrongCandles")
