"""Gathers frames into batches by size or age, and tells the feed when to wait."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from candleworks.feed.backpressure import Room
from candleworks.feed.flush_interval import Pace
from candleworks.vendor.protocol import PriceEvent


@dataclass(slots=True)
class Batch:
    """Price frames as they came, and when (microseconds since 1970).

    `connections` are the positions at which a new connection's frames begin. `events` is what the frames say, once
    somebody has looked.
    """

    frames: list[bytes] = field(default_factory=list)
    received_us: list[int] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)
    events: list[PriceEvent | str] | None = None

    def __len__(self) -> int:
        return len(self.frames)


class Batcher(Room):
    """Between the socket and the writer; belongs to one event loop.

    At most `max_buffered` frames wait. Then `room()` blocks, the socket is no longer read, and TCP slows the sender:
    memory stays bounded whatever the database does.
    """

    def __init__(self, max_rows: int, max_buffered: int, pace: Pace) -> None:
        super().__init__()
        self._max_rows = max_rows
        self._max_buffered = max_buffered
        self._pace = pace
        self._waiting = Batch()
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def connected(self) -> None:
        """Note that what is added from now on comes from a new connection."""
        connections, position = self._waiting.connections, len(self._waiting)
        if connections[-1:] != [position]:
            connections.append(position)

    def add(self, frame: bytes, received_us: int) -> None:
        """Take a frame; the caller awaits `room()` before it reads the next one."""
        waiting = self._waiting
        waiting.frames.append(frame)
        waiting.received_us.append(received_us)
        count = len(waiting.frames)
        if count == 1:
            self._some.set()
        if count >= self._max_rows:
            self._full.set()
            if count >= self._max_buffered:
                self._set_room(free=False)

    def take_all(self) -> Batch:
        """Hand out everything at once, out of turn."""
        taken, self._waiting = self._waiting, Batch()
        if not self._closed:
            self._some.clear()
            self._full.clear()
        self._set_room(free=True)
        return taken

    def close(self) -> None:
        """Let `next_batch` hand out what is left without waiting, and then None."""
        self._closed = True
        self._some.set()
        self._full.set()

    async def next_batch(self) -> Batch | None:
        """Return up to `max_rows` frames, once there are so many or the first has waited as long as the pace says."""
        while True:
            await self._some.wait()
            if not self._closed and not self._full.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._full.wait(), self._pace.seconds)
            if (batch := self._take()) or self._closed:
                return batch

    def _take(self) -> Batch | None:
        waiting, limit = self._waiting, self._max_rows
        if not waiting:
            return None
        taken = Batch(waiting.frames[:limit], waiting.received_us[:limit], waiting.connections)
        self._waiting = Batch(waiting.frames[limit:], waiting.received_us[limit:])
        if waiting.connections:
            taken.connections = [start for start in waiting.connections if start < len(taken)]
            later = waiting.connections[len(taken.connections) :]
            self._waiting.connections = [start - len(taken) for start in later]
        if len(self._waiting) < limit and not self._closed:
            self._full.clear()
        if not self._waiting and not self._closed:
            self._some.clear()
        if len(self._waiting) < self._max_buffered:
            self._set_room(free=True)
        return taken
