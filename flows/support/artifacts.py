"""What a run shows in Prefect besides its state: progress, tables, Markdown, and events.

A run does not fail when Prefect cannot take them.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.events import emit_event
from prefect.exceptions import PrefectException

from candleworks import clock
from candleworks.model.notices import Notice

SHOWN_ROWS = 200
UPDATE_SECONDS = 2
EVENT_PREFIX = "candleworks."

log = logging.getLogger(__name__)


class ProgressArtifact:
    """Call it with how much is done, of how much, and of what; the artifact is updated every two seconds.

    With `long_only` a run of less than two seconds gets none.
    """

    def __init__(self, key: str, description: str, *, long_only: bool = False) -> None:
        self._key, self._description = key, description
        self._id: UUID | None = None
        self._long_only = long_only
        self._next_at = clock.monotonic() + UPDATE_SECONDS if long_only else 0.0

    def __call__(self, done: float, total: float, about: str = "") -> None:
        shown_to_its_end = self._id is not None or not self._long_only
        if clock.monotonic() < self._next_at and not (done >= total and shown_to_its_end):
            return
        self._next_at = clock.monotonic() + UPDATE_SECONDS
        percent = 100.0 * done / total if total else 100.0
        _if_available(lambda: self._save(percent, f"{self._description}: {done:,} of {total:,} {about}".rstrip()))

    def _save(self, percent: float, text: str) -> None:
        if self._id is None:
            made = create_progress_artifact(percent, key=self._key, description=text)
            self._id = made if isinstance(made, UUID) else None
        else:
            update_progress_artifact(self._id, percent, description=text)


def table(key: str, rows: Sequence[dict[str, Any]], title: str) -> None:
    """Create a table artifact; the title says what the rows are and how many."""
    left = f"\n\nand {len(rows) - SHOWN_ROWS:,} more" if len(rows) > SHOWN_ROWS else ""
    shown = list(rows[:SHOWN_ROWS])
    _if_available(lambda: create_table_artifact(shown, key=key, description=f"# {title}{left}"))


def markdown(key: str, text: str, title: str) -> None:
    _if_available(lambda: create_markdown_artifact(text, key=key, description=title))


def _if_available(action: Callable[[], object]) -> None:
    try:
        action()
    except (httpx.HTTPError, PrefectException) as error:
        log.warning("An artifact could not be saved: %s", error)


def emit(notice: Notice) -> None:
    """Emit the notice as a Prefect event (docs/reference/events.md); never blocks, even without a server."""
    kind = notice.name.partition(".")[0]
    emit_event(
        event=EVENT_PREFIX + notice.name,
        resource={
            "prefect.resource.id": f"{EVENT_PREFIX}{kind}.{notice.subject}",
            "prefect.resource.name": notice.subject,
        },
        payload=dict(notice.facts),
    )


def emit_repairs(repaired: int, found: int) -> None:
    if repaired:
        emit(Notice("candles.repaired", "audit", {"repaired": repaired, "differences": found}))
