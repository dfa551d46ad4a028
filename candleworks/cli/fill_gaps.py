"""`candleworks fill-gaps`: missing ticks, from the vendor's bars."""

from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from candleworks.cli.console import TIME_EXAMPLES, complete_feed, complete_symbol
from candleworks.gapfill.fill import fill_gaps as fill
from candleworks.gapfill.report import FillProgress, FillReport, GapFill
from candleworks.runtime.database import prepared
from candleworks.settings import load_settings
from candleworks.times import past_time
from candleworks.wording import counted

SHOWN_ROWS = 50


def fill_gaps(
    feed: Annotated[str | None, typer.Option(help="Only gaps of this feed.", autocompletion=complete_feed)] = None,
    symbol: Annotated[
        str | None, typer.Option(help="Only gaps of this symbol.", autocompletion=complete_symbol)
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=past_time, metavar="TIME", help=f"Only gaps that ended after this time, {TIME_EXAMPLES}."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be fetched, without requests to the vendor.")
    ] = False,
    retry_credits: Annotated[
        bool,
        typer.Option(
            "--retry-credits", help="Try again although the vendor said that today's API credits are used up."
        ),
    ] = False,
) -> None:
    """Fill recorded gaps with the vendor's bars.

    One-minute bars are fetched with the REST API, and candles are updated. Each symbol costs one API credit per 5,000
    minutes; `rest` in the configuration limits the credits. Safe to interrupt and to repeat. Exits with status 1 if
    something could not be fetched.
    """
    settings = load_settings()
    with prepared(settings) as dsn, Console().status("reading gaps") as status:

        def show(progress: FillProgress) -> None:
            text = f"{progress.done} of {progress.symbols} symbols: {progress.now}"
            status.update(text)
            if not status.console.is_terminal:
                status.console.print(text, highlight=False, soft_wrap=True)

        report = fill(
            settings,
            dsn,
            feed=feed,
            symbol=symbol,
            since=since,
            dry_run=dry_run,
            retry_credits=retry_credits,
            progress=show,
        )
    _print(report, dry_run=dry_run)
    if not report.complete:
        raise typer.Exit(1)


def _print(report: FillReport, *, dry_run: bool) -> None:
    if report.fills:
        Console().print(_table(report.fills[:SHOWN_ROWS], dry_run=dry_run))
    if len(report.fills) > SHOWN_ROWS:
        typer.echo(f"and {len(report.fills) - SHOWN_ROWS:,} more: see gap_fills")
    for line in _remarks(report):
        typer.echo(line)
    api_credits = counted(report.credits, "API credit", "API credits")
    if dry_run:
        typer.echo(f"{len(report.fills):,} to fetch for {api_credits}")
    else:
        typer.echo(f"{report.outcomes}; {counted(len(report.closed), 'gap')} settled, {api_credits} used")
    if report.stopped:
        typer.echo(report.stopped, err=True)


def _table(fills: list[GapFill], *, dry_run: bool) -> Table:
    table = Table(
        "gap", "feed", "symbol", "from (UTC)", "to (UTC)", "outcome", "minutes" if dry_run else "bars", "reason"
    )
    for gap, symbol, outcome, bars, why in fills:
        bounds = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (gap.started_at, gap.ended_at))
        table.add_row(str(gap.id), gap.feed, symbol, *bounds, outcome.replace("_", " "), f"{bars:,}", why or "")
    return table


def _remarks(report: FillReport) -> list[str]:
    remarks = [
        f"gap {gap.id} is of feed {gap.feed}, which is not configured: configure the feed, or delete the gap"
        for gap in report.unknown
    ]
    if report.waiting:
        remarks.append(
            f"{counted(report.waiting, 'gap')} closed too recently, left for a later run (rest.settle_seconds)"
        )
    if report.busy:
        remarks.append(f"being filled by another process: {', '.join(report.busy)}")
    return remarks
