"""A stream for a program: events of a database as an iterator."""

import threading
from collections.abc import Iterator
from typing import NamedTuple

from candleworks.stream.client import EventBatch, Wanted
from candleworks.stream.events import Event
from candleworks.stream.hub import Hub

WAIT_SECONDS = 1.0


class Followed(NamedTuple):
    """An event, and the position to resume from after it; None: none yet."""

    event: Event
    position: int | None


def follow(dsn: str, wanted: Wanted) -> Iterator[Followed]:
    """Yield events of the database for as long as they are asked for; close the iterator to end.

    While the database is away it waits, and continues where it was.
    """
    ready = threading.Event()
    with Hub(dsn, max_clients=1) as hub:
        client = hub.join(wanted, ready.set)
        seen = wanted.since
        while not client.closed:
            ready.clear()
            batches, dropped = client.take(hub.position)
            if dropped:
                hub.resume(client)
            for batch in batches:
                yield from _each(batch, seen)
                seen = batch.position if batch.position is not None else seen
            if not batches:
                ready.wait(WAIT_SECONDS)


def _each(batch: EventBatch, seen: int | None) -> Iterator[Followed]:
    """Only the last event of a batch brings its position: after the others a part of it is still missing."""
    for left, event in zip(range(len(batch.events) - 1, -1, -1), batch.events, strict=True):
        yield Followed(event, seen if left or batch.position is None else batch.position)
