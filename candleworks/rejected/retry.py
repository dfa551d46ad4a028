"""Retries rejected ticks; the transaction that stores them also records the result."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import groupby, islice
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from candleworks import clock
from candleworks.database.connection import Connection
from candleworks.errors import UsageError
from candleworks.libraries import file_libraries
from candleworks.rejected.lines import LineForm
from candleworks.rejected.live_ticks import LiveTicks
from candleworks.settings import Settings
from candleworks.storage.rejected import RejectedTick, RetryResult, retry_all, retry_one

if TYPE_CHECKING:
    from candleworks.rejected.import_lines import ImportLines

AS_THEY_ARE = LineForm()
LIVE = ("frame", "quote", "trade")  # kinds that came from a feed
AT_ONCE = 500  # ticks of one transaction: 1,000 frames took 0.4 s, one by one 30 s, both on a busy machine

Retrier: TypeAlias = "LiveTicks | ImportLines"
Attempt = tuple[RejectedTick, str]


class RetriedTick(NamedTuple):
    """A rejected tick and the result of its retry, None: it was resolved before."""

    tick: RejectedTick
    result: RetryResult | None


def retry(
    connection: Connection,
    settings: Settings,
    ticks: Iterable[RejectedTick],
    corrections: Mapping[str, str],
    payload: str | None = None,
    form: LineForm = AS_THEY_ARE,
) -> Iterator[RetriedTick]:
    """Retry rejected ticks in the given order, and yield the result of each; idempotent.

    `payload` replaces theirs, `corrections` replace single fields; `form` is how to read lines of files. Candles follow
    with the next refresh. UsageError when a payload cannot be corrected or read.
    """
    now_us = clock.now_us()
    live = LiveTicks(settings, connection, now_us)

    @cache
    def lines() -> "ImportLines":
        with file_libraries():
            from candleworks.rejected.import_lines import ImportLines  # noqa: PLC0415 - it needs the libraries
        return ImportLines(settings, connection, now_us, form)

    def retrier_of(tick: RejectedTick) -> Retrier:
        return live if tick.kind in LIVE else lines()

    for retrier, group in groupby(ticks, retrier_of):
        for part in _parts(group):
            waiting = [tick for tick in part if tick.resolved_at is None]
            texts = [
                retrier.line_of(tick, tick.payload if payload is None else payload, corrections) for tick in waiting
            ]
            yield from (RetriedTick(tick, None) for tick in part if tick.resolved_at is not None)
            yield from _retried(connection, retrier, list(zip(waiting, texts, strict=True)))


def corrections_of(assignments: Sequence[str]) -> dict[str, str]:
    """Parse assignments such as `price=12.5`; UsageError when one is not."""
    found = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{assignment!r} is not an assignment: write a field and its value, such as price=12.5.")
        found[name.strip()] = value.strip()
    return found


def _parts(ticks: Iterable[RejectedTick]) -> Iterator[list[RejectedTick]]:
    rest = iter(ticks)
    while part := list(islice(rest, AT_ONCE)):
        yield part


def _retried(connection: Connection, retrier: Retrier, attempts: list[Attempt]) -> Iterator[RetriedTick]:
    """Store acceptable ticks together, or one by one where some of them are stored already."""
    refusals = retrier.prepare(attempts)
    acceptable = [attempt for attempt, refusal in zip(attempts, refusals, strict=True) if refusal is None]
    ticks = [tick for tick, _ in acceptable]
    corrected = [_changed(*attempt) for attempt in acceptable]
    if len(acceptable) > 1 and retry_all(connection, ticks, corrected, lambda: retrier.put_all(acceptable)):
        yield from (RetriedTick(tick, RetryResult("stored")) for tick in ticks)
        attempts = [attempt for attempt, refusal in zip(attempts, refusals, strict=True) if refusal is not None]
    for tick, text in attempts:
        yield RetriedTick(tick, retry_one(connection, tick, _changed(tick, text), partial(retrier.put, tick, text)))


def _changed(tick: RejectedTick, text: str) -> str | None:
    return text if text != tick.payload else None
