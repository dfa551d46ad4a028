"""Tries refused ticks again; the transaction that stores them also notes what became of them."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby, islice
from typing import NamedTuple

from candleworks import clock
from candleworks.database.connection import Connection
from candleworks.rejected.corrections import Corrections
from candleworks.rejected.import_lines import ImportLines, LineForm, is_line
from candleworks.rejected.live_ticks import LiveTicks
from candleworks.settings import Settings
from candleworks.storage.rejected_list import RejectedTick, Replayed, replay_all, replay_one

AS_THEY_ARE = LineForm()
AT_ONCE = 500  # ticks of one transaction: 1,000 frames took 0.4 s, one by one 30 s, both on a busy machine

Path = LiveTicks | ImportLines
Attempt = tuple[RejectedTick, str]


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
    """Try refused ticks again in the order given, and yield what became of each; repeating it stores nothing twice.

    `payload` stands for theirs, `corrections` set single fields of it; `form` tells how lines of files are read.
    Candles follow with the next refresh. UsageError when a payload cannot be corrected or read like that.
    """
    now_us = clock.now_us()
    live, lines = LiveTicks(settings, connection, now_us), ImportLines(settings, connection, now_us, form)

    def path_of(tick: RejectedTick) -> Path:
        return lines if is_line(tick) else live

    for path, group in groupby(ticks, path_of):
        for part in _parts(group):
            waiting = [tick for tick in part if tick.resolved_at is None]
            texts = [path.line_of(tick, tick.payload if payload is None else payload, corrections) for tick in waiting]
            yield from (Replay(tick, None) for tick in part if tick.resolved_at is not None)
            yield from _replayed(connection, path, list(zip(waiting, texts, strict=True)))


def _parts(ticks: Iterable[RejectedTick]) -> Iterator[list[RejectedTick]]:
    rest = iter(ticks)
    while part := list(islice(rest, AT_ONCE)):
        yield part


def _replayed(connection: Connection, path: Path, attempts: list[Attempt]) -> Iterator[Replay]:
    """Store what is acceptable at once, and one by one where that cannot be, such as beside ticks that are stored."""
    refusals = path.prepare(attempts)
    acceptable = [attempt for attempt, refusal in zip(attempts, refusals, strict=True) if refusal is None]
    ticks = [tick for tick, _ in acceptable]
    corrected = [_changed(*attempt) for attempt in acceptable]
    if len(acceptable) > 1 and replay_all(connection, ticks, corrected, lambda: path.put_all(acceptable)):
        yield from (Replay(tick, Replayed("stored")) for tick in ticks)
        attempts = [attempt for attempt, refusal in zip(attempts, refusals, strict=True) if refusal is not None]
    for tick, text in attempts:
        yield Replay(tick, replay_one(connection, tick, _changed(tick, text), partial(path.put, tick, text)))


def _changed(tick: RejectedTick, text: str) -> str | None:
    return text if text != tick.payload else None
