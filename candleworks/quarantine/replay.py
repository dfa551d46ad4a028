"""Tries refused ticks again, each in a transaction of its own that also notes what became of it."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from candleworks import clock
from candleworks.quarantine.corrections import Corrections
from candleworks.quarantine.import_lines import ImportLines, LineForm, is_line
from candleworks.quarantine.live_ticks import LiveTicks
from candleworks.settings import Settings
from candleworks.storage.connection import Connection
from candleworks.storage.quarantined import RejectedTick, Replayed, replay_one

AS_THEY_ARE = LineForm()


class Replay(NamedTuple):
    """A refused tick, and what became of it; None: it was resolved before."""

    tick: RejectedTick
    result: Replayed | None


def replay(
    connection: Connection,
    settings: Settings,
    ticks: Iterable[RejectedTick],
    corrections: Corrections,
    payload: str | None = None,
    form: LineForm = AS_THEY_ARE,
) -> Iterator[Replay]:
    """Try refused ticks again, in the order given; yield what became of each. Repeating it stores nothing twice.

    `payload` stands for theirs, `corrections` set single fields of it; `form` tells how lines of files are read.
    Candles follow with the next refresh. UsageError when a payload cannot be corrected or read like that.
    """
    now_us = clock.now_us()
    live, lines = LiveTicks(settings, connection, now_us), ImportLines(settings, connection, now_us, form)
    for tick in ticks:
        if tick.resolved_at is not None:
            yield Replay(tick, None)
            continue
        path: LiveTicks | ImportLines = lines if is_line(tick) else live
        text = path.line_of(tick, tick.payload if payload is None else payload, corrections)
        path.prepare(tick, text)
        yield Replay(tick, replay_one(connection, tick, _changed(tick, text), lambda: path.put(tick, text)))  # noqa: B023 - called at once


def _changed(tick: RejectedTick, text: str) -> str | None:
    return text if text != tick.payload else None
