"""`candleworks replay`: a recorded day once more through the live path, into a database of its own."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr, ValidationError

from candleworks import clock
from candleworks.cli.replay_run import Outcome, ReplayRun, summarise
from candleworks.cli.running import log_to_stderr
from candleworks.database.connection import Connection, connect, describe, transient_errors
from candleworks.database.profiles import WRITER
from candleworks.errors import TerminalError, UsageError
from candleworks.model.trades import microseconds_of, moment_of
from candleworks.runtime.database import prepared, reading
from candleworks.settings import Feed, Settings, Silence, load_settings
from candleworks.simulate import running_simulator
from candleworks.simulate.catalogue import built_in_catalogue
from candleworks.simulate.options import SimulatorOptions
from candleworks.simulate.recording import SECOND_US, Part, Recording, RecordingBuilder, read_recording
from candleworks.storage.recordings import (
    Received,
    check_for_replays,
    empty_database,
    newest_second,
    newest_trade,
    recorded_trades,
)

FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def replay(
    file: Annotated[Path | None, typer.Argument(help="Recording: CSV with time,symbol,price,day_volume.")] = None,
    *,
    from_db: Annotated[bool, typer.Option("--from-db", help="Replay the trades of the database in use.")] = False,
    symbol: Annotated[list[str] | None, typer.Option(help="Only this symbol; may be repeated.")] = None,
    start: Annotated[datetime | None, typer.Option("--from", formats=FORMATS, help="First moment, UTC.")] = None,
    stop: Annotated[
        datetime | None, typer.Option("--to", formats=FORMATS, help="End, UTC; a date alone includes its day.")
    ] = None,
    speed: Annotated[float, typer.Option(help="1 is the recorded pace, 60 a minute in a second, 0 no pace.")] = 1.0,
    shift: Annotated[
        bool, typer.Option("--shift-stamps/--keep-stamps", help="Move all stamps so that the last one comes as now.")
    ] = False,
    into: Annotated[
        str | None,
        typer.Option(help="Directory of an embedded database, or a connection string; by default HOME/replay."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Empty that database of its earlier replays first.")] = False,
    feed: Annotated[str, typer.Option(help="Name of the feed that the ticks come from.")] = "replay",
) -> None:
    """Live a recorded day again: its ticks go through a websocket and the ingest into a database of its own.

    The database in use is never written to, and one that holds more than replays is refused. With the stamps kept a
    repetition adds only what is missing. Ctrl-C ends the replay.
    """
    settings = load_settings()
    log_to_stderr(settings.model_copy(update={"log_level": "WARNING"}))
    options = SimulatorOptions(port=0, speed=speed, keep_stamps=True)
    source, recording = _read(settings, file, _part(symbol or (), start, stop), from_db=from_db)
    target = _target(settings, into, _feed(feed, recording.symbols))
    if fresh:
        with prepared(target, create="anywhere") as dsn:
            with transient_errors(dsn), connect(dsn, "replay", profile=WRITER) as connection:
                check_for_replays(connection)
            empty_database(dsn)
            shutil.rmtree(target.home / "spool" / feed, ignore_errors=True)
    with (
        prepared(target, create="anywhere") as dsn,
        transient_errors(dsn),
        connect(dsn, "replay", profile=WRITER) as connection,
    ):
        check_for_replays(connection)
        run = _prepare(target, dsn, connection, recording, source, speed=speed if shift else None)
        _announce(run, into)
        if run.recording:
            with running_simulator(options, recording=run.recording) as simulator:
                outcome = asyncio.run(run.run(simulator))
        else:
            outcome = Outcome(run.ticks, run.known, 0, Received(), 0.0, interrupted=False)
    summarise(outcome)


def _prepare(
    target: Settings, dsn: str, connection: Connection, recording: Recording, source: str, *, speed: float | None
) -> ReplayRun:
    """Shift the stamps, as a speed wants it, or leave out what a repetition would double."""
    if speed is not None:
        seconds = recording.shift_seconds(speed, clock.now_us())
        shifted = recording.shifted(seconds)
        _check_order(connection, shifted)
        return ReplayRun(target, dsn, connection, shifted, source, timedelta(seconds=seconds), len(recording), 0)
    stored = newest_second(connection, recording.symbols)
    known = Counter((trade.symbol, trade.time_us // SECOND_US, trade.price, trade.day_volume) for trade in stored)
    rest = recording.without(known)
    left_out = len(recording) - len(rest)
    return ReplayRun(target, dsn, connection, rest, source, timedelta(), len(recording), left_out)


def _read(settings: Settings, file: Path | None, part: Part, *, from_db: bool) -> tuple[str, Recording]:
    """Return what to call the source, and the recording."""
    if (file is None) is not from_db:
        raise UsageError("A replay needs one source: name a recorded file, or give --from-db.")
    if file is not None:
        return str(file), read_recording(file, built_in_catalogue(), part, named="")
    builder = RecordingBuilder()
    with reading(settings, "replay") as connection:
        bounds = (
            moment_of(int(max(part.start_us, microseconds_of(EARLIEST)))),
            moment_of(int(min(part.stop_us, microseconds_of(LATEST)))),
        )
        for trade in recorded_trades(connection, sorted(part.symbols), *bounds):
            builder.add(*trade)
        source = describe(connection.info.dsn)
    if not builder:
        raise TerminalError(f"The database {source} holds no such trades: see `candleworks status` for what it holds.")
    return source, builder.recording(built_in_catalogue())


def _part(symbols: Sequence[str], start: datetime | None, stop: datetime | None) -> Part:
    part = Part(frozenset(symbols))
    if start:
        part = Part(part.symbols, microseconds_of(start.replace(tzinfo=UTC)))
    if stop:
        whole_day = timedelta(days=stop.time() == datetime.min.time())
        part = Part(part.symbols, part.start_us, microseconds_of(stop.replace(tzinfo=UTC) + whole_day))
    if part.start_us >= part.stop_us:
        raise UsageError(f"--from {start} is not before the end of --to {stop}: exchange them.")
    return part


def _feed(name: str, symbols: Sequence[str]) -> Feed:
    """Make the feed; recorded symbols are taken as they are, even where none such could be configured."""
    if odd := [symbol for symbol in symbols if "," in symbol or not symbol.strip()]:
        raise UsageError(f"The symbol {odd[0]!r} cannot be asked of a feed: name others with --symbol.")
    try:
        allowed = Feed(name=name, symbols=("AAPL",))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"--feed {name!r} is no name of a feed, allowed is {problem}.") from None
    return allowed.model_copy(update={"symbols": tuple(symbols)})


def _target(settings: Settings, into: str | None, feed: Feed) -> Settings:
    """Return the settings of the database that the replay goes into; without the vendor's key and address."""
    # What was quiet when it was recorded is no trouble of the connection.
    patient = Silence(around_the_clock_seconds=86_400, session_seconds=86_400)
    # A recording is history, as a file is: it may be old, and splits are in it.
    ingest = settings.ingest.model_copy(update={"max_age_days": None, "max_price_factor": None})
    changes: dict[str, object] = {"feeds": (feed,), "api_key": None, "silence": patient, "ingest": ingest}
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


