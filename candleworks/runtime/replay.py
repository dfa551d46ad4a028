"""Replaying recorded trades through the live path into a database of their own.

A simulated vendor sends the recording, the ingest stores it, and both are polled until every tick is counted.
"""

import asyncio
import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr, ValidationError

from candleworks import clock
from candleworks.database.connection import Connection, connect, describe, transient_errors
from candleworks.database.profiles import WRITER
from candleworks.errors import TerminalError, UsageError
from candleworks.feed.service import ingest
from candleworks.model.trades import microseconds_of, moment_of
from candleworks.processes import stop_event
from candleworks.runtime.database import Report, prepared, reading
from candleworks.settings import Feed, Settings, SilenceLimits
from candleworks.simulate import RunningSimulator, SimulatorOptions, running_simulator
from candleworks.simulate.catalogue import built_in_catalogue
from candleworks.simulate.recording import SECOND_US, Recording, RecordingBuilder, RecordingSelection, read_recording
from candleworks.storage.recordings import (
    Received,
    begin_replay,
    check_for_replays,
    empty_database,
    end_replay,
    newest_second,
    newest_trade,
    received_by,
    recorded_trades,
)
from candleworks.times import check_range

POLL_SECONDS = 0.3
STALL_SECONDS = 30  # how long ticks that were sent may stay uncounted
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

# Takes how many ticks were sent, and what became of them.
ShowReplay = Callable[[int, Received], None]


@dataclass(frozen=True)
class ReplaySource:
    """A recording, and the file or database that it comes from."""

    name: str
    recording: Recording


@dataclass(frozen=True)
class ReplayOutcome:
    """The counts of a replay; an interrupted one leaves ticks that were on their way.

    `skipped` were not sent: a feed that starts continues a symbol's newest second, and would take them for new ones.
    """

    ticks: int
    skipped: int
    sent: int
    received: Received
    seconds: float
    interrupted: bool

    def require_complete(self) -> None:
        """Raise TerminalError when a replay that was not interrupted lost ticks."""
        missing = self.sent - self.received.total
        if missing > 0 and not self.interrupted:
            raise TerminalError(
                f"{missing:,} ticks were sent but are neither stored nor duplicates nor rejected: look at feed_gaps and"
                " replay again."
            )


@dataclass(frozen=True)
class ReplayRun:
    """A recording that is ready to be replayed.

    `settings` are those of the target, with one feed; `connection` leads to its database, as `dsn` does. `ticks` counts
    the whole recording, `skipped` what of it is not sent because it is stored in a symbol's newest second.
    """

    settings: Settings
    dsn: str
    connection: Connection
    recording: Recording
    source: str
    shifted_by: timedelta
    ticks: int
    skipped: int

    def run(self, speed: float, show: ShowReplay) -> ReplayOutcome:
        """Stream until every tick is stored, a duplicate or rejected, or until a stop signal."""
        if not self.recording:
            return ReplayOutcome(self.ticks, self.skipped, 0, Received(), 0.0, interrupted=False)
        options = SimulatorOptions(port=0, speed=speed, keep_times=True)
        with running_simulator(options, recording=self.recording) as simulator:
            return asyncio.run(self._stream(simulator, show))

    def bounds(self) -> tuple[datetime, datetime]:
        """Return the event times of the first and last tick to send."""
        first, last = (moment_of(int(self.recording.ticks.event_times[at]) * SECOND_US) for at in (0, -1))
        return first, last

    async def _stream(self, simulator: RunningSimulator, show: ShowReplay) -> ReplayOutcome:
        started_at = clock.monotonic()
        feed = self.settings.feeds[0]
        live = {"feed_url": simulator.feed_url, "rest_url": simulator.rest_url}
        signalled, stop = stop_event(), asyncio.Event()
        before = received_by(self.connection, feed.name)
        number = begin_replay(self.connection, feed.name, self.source, *self.bounds(), self.shifted_by)
        streaming = asyncio.create_task(ingest(self.settings.model_copy(update=live), feed, self.dsn, stop=stop))
        try:
            await self._until_counted(simulator, before, streaming, signalled, show)
        finally:
            stop.set()
            await asyncio.wait({streaming})
        streaming.result()
        sent = simulator.stats()["frames_sent"]
        received = received_by(self.connection, feed.name) - before
        end_replay(self.connection, number, sent, received)
        seconds = clock.monotonic() - started_at
        return ReplayOutcome(self.ticks, self.skipped, sent, received, seconds, signalled.is_set())

    async def _until_counted(
        self,
        simulator: RunningSimulator,
        before: Received,
        streaming: asyncio.Task[None],
        signalled: asyncio.Event,
        show: ShowReplay,
    ) -> None:
        """Return when all that was sent is counted, when streaming ended otherwise, or when the counts stall."""
        interrupted = asyncio.create_task(signalled.wait())
        counts, changed_at = (0, 0), clock.monotonic()
        try:
            while not (streaming.done() or interrupted.done()):
                await asyncio.wait({streaming, interrupted}, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                stats = await asyncio.to_thread(simulator.stats)
                received = await asyncio.to_thread(received_by, self.connection, self.settings.feeds[0].name) - before
                show(stats["frames_sent"], received)
                if (stats["frames_sent"], received.total) != counts:
                    counts, changed_at = (stats["frames_sent"], received.total), clock.monotonic()
                if stats["finished_connections"] and (
                    received.total >= stats["frames_sent"] or clock.monotonic() - changed_at > STALL_SECONDS
                ):
                    return
        finally:
            interrupted.cancel()


def select_part(symbols: Sequence[str], start: datetime | None, stop: datetime | None) -> RecordingSelection:
    """Return which part [start, stop) of a recording to replay; UsageError when the range is empty."""
    check_range(start, stop)
    part = RecordingSelection(frozenset(symbols))
    if start:
        part = RecordingSelection(part.symbols, microseconds_of(start))
    if stop:
        part = RecordingSelection(part.symbols, part.start_us, microseconds_of(stop))
    return part


def read_source(
    settings: Settings, file: Path | None, part: RecordingSelection, *, from_database: bool
) -> ReplaySource:
    """Read a recorded file, or the trades of the database in use; TerminalError when nothing is in the part."""
    if (file is None) is not from_database:
        raise UsageError("A replay needs one source: name a recorded file, or give --from-db.")
    if file is not None:
        return ReplaySource(str(file), read_recording(file, built_in_catalogue(), part, named=""))
    builder = RecordingBuilder()
    with reading(settings, "replay") as connection:
        start = moment_of(int(max(part.start_us, microseconds_of(EARLIEST))))
        stop = moment_of(int(min(part.stop_us, microseconds_of(LATEST))))
        for trade in recorded_trades(connection, sorted(part.symbols), start, stop):
            builder.add(*trade)
        name = describe(connection.info.dsn)
    if not builder:
        raise TerminalError(f"The database {name} has no such trades: run `candleworks status` to see what it has.")
    return ReplaySource(name, builder.recording(built_in_catalogue()))


def target_settings(settings: Settings, into: str | None, feed: Feed) -> Settings:
    """Return the settings of the database to replay into, without the vendor's API key and address.

    `into` is a connection string or the home of an embedded database; None means `replay` in the home in use.
    """
    # Silence in a recording is no fault of the connection.
    patient = SilenceLimits(feed_seconds=86_400, around_the_clock_seconds=86_400, session_seconds=86_400)
    # A recording is historical data, as a file is: it may be old, and may contain splits.
    ingest_settings = settings.ingest.model_copy(update={"max_age_days": None, "max_price_factor": None})
    changes: dict[str, object] = {"feeds": (feed,), "api_key": None, "silence": patient, "ingest": ingest_settings}
    if into and ("://" in into or "=" in into):
        changes |= {"dsn": SecretStr(into), "home": settings.home / "replay"}
        same = settings.dsn is not None and settings.dsn.get_secret_value() == into
    else:
        home = Path(into).expanduser().resolve() if into else settings.home / "replay"
        changes |= {"dsn": None, "home": home}
        same = settings.dsn is None and home == settings.home
    if same:
        raise UsageError("--into names the database in use, which replays never write to: name another one.")
    return settings.model_copy(update=changes)


def replay_feed(name: str, symbols: Sequence[str]) -> Feed:
    """Return the feed; recorded symbols are accepted even where they could not be configured."""
    if invalid := [symbol for symbol in symbols if "," in symbol or not symbol.strip()]:
        raise UsageError(f"A feed cannot subscribe to the symbol {invalid[0]!r}: choose others with --symbol.")
    try:
        feed = Feed(name=name, symbols=("AAPL",))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"--feed {name!r} is not a valid feed name, allowed is {problem}.") from None
    return feed.model_copy(update={"symbols": tuple(symbols)})


