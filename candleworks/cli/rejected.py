"""`candleworks rejected`: rejected ticks, why they were rejected, and retrying them."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from candleworks.candles.refresh import refresh
from candleworks.cli.console import TIME_EXAMPLES, AsJson, complete_feed, wide_console
from candleworks.cli.groups import subcommands
from candleworks.database.connection import Connection
from candleworks.errors import UsageError
from candleworks.rejected.lines import LineForm
from candleworks.rejected.retry import RetriedTick, corrections_of
from candleworks.rejected.retry import retry as retry_ticks
from candleworks.runtime.database import reading, writing
from candleworks.settings import load_settings
from candleworks.storage.rejected import RejectedSelection, RejectedTick, count_rejected, list_rejected, read_rejected
from candleworks.times import past_time

LONGEST_PAYLOAD = 100
SHOWN_REJECTIONS = 20
PROGRESS_ROWS = 1_000

rejected = subcommands("List, show and retry rejected ticks.")

Feed = Annotated[
    str | None, typer.Option(help="Only ticks of this feed, or of this imported file.", autocompletion=complete_feed)
]
Reason = Annotated[str | None, typer.Option(help="Only ticks whose reason contains this text.")]
Since = Annotated[
    datetime | None,
    typer.Option(parser=past_time, metavar="TIME", help=f"Only ticks received since this time, {TIME_EXAMPLES}."),
]


@rejected.command("list")
def list_(
    feed: Feed = None,
    reason: Reason = None,
    since: Since = None,
    everything: Annotated[bool, typer.Option("--all", help="Include ticks that were stored by a retry.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest to list.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List rejected ticks that are not stored, newest first."""
    with reading(load_settings(), "rejected list") as connection:
        found = list_rejected(connection, RejectedSelection(feed, reason, since, everything), limit)
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
    typer.echo(f"rejected and not stored: {counts or 'none'}")


@rejected.command()
def show(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Its number in `rejected list`.")],
    as_json: AsJson = False,
) -> None:
    """Show a rejected tick as received, and its outcome."""
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
def retry(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[NUMBER]...", help="Numbers of `rejected list`.")
    ] = None,
    feed: Feed = None,
    reason: Reason = None,
    since: Since = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Correct a field first; repeatable.")
    ] = None,
    payload: Annotated[str | None, typer.Option(help="Use this text instead of the received one.")] = None,
    header: Annotated[str | None, typer.Option(help="Header of the imported file, if that file is gone.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Symbol of the lines of a file, if no column has it.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Time zone of the file's times without a UTC offset.")] = None,
) -> None:
    """Retry rejected ticks, unchanged or with corrections.

    The outcome of each is recorded. Give numbers, or choose ticks by --feed, --reason and --since. Ticks that are
    stored already are not stored again. Exits with status 1 if a tick is rejected again.
    """
    corrections = corrections_of(assignments or [])
    if payload is not None and len(numbers or []) != 1:
        raise UsageError("--payload applies to a single rejected tick: give its number.")
    if not numbers and not (feed or reason or since):
        raise UsageError("No ticks were chosen: give numbers, or --feed, --reason or --since.")
    settings = load_settings()
    with writing(settings, "rejected retry") as connection:
        ticks = _chosen(connection, numbers or [], RejectedSelection(feed, reason, since))
        form = LineForm(header, symbol, timezone)
        done = list(_with_progress(retry_ticks(connection, settings, ticks, corrections, payload, form), len(ticks)))
        refresh(connection)
    _report(done)


def _chosen(connection: Connection, numbers: list[int], selection: RejectedSelection) -> list[RejectedTick]:
    """Return the ticks in the order in which they were rejected."""
    if numbers:
        return [read_rejected(connection, number) for number in sorted(set(numbers))]
    return list_rejected(connection, selection, None)[::-1]


def _with_progress(replays: Iterator[RetriedTick], total: int) -> Iterator[RetriedTick]:
    """Yield the same, and print now and then how many are done."""
    for number, each in enumerate(replays, 1):
        if number % PROGRESS_ROWS == 0:
            typer.echo(f"{number:,} of {total:,}", err=True)
        yield each


def _report(done: list[RetriedTick]) -> None:
    counts = Counter(each.result.outcome if each.result else "resolved before" for each in done)
    refused = [each for each in done if each.result and each.result.outcome == "rejected"]
    for each in refused[:SHOWN_REJECTIONS]:
        typer.echo(f"{each.tick.id}: {each.result.reason if each.result else ''}", err=True)
    words = {
        "stored": "stored",
        "duplicate": "stored already",
        "resolved before": "resolved before",
        "rejected": "rejected again",
    }
    typer.echo(
        ", ".join(f"{counts[name]:,} {word}" for name, word in words.items() if counts[name]) or "nothing to retry"
    )
    if refused:
        raise typer.Exit(1)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_PAYLOAD else f"{text[:LONGEST_PAYLOAD]}..."