def _check_order(connection: Connection, recording: Recording) -> None:
    """Refuse shifted ticks among those of an earlier replay: both would be one market."""
    first = moment_of(int(recording.ticks.stamps[0]) * SECOND_US)
    newest = newest_trade(connection, recording.symbols)
    if newest and newest[0] >= first:
        raise UsageError(
            f"Shifted to now the replay would begin at {first:%Y-%m-%d %H:%M:%S}, among the ticks of an earlier one"
            f" ({newest[1]} until {newest[0]:%Y-%m-%d %H:%M:%S}): give --fresh, or another --into."
        )


def _announce(run: ReplayRun, into: str | None) -> None:
    typer.echo(f"{run.ticks:,} ticks of {len(run.recording.symbols):,} symbols from {run.source}")
    if run.recording:
        first, last = (moment_of(int(run.recording.ticks.stamps[at]) * SECOND_US) for at in (0, -1))
        typer.echo(f"stamps {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC, {_meaning(run.shifted_by)}")
    typer.echo(f"into {describe(run.dsn)}")
    variable = f"CANDLEWORKS_HOME={run.settings.home}" if run.settings.dsn is None else f"CANDLEWORKS_DSN='{into}'"
    if "@" not in variable:  # a password is not repeated
        typer.echo(f"watch it by: {variable} candleworks serve --port 8051")


def _meaning(shifted_by: timedelta) -> str:
    return f"moved by {shifted_by}" if shifted_by else "as recorded"
