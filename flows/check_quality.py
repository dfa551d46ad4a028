"""Checks ticks, candles and the platform."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field, WithJsonSchema

from candleworks import clock
from candleworks.quality import run_checks
from candleworks.runtime.database import prepared
from candleworks.settings import load_settings
from flows.support.events import tell
from flows.support.quality import quality_state
from flows.support.reports import Progress
from flows.support.run_states import explained

MAX_HOURS = 24 * 366
# The limits stand beside the alternatives, or Prefect says that 0 "is not valid under any of the given schemas".
HOURS_SCHEMA = {"anyOf": [{"type": "integer"}, {"type": "null"}], "minimum": 1, "maximum": MAX_HOURS}
Hours = Annotated[Annotated[int, Field(ge=1, le=MAX_HOURS)] | None, WithJsonSchema(HOURS_SCHEMA)]


@flow(name="check-quality", flow_run_name="check {suite}", timeout_seconds=3600)
@explained
def check_quality(suite: Literal["all", "ticks", "candles", "system"] = "all", hours: Hours = None) -> State[Any]:
    """Run the checks of a suite, store the results, and fire or resolve alerts.

    Args:
        suite: What is checked.
        hours: All ticks of so many hours, 1 to 8784, instead of those that came since the last run.
    """
    settings = load_settings()
    progress = Progress("check-quality-progress", "checks done", long_only=True)
    with prepared(settings) as dsn:
        since = clock.now() - timedelta(hours=hours) if hours else None
        report = run_checks(
            settings,
            dsn,
            suite,
            since,
            notify=tell,
            progress=lambda done, checks, name: progress(done, checks, name and f"(now {name})"),
        )
    return quality_state(report, settings)
