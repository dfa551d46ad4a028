"""One replay: the simulated vendor sends, the ingest stores, and both are watched until all is counted."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from candleworks import clock
from candleworks.cli.console import lasting_console
from candleworks.cli.running import stop_on_signal
from candleworks.database.connection import Connection
from candleworks.errors import TerminalError
from candleworks.feed.service import ingest
from candleworks.model.trades import moment_of
from candleworks.settings import Settings
from candleworks.simulate import RunningSimulator
from candleworks.simulate.recording import SECOND_US, Recording
from candleworks.storage.recordings import Received, begin_replay, end_replay, received_by

POLL_SECONDS = 0.3
PLAIN_INTERVAL_SECONDS = 5
PATIENCE_SECONDS = 30  # how long what was sent may go without being counted


@dataclass(frozen=True)
class Outcome:
    """How a replay went; an interrupted one leaves ticks that were on their way.

    `known` were not sent: a feed that starts continues a symbol's newest second, and would take them for new ones.
    """

    ticks: int
    known: int
    sent: int
    received: Received
    seconds: float
    interrupted: bool


@dataclass(frozen=True)
class ReplayRun:
    """`settings` are those of the target, with one feed; `connection` leads to its database, as `dsn` does.

    `ticks` and `known` count the recording and what of it is not sent because it is stored in a symbol's newest second.
    """

    settings: Settings
    dsn: str
    connection: Connection
    recording: Recording
    source: str
    shifted_by: timedelta
    ticks: int
    known: int

    async def run(self, simulator: RunningSimulator) -> Outcome:
        """Stream until everything is stored, known or refused, or until a signal comes."""
        began = clock.monotonic()
        feed = self.settings.feeds[0]
        live = {"feed_url": simulator.feed_url, "rest_url": simulator.rest_url}
        settings = self.settings.model_copy(update=live)
        signalled, stop = stop_on_signal(None), asyncio.Event()
        before = received_by(self.connection, feed.name)
        number = self._begin(feed.name)
        streaming = asyncio.create_task(ingest(settings, feed, self.dsn, stop=stop))
        with _Shown(len(self.recording)) as shown:
            try:
                await self._watch(simulator, before, streaming, signalled, shown)
            finally:
                stop.set()
                await asyncio.wait({streaming})
        streaming.result()
        sent = simulator.stats()["frames_sent"]
        received = received_by(self.connection, feed.name) - before
        end_replay(self.connection, number, sent, received)
        return Outcome(self.ticks, self.known, sent, received, clock.monotonic() - began, signalled.is_set())

    def _begin(self, feed: str) -> int:
        first, last = (moment_of(int(self.recording.ticks.stamps[at]) * SECOND_US) for at in (0, -1))
        return begin_replay(self.connection, feed, self.source, first, last, self.shifted_by)

    async def _watch(
        self,
        simulator: RunningSimulator,
        before: Received,
        streaming: asyncio.Task[None],
        signalled: asyncio.Event,
        shown: "_Shown",
    ) -> None:
        """Return when all that was sent is counted, when it ended otherwise, or when nothing moves any more."""
        interrupted = asyncio.create_task(signalled.wait())
        state, since = (0, 0), clock.monotonic()
        try:
            while not (streaming.done() or interrupted.done()):
                await asyncio.wait({streaming, interrupted}, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                stats = await asyncio.to_thread(simulator.stats)
                received = await asyncio.to_thread(received_by, self.connection, self.settings.feeds[0].name) - before
                shown.show(stats["frames_sent"], received)
                if (stats["frames_sent"], received.total) != state:
                    state, since = (stats["frames_sent"], received.total), clock.monotonic()
                if stats["finished_connections"] and (
                    received.total >= stats["frames_sent"] or clock.monotonic() - since > PATIENCE_SECONDS
                ):
                    return
        finally:
            interrupted.cancel()


class _Shown:
    """A bar in a terminal, else a line every few seconds."""

    def __init__(self, ticks: int) -> None:
        console = lasting_console()
        self._ticks = ticks
        self._next_line_at = clock.monotonic() + PLAIN_INTERVAL_SECONDS
        self._console = console
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if console.is_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task("", total=ticks)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, sent: int, received: Received) -> None:
        text = f"{received.stored:,} stored, {received.duplicates:,} duplicates, {received.rejected:,} rejected"
        if self._bar:
            self._bar.update(self._task, completed=sent, description=text)
        elif clock.monotonic() >= self._next_line_at:
            self._next_line_at = clock.monotonic() + PLAIN_INTERVAL_SECONDS
            self._console.print(f"{sent:,} of {self._ticks:,} sent, {text}", highlight=False, soft_wrap=True)


def summarise(outcome: Outcome) -> None:
    """Print the counts; TerminalError when a replay that was not interrupted left some of its ticks uncounted."""
    received = outcome.received
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("sent", f"{outcome.sent:,} of {outcome.ticks:,}" + (" (interrupted)" if outcome.interrupted else ""))
    if outcome.known:
        table.add_row("known before", f"{outcome.known:,}")
    for name in ("stored", "duplicates", "rejected"):
        table.add_row(name, f"{getattr(received, name):,}")
    table.add_row("took", f"{outcome.seconds:,.1f} s")
    lasting_console().print(table)
    missing = outcome.sent - received.total
    if missing > 0 and not outcome.interrupted:
        raise TerminalError(
            f"{missing:,} ticks were sent and are neither stored nor known nor rejected: see feed_gaps, and repeat it."
        )
