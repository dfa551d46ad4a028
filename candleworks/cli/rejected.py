"""`candleworks rejected`: what was refused, why, and trying it again."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from candleworks import clock
from candleworks.candles.refresh import refresh
from candleworks.cli.console import wide_console
from candleworks.cli.times import span
from candleworks.database.connection import Connection
from candleworks.errors import UsageError
from candleworks.rejected.corrections import corrections_of
from candleworks.rejected.import_lines import LineForm
from candleworks.rejected.retry import Replay
from candleworks.rejected.retry import replay as replay_ticks
from candleworks.runtime.database import migrated, reading
from candleworks.settings import load_settings
from candleworks.storage.rejected_list import RejectedTick, Selection, count_rejected, list_rejected, read_rejected

LONGEST_PAYLOAD = 100
SHOWN_REFUSALS = 20
PROGRESS_ROWS = 1_000

rejected = typer.Typer(no_args_is_help=True, help="Look at refused ticks, and try them again.")

Feed = Annotated[str | None, typer.Option(help="Those of this feed, or of this file.")]
Reason = Annotated[str | None, typer.Option(help="Those whose reason has this text in it.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Those of the last 30m, 12h, 7d ...")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@rejected.command("list")
def list_(
    feed: Feed = None,
    reason: Reason = None,
    since: Since = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were stored by a replay.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List refused ticks that are not stored by now, newest first."""
    with reading(load_settings(), "rejected list") as connection:
        found = list_rejected(connection, Selection(feed, reason, _since(since), everything), limit)
        waiting = count_rejected(connection)
    if as_json:
        typer.echo(json.dumps([asdict(tick) for tick in found], default=str))
        return
    if found:
        table = Table("number", "received (UTC)", "feed", "reason", "payload", "outcome")
        for tick in found:
            received = f"{tick.received_at:%Y-%m-%d %H:%M:%S}"
            texts = (tick.feed, tick.reason, _cut(tick.payload), tick.outcome or "-")
            table.add_row(str(tick.id), received, *map(escape, texts))
        wide_console().print(table)
    counts = ", ".join(f"{count:,} of {name}" for name, count in waiting.items())
    typer.echo(f"refused and not stored: {counts or 'none'}")


@rejected.command()
def show(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Its number in `rejected list`.")],
    as_json: AsJson = False,
) -> None:
    """Show a refused tick as it came, and what became of it."""
    with reading(load_settings(), "rejected show") as connection:
        tick = read_rejected(connection, number)
    if as_json:
        typer.echo(json.dumps(asdict(tick), default=str))
        return
    for name, value in asdict(tick).items():
        if value is not None:
            typer.echo(
                f"{name:12} {value:%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, datetime) else f"{name:12} {value}"
            )


@rejected.command()
def replay(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[NUMBER]...", help="Numbers of `rejected list`.")
    ] = None,
    feed: Feed = None,
    reason: Reason = None,
    since: Since = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Correct a field first; may be repeated.")
    ] = None,
    payload: Annotated[str | None, typer.Option(help="Replay this text in place of the one that came.")] = None,
    header: Annotated[str | None, typer.Option(help="The columns of a file's lines, where the file is gone.")] = None,
    symbol: Annotated[str | None, typer.Option(help="The symbol of a file's lines, where no column tells it.")] = None,
    timezone: Annotated[str | None, typer.Option(help="The zone of a file's times without an offset.")] = None,
) -> None:
    """Store refused ticks that are acceptable now, or are after a correction, and note what became of each.

    Give numbers, or choose by --feed, --reason and --since. What is stored already is not stored again. Ends with exit
    status 1 when a tick is refused again.
    """
    corrections = corrections_of(assignments or [])
    if payload is not None and len(numbers or []) != 1:
        raise UsageError("--payload stands for one refused tick: give its number.")
    if not numbers and not (feed or reason or since):
        raise UsageError("Which refused ticks? Give numbers, or --feed, --reason or --since.")
    settings = load_settings()
    with migrated(settings, "rejected replay") as connection:
        ticks = _chosen(connection, numbers or [], Selection(feed, reason, _since(since)))
        form = LineForm(header, symbol, timezone)
        done = list(_told(replay_ticks(connection, settings, ticks, corrections, payload, form), len(ticks)))
        refresh(connection)
    _report(done)


def _since(text: str | None) -> datetime | None:
    return clock.now() - span(text) if text else None


def _chosen(connection: Connection, numbers: list[int], selection: Selection) -> list[RejectedTick]:
    """Return the ticks in the order in which they were refused."""
    if numbers:
        return [read_rejected(connection, number) for number in sorted(set(numbers))]
    return list_rejected(connection, selection, None)[::-1]


def _told(replays: Iterator[Replay], total: int) -> Iterator[Replay]:
    """Pass replays on, and say now and then how many are done."""
    for number, each in enumerate(replays, 1):
        if number % PROGRESS_ROWS == 0:
            typer.echo(f"{number:,} of {total:,}", err=True)
        yield each


def _report(done: list[Replay]) -> None:
    counts = Counter(each.result.outcome if each.result else "resolved before" for each in done)
    refused = [each for each in done if each.result and each.result.outcome == "rejected"]
    for each in refused[:SHOWN_REFUSALS]:
        typer.echo(f"{each.tick.id}: {each.result.reason if each.result else ''}", err=True)
    words = {
        "stored": "stored",
        "duplicate": "stored already",
        "resolved before": "resolved before",
        "rejected": "rejected again",
    }
    typer.echo(
        ", ".join(f"{counts[name]:,} {word}" for name, word in words.items() if counts[name]) or "nothing to replay"
    )
    if refused:
        raise typer.Exit(1)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_PAYLOAD else f"{text[:LONGEST_PAYLOAD]}..."
