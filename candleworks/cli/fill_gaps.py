"""`candleworks fill-gaps`: what the feeds missed, from the vendor's bars."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from candleworks.cli.candles import FORMATS
from candleworks.gapfill.fill import FillProgress, FillReport, GapFill
from candleworks.gapfill.fill import fill_gaps as fill
from candleworks.runtime.database import prepared
from candleworks.settings import load_settings
from candleworks.wording import counted

SHOWN_ROWS = 50


def fill_gaps(
    feed: Annotated[str | None, typer.Option(help="Only gaps of this feed.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Only this symbol.")] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=FORMATS, help="Only gaps that ended after this moment, UTC.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be fetched, and ask the vendor nothing.")
    ] = False,
    retry_credits: Annotated[
        bool,
        typer.Option(
            "--retry-credits", help="Ask the vendor again although it said that the day's API credits are used up."
        ),
    ] = False,
) -> None:
    """Fill the booked gaps with one-minute bars of the vendor's REST interface, and their candles with them.

    Each symbol costs an API credit per 5,000 minutes; rest in the configuration says how many credits there are. Safe
    to interrupt and to repeat. Ends with exit status 1 when something could not be fetched.
    """
    settings = load_settings()
    with prepared(settings) as dsn, Console().status("looking for gaps") as status:

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
            since=since.replace(tzinfo=UTC) if since else None,
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
        typer.echo(f"and {len(report.fills) - SHOWN_ROWS:,} more, all in gap_fills")
    for line in _remarks(report):
        typer.echo(line)
    if dry_run:
        typer.echo(f"{len(report.fills):,} to fetch for {report.credits:,} API credits")
    else:
        typer.echo(
            f"{report.outcomes}; {counted(len(report.closed), 'gap')} settled, {report.credits:,} API credits spent"
        )
    if report.stopped:
        typer.echo(report.stopped, err=True)


def _table(fills: list[GapFill], *, dry_run: bool) -> Table:
    table = Table("gap", "feed", "symbol", "from (UTC)", "to (UTC)", "outcome", "minutes" if dry_run else "bars", "why")
    for gap, symbol, outcome, bars, why in fills:
        bounds = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (gap.started_at, gap.ended_at))
        table.add_row(str(gap.id), gap.feed, symbol, *bounds, outcome.replace("_", " "), f"{bars:,}", why or "")
    return table


def _remarks(report: FillReport) -> list[str]:
    remarks = [
        f"gap {gap.id} is of the feed {gap.feed}, whose symbols are unknown: configure the feed, or delete the gap"
        for gap in report.unknown
    ]
    if report.waiting:
        remarks.append(f"{report.waiting:,} gaps ended only now and are left to a later run (rest.settle_seconds)")
    if report.busy:
        remarks.append(f"filled by another process right now: {', '.join(report.busy)}")
    return remarks
