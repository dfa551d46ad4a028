"""The batch that is being filled: how large it gets, how long it waits for more ticks, and when reading pauses."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from candleworks import clock
from candleworks.model.trades import MICROSECONDS
from candleworks.vendor.protocol import PriceEvent

COMMITS_PER_BATCH = 6  # committing takes a seventh of the time; at 3, server and ingest took 40 % more processor time
REMEMBERED_COMMITS = 10


@dataclass(slots=True)
class Batch:
    """Price frames as received, and when (microseconds since 1970).

    `connections` are the positions at which the frames of a new connection begin. `events` are the decoded frames,
    null until they are decoded.
    """

    frames: list[bytes] = field(default_factory=list)
    received_us: list[int] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)
    events: list[PriceEvent | str] | None = None

    def __len__(self) -> int:
        return len(self.frames)


class FlushInterval:
    """How long the first tick of a batch waits for others.

    It follows the duration of recent commits, starting at `first_seconds`, and never exceeds `max_seconds`.
    """

    def __init__(self, max_seconds: float, first_seconds: float = 0.02) -> None:
        self._max_seconds = max_seconds
        self._seconds = min(first_seconds, max_seconds)

    @property
    def seconds(self) -> float:
        return self._seconds

    @contextlib.contextmanager
    def measure_commit(self) -> Iterator[None]:
        """Adapt the interval to the duration of the commit inside the context, whether or not it succeeds."""
        started = clock.monotonic()
        try:
            yield
        finally:
            wanted = min(COMMITS_PER_BATCH * (clock.monotonic() - started), self._max_seconds)
            self._seconds += (wanted - self._seconds) / REMEMBERED_COMMITS


class Batcher:
    """Fills one batch at a time, whose frames have `frame_bytes`; not thread-safe."""

    def __init__(self, interval: FlushInterval) -> None:
        self._interval = interval
        self._batch = Batch()
        self.frame_bytes = 0

    def __len__(self) -> int:
        return len(self._batch)

    @property
    def oldest_us(self) -> int | None:
        """When the first frame arrived; null while the batch is empty."""
        return self._batch.received_us[0] if self._batch else None

    def connected(self) -> None:
        """Mark that the frames added from now on come from a new connection."""
        connections, position = self._batch.connections, len(self._batch)
        if connections[-1:] != [position]:
            connections.append(position)

    def add(self, frame: bytes, received_us: int) -> int:
        """Add a frame and return how many the batch has now."""
        batch = self._batch
        batch.frames.append(frame)
        batch.received_us.append(received_us)
        self.frame_bytes += len(frame)
        return len(batch.frames)

    def due_seconds(self) -> float:
        """Return how long the batch may still wait for more ticks; 0 or less when it is due."""
        if not self._batch:
            return self._interval.seconds
        waited_us = max(0, clock.now_us() - self._batch.received_us[0])  # the clock may have been set back
        return self._interval.seconds - waited_us / MICROSECONDS

    def take(self) -> Batch:
        """Return the batch and start an empty one; a connection mark behind the last frame moves to the new batch."""
        taken = self._batch
        self._batch = Batch()
        self.frame_bytes = 0
        if taken.connections[-1:] == [len(taken)]:
            taken.connections.pop()
            self._batch.connections.append(0)
        return taken


class Backpressure:
    """Tells a reader to pause; belongs to one event loop. Reading `full` is cheaper than awaiting."""

    def __init__(self) -> None:
        self.full = False
        self._not_full = asyncio.Event()
        self._not_full.set()

    async def wait_while_full(self) -> None:
        await self._not_full.wait()

    def _set_full(self, *, full: bool) -> None:
        if full != self.full:
            self.full = full
            (self._not_full.clear if full else self._not_full.set)()
