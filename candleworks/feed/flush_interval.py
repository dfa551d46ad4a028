"""How long ticks wait for others before they are written."""

import contextlib
from collections.abc import Iterator

from candleworks import clock

COMMITS_PER_BATCH = 6  # committing takes a seventh of the time; at 3, server and ingest took 40 % more processor time
REMEMBERED_COMMITS = 10


class Pace:
    """Waiting follows what commits took of late, from `first_seconds` on, and never beyond `longest_seconds`."""

    def __init__(self, longest_seconds: float, first_seconds: float = 0.02) -> None:
        self._longest_seconds = longest_seconds
        self._seconds = min(first_seconds, longest_seconds)
        self._began: float | None = None

    @contextlib.contextmanager
    def commit(self) -> Iterator[None]:
        """Take note of how long a commit takes; while the database is away the waiting is the longest."""
        self._began = clock.monotonic()
        try:
            yield
        finally:
            self._seconds += (self._running_seconds() - self._seconds) / REMEMBERED_COMMITS
            self._began = None

    def _running_seconds(self) -> float:
        running = 0.0 if self._began is None else COMMITS_PER_BATCH * (clock.monotonic() - self._began)
        return min(running, self._longest_seconds)

    @property
    def seconds(self) -> float:
        """How long the first tick of a batch waits for others."""
        return max(self._seconds, self._running_seconds())
