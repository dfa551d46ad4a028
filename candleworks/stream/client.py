"""Those who follow a stream: what they want, and the events that wait for them."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from candleworks.stream.events import Event
from candleworks.stream.series import SeriesKey

MAX_WAITING_BYTES = 4_000_000
MAX_WAITING_EVENTS = 20_000
MAX_TOLD = 10


class TickTopic(NamedTuple):
    """The ticks of a symbol: trades or quotes."""

    symbol: str
    family: str


@dataclass(frozen=True)
class Wanted:
    """`since` is the position that the client has seen last; None: it starts anew."""

    series: tuple[SeriesKey, ...]
    ticks: tuple[TickTopic, ...] = ()
    since: int | None = None

    @property
    def topics(self) -> frozenset[TickTopic]:
        return frozenset(self.ticks) | {TickTopic(key.symbol, key.family) for key in self.series}


class EventBatch(NamedTuple):
    """Events, and the position up to which the client has seen everything with them; None: they belong to none."""

    events: Sequence[Event]
    position: int | None


class StreamClient:
    """A bounded queue between the hub, which never waits, and one consumer.

    `on_ready` is called by the hub's thread when something waits for a consumer that has found nothing.
    """

    def __init__(self, wanted: Wanted, on_ready: Callable[[], None]) -> None:
        self.wanted = wanted
        self.seen = wanted.since  # the position up to which the consumer has seen everything
        self.closed = False
        self._on_ready = on_ready
        self._lock = threading.Lock()
        self._waiting: deque[EventBatch] = deque()
        self._first: deque[EventBatch] = deque(maxlen=MAX_TOLD)
        self._waiting_bytes = self._waiting_events = 0
        self._held = True
        self._overflowed = self._idle = False

    def put(self, events: Sequence[Event], position: int) -> None:
        """Append events; too many are all dropped, and the consumer has to be resumed."""
        with self._lock:
            if self._overflowed:
                return
            self._waiting.append(EventBatch(events, position))
            self._waiting_events += len(events)
            self._waiting_bytes += sum(len(event.frame) for event in events)
            if self._waiting_bytes > MAX_WAITING_BYTES or self._waiting_events > MAX_WAITING_EVENTS:
                self._clear()
                self._overflowed = True
            self._wake()

    def put_first(self, event: Event) -> None:
        """Put an event that belongs to no position, before everything else."""
        with self._lock:
            self._first.append(EventBatch([event], None))
            self._wake()

    def hold(self) -> int | None:
        """Drop what waits, and keep what is put from now on until release(); return what the consumer has seen."""
        with self._lock:
            self._clear()
            self._held, self._overflowed = True, False
            return self.seen

    def release(self, events: Sequence[Event], position: int) -> None:
        """Let the consumer have these events, and then what was held."""
        with self._lock:
            self._held = False
            self._waiting.appendleft(EventBatch(events, position))
            self._wake()

    def close(self) -> None:
        """End the stream for the consumer."""
        with self._lock:
            self.closed = True
            self._wake()

    def take(self, position: int) -> tuple[list[EventBatch], bool]:
        """Return what waits, and once whether so much did that it was dropped.

        `position` was the hub's before the call: when nothing waits, the consumer has seen everything up to there.
        """
        with self._lock:
            batches = list(self._first)
            self._first.clear()
            dropped = self._overflowed and not self._held
            self._held |= dropped
            if not self._held:
                batches += self._waiting
                self._saw(position)
                self._clear()
            self._idle = not batches
            return batches, dropped

    def _saw(self, position: int) -> None:
        if self._waiting:
            self.seen = self._waiting[-1].position
        elif self.seen is not None:
            self.seen = max(self.seen, position)

    def _clear(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = self._waiting_events = 0

    def _wake(self) -> None:
        if self._idle:
            self._idle = False
            self._on_ready()
