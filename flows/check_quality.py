"""Runs the quality checks."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field, WithJsonSchema

from candleworks import clock
from candleworks.quality import run_checks
from candleworks.runtime.database import prepared
from candleworks.settings import load_settings
from flows.support.artifacts import ProgressArtifact, emit
from flows.support.results import quality_state
from flows.support.run_states import explained

MAX_HOURS = 24 * 366
# With the limits inside the alternatives Prefect would say that 0 "is not valid under any of the given schemas".
HOURS_SCHEMA = {"anyOf": [{"type": "integer"}, {"type": "null"}], "minimum": 1, "maximum": MAX_HOURS}
Hours = Annotated[Annotated[int, Field(ge=1, le=MAX_HOURS)] | None, WithJsonSchema(HOURS_SCHEMA)]


@flow(name="check-quality", flow_run_name="check {suite}", timeout_seconds=3600)
@explained
def check_quality(suite: Literal["all", "ticks", "candles", "system"] = "all", hours: Hours = None) -> State[Any]:
    """Run the checks of a suite, store the results, and fire or resolve alerts.

    Args:
        suite: Which checks to run.
        hours: Check all ticks of this many hours, 1 to 8784, instead of those since the last run.
    """
    settings = load_settings()
    progress = ProgressArtifact("check-quality-progress", "checks", long_only=True)
    with prepared(settings) as dsn:
        since = clock.now() - timedelta(hours=hours) if hours else None
        report = run_checks(
            settings,
            dsn,
            suite,
            since,
            notify=emit,
            progress=lambda done, checks, name: progress(done, checks, name and f"(now {name})"),
        )
    return quality_state(report, settings)
