"""`candleworks backfill`: history of new symbols, from the vendor's bars."""

from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from candleworks.backfill.backfill import backfill as load
from candleworks.backfill.plan import BackfillRequest
from candleworks.backfill.report import BackfillProgress, BackfillReport, PlannedBackfill
from candleworks.runtime.database import prepared
from candleworks.settings import load_settings
from candleworks.storage.backfills import BackfillRecord
from candleworks.wording import counted

SHOWN_ROWS = 50


def backfill(
    symbols: Annotated[
        list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="Only these symbols. [default: all]")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Days of history. [default: feeds[].backfill_days]")
    ] = None,
    years: Annotated[
        int | None,
        typer.Option(min=1, max=30, help="Years of daily bars before that. [default: feeds[].backfill_years]"),
    ] = None,
    feed: Annotated[str | None, typer.Option(help="Only symbols of this feed.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be fetched, without requests to the vendor.")
    ] = False,
) -> None:
    """Load the history of new symbols from the vendor's bars.

    One-minute bars before the first tick of each symbol are fetched with the REST API, the newest first, and candles
    are updated; names of companies are looked up. Daily bars of the years before follow, which fill days and longer
    periods only. A request costs one API credit and returns up to 5,000 bars; `rest` in the configuration limits the
    credits, of which a share is left to gaps. Safe to interrupt and to repeat. What failed is tried again after a
    while, or at once when symbols, days or years are given. Exits with status 1 if something could not be fetched.
    """
    settings = load_settings()
    with prepared(settings) as dsn, Console().status("reading histories") as status:

        def show(progress: BackfillProgress) -> None:
            percent = 100 * progress.done // progress.wanted if progress.wanted else 0
            text = f"{percent} % loaded: {progress.now}"
            status.update(text)
            if not status.console.is_terminal:
                status.console.print(text, highlight=False, soft_wrap=True)

        request = BackfillRequest(symbols or (), days, feed, years)
        report = load(settings, dsn, request, dry_run=dry_run, progress=show)
    _print(report, dry_run=dry_run)
    if not report.complete:
        raise typer.Exit(1)


def _print(report: BackfillReport, *, dry_run: bool) -> None:
    rows = len(report.planned) + len(report.records)
    if rows:
        console = Console()
        console.print(_plan(report.planned[:SHOWN_ROWS]) if dry_run else _table(report.records[:SHOWN_ROWS]))
    if rows > SHOWN_ROWS:
        typer.echo(f"and {rows - SHOWN_ROWS:,} more{'' if dry_run else ': see backfills'}")
    if report.busy:
        typer.echo(f"being loaded by another process: {', '.join(report.busy)}")
    api_credits = counted(report.credits, "API credit", "API credits")
    if dry_run:
        typer.echo(f"{counted(rows, 'symbol')} to load for at most {api_credits}")
    else:
        names = counted(report.named, "company", "companies")
        typer.echo(f"{report.outcomes}; {report.stored} stored, {names} named, {api_credits} used")
    if report.stopped:
        typer.echo(report.stopped, err=True)


def _plan(planned: list[PlannedBackfill]) -> Table:
    table = Table("feed", "symbol", "from (UTC)", "to (UTC)", "minutes")
    daily = any(each.days for each in planned)
    if daily:
        table.add_column("daily bars from")
    for each in planned:
        days = [_date(each.daily_wanted_from)] if daily else []
        table.add_row(each.feed, each.symbol, _time(each.wanted_from), _time(each.until), f"{each.minutes:,}", *days)
    return table


def _table(records: list[BackfillRecord]) -> Table:
    table = Table("feed", "symbol", "from (UTC)", "to (UTC)", "outcome", "bars", "reason")
    for found in records:
        bounds = (_time(found.fetched_from), _time(found.fetched_until))
        bars = f"{found.bars:,}\n{found.daily_bars:,} daily" if found.daily_wanted_from else f"{found.bars:,}"
        table.add_row(found.feed, found.symbol, *bounds, found.outcome, bars, found.reason or "")
    return table


def _date(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d}" if time else "-"


def _time(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else "-"