@contextlib.contextmanager
def open_replay(
    target: Settings, source: ReplaySource, *, shift_speed: float | None, fresh: bool, report: Report
) -> Iterator[ReplayRun]:
    """Prepare the target's database and yield the replay; UsageError when it holds more than replays.

    With `shift_speed` event times are moved so that the last tick, sent at that speed, comes now; without it ticks that
    are stored already are skipped. With `fresh` earlier replays are deleted first.
    """
    with contextlib.ExitStack() as opened:
        if fresh:
            _delete_replays(target, report)
        dsn = opened.enter_context(prepared(target, create="anywhere", report=report))
        opened.enter_context(transient_errors(dsn))
        connection = opened.enter_context(connect(dsn, "replay", profile=WRITER))
        check_for_replays(connection)
        recording = source.recording
        if shift_speed is not None:
            seconds = recording.shift_seconds(shift_speed, clock.now_us())
            recording = recording.shifted(seconds)
            _check_order(connection, recording)
            yield ReplayRun(
                target, dsn, connection, recording, source.name, timedelta(seconds=seconds), len(recording), 0
            )
            return
        stored = newest_second(connection, recording.symbols)
        known = Counter((trade.symbol, trade.time_us // SECOND_US, trade.price, trade.day_volume) for trade in stored)
        rest = recording.without(known)
        skipped = len(recording) - len(rest)
        yield ReplayRun(target, dsn, connection, rest, source.name, timedelta(), len(recording), skipped)


def _delete_replays(target: Settings, report: Report) -> None:
    with prepared(target, create="anywhere", report=report) as dsn:
        with transient_errors(dsn), connect(dsn, "replay", profile=WRITER) as connection:
            check_for_replays(connection)
        empty_database(dsn)
        shutil.rmtree(target.home / "spool" / target.feeds[0].name, ignore_errors=True)


def _check_order(connection: Connection, recording: Recording) -> None:
    """Refuse shifted ticks that would mix with those of an earlier replay."""
    first = moment_of(int(recording.ticks.event_times[0]) * SECOND_US)
    newest = newest_trade(connection, recording.symbols)
    if newest and newest[0] >= first:
        raise UsageError(
            f"The shifted replay would begin at {first:%Y-%m-%d %H:%M:%S}, among the ticks of an earlier one"
            f" ({newest[1]} until {newest[0]:%Y-%m-%d %H:%M:%S}): give --fresh, or another --into."
        )
