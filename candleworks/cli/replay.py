"""`candleworks replay`: recorded trades once more through the live path, into a database of their own."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from candleworks.cli.console import RangeEnd, RangeStart, complete_symbol, lasting_console, report_to_stderr
from candleworks.cli.progress import ProgressDisplay
from candleworks.database.connection import describe
from candleworks.database.connection_string import has_password
from candleworks.processes import log_to_stderr
from candleworks.runtime.replay import (
    ReplayOutcome,
    ReplayRun,
    open_replay,
    read_source,
    replay_feed,
    select_part,
    target_settings,
)
from candleworks.settings import load_settings
from candleworks.simulate import SimulatorOptions
from candleworks.storage.recordings import Received
from candleworks.wording import counted

LINE_SECONDS = 10.0


def replay(
    file: Annotated[Path | None, typer.Argument(help="CSV recording with time,symbol,price,day_volume.")] = None,
    *,
    from_db: Annotated[bool, typer.Option("--from-db", help="Replay trades of the database in use.")] = False,
    symbol: Annotated[
        list[str] | None, typer.Option(help="Only this symbol; repeatable.", autocompletion=complete_symbol)
    ] = None,
    start: RangeStart = None,
    stop: RangeEnd = None,
    speed: Annotated[float, typer.Option(help="1 is real time, 60 a minute per second, 0 as fast as possible.")] = 1.0,
    shift: Annotated[
        bool, typer.Option("--shift-times/--keep-times", help="Shift event times so that the last tick comes now.")
    ] = False,
    into: Annotated[
        str | None,
        typer.Option(help="Connection string, or home of an embedded database. [default: HOME/replay]"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete earlier replays from that database first.")] = False,
    feed: Annotated[str, typer.Option(help="Name of the feed that the ticks come from.")] = "replay",
) -> None:
    """Replay recorded trades into a separate database.

    They pass through a websocket and the ingest, as live trades do. The database in use is never written to, and a
    target that holds more than replays is refused. Without --shift-times, repeating a replay adds only what is
    missing. Ctrl-C stops it.
    """
    settings = load_settings()
    log_to_stderr("WARNING")
    SimulatorOptions(speed=speed)  # refuses an invalid speed before anything is read
    source = read_source(settings, file, select_part(symbol or (), start, stop), from_database=from_db)
    target = target_settings(settings, into, replay_feed(feed, source.recording.symbols))
    shift_speed = speed if shift else None
    with open_replay(target, source, shift_speed=shift_speed, fresh=fresh, report=report_to_stderr) as opened:
        _announce(opened, into)
        with ProgressDisplay("ticks", line_seconds=LINE_SECONDS) as progress:
            outcome = opened.run(speed, lambda sent, received: _show(progress, opened, sent, received))
    _summarise(outcome)
    outcome.require_complete()


def _show(progress: ProgressDisplay, opened: ReplayRun, sent: int, received: Received) -> None:
    detail = f"{received.stored:,} stored, {received.duplicates:,} duplicates, {received.rejected:,} rejected"
    progress.show("replay", sent, sent / len(opened.recording), detail)


def _announce(opened: ReplayRun, into: str | None) -> None:
    ticks, symbols = counted(opened.ticks, "tick"), counted(len(opened.recording.symbols), "symbol")
    typer.echo(f"source  {opened.source}: {ticks} of {symbols}")
    if opened.recording:
        first, last = opened.bounds()
        shifted = f"shifted by {opened.shifted_by}" if opened.shifted_by else "as recorded"
        typer.echo(f"times   {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC, {shifted}")
    typer.echo(f"target  {describe(opened.dsn)}")
    settings = opened.settings
    variable = f"CANDLEWORKS_HOME={settings.home}" if settings.dsn is None else f"CANDLEWORKS_DSN='{into}'"
    if settings.dsn is None or not has_password(settings.dsn.get_secret_value()):
        typer.echo(f"chart   {variable} candleworks serve --port 8051")


def _summarise(outcome: ReplayOutcome) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("sent", f"{outcome.sent:,} of {outcome.ticks:,}" + (" (interrupted)" if outcome.interrupted else ""))
    if outcome.skipped:
        table.add_row("skipped", f"{outcome.skipped:,}")
    for name in ("stored", "duplicates", "rejected"):
        table.add_row(name, f"{getattr(outcome.received, name):,}")
    table.add_row("seconds", f"{outcome.seconds:,.1f}")
    lasting_console().print(table)
