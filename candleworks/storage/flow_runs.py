"""The last and the next runs of each deployment, as its workers report them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from candleworks.database.connection import Connection
from candleworks.database.queries import query

RunStatus = Literal["running", "completed", "failed", "crashed", "cancelled", "paused"]


@dataclass(frozen=True, slots=True)
class FlowRunRecord:
    """A run that has started; `ended_at` is None while it runs, `message` where it gave none."""

    id: UUID
    deployment: str
    status: RunStatus
    started_at: datetime
    ended_at: datetime | None
    message: str | None


@dataclass(frozen=True, slots=True)
class FlowSchedule:
    """When a deployment runs next; None where nothing is scheduled."""

    deployment: str
    paused: bool
    next_run_at: datetime | None


def save_flows(
    connection: Connection, pool: str, runs: Sequence[FlowRunRecord], schedules: Sequence[FlowSchedule]
) -> None:
    """Store what is new of runs, and the schedules of all deployments that the work pool has."""
    connection.execute(query("save_flow_schedules"), {"pool": pool, "schedules": _json(schedules)})
    connection.execute(query("save_flow_runs"), {"runs": _json(runs)})


def _json(rows: Sequence[FlowRunRecord] | Sequence[FlowSchedule]) -> Jsonb:
    return Jsonb([{name: _text(value) for name, value in asdict(row).items()} for row in rows])


def _text(value: object) -> object:
    return str(value) if isinstance(value, datetime | UUID) else value
