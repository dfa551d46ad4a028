"""`candleworks check`: whether ticks, candles and the platform are as they should be."""

from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from candleworks import clock
from candleworks.alerts.routing import waiting
from candleworks.cli.console import wide_console
from candleworks.database.connection import connect, transient_errors
from candleworks.database.profiles import READER
from candleworks.errors import UsageError
from candleworks.model.quality import QualityResult
from candleworks.quality import Report, run_checks
from candleworks.quality.registry import ALL, chosen
from candleworks.runtime.database import prepared
from candleworks.settings import load_settings
from candleworks.times import past_time


def check(
    suite: Annotated[str, typer.Argument(help="ticks, candles, system, or all of them.")] = ALL,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=past_time,
            metavar="TIME",
            help="Look at all ticks from this time on (2h, 1d, 2026-01-31T08:00, UTC) instead of those that are new.",
        ),
    ] = None,
) -> None:
    """Check ticks, candles and the platform; store the results, and fire or resolve alerts.

    Without --since each check looks at what came since its last run. Notifications are sent by `alerts watch` or
    `alerts deliver`, to the recipients that those have. Ends with exit status 1 when a check failed or ended in an
    error; docs/checks/ has a page for each check.
    """
    settings = load_settings()
    if since is not None and since >= clock.now():
        raise UsageError(f"--since is {since:%Y-%m-%dT%H:%M:%SZ}, which is in the future: give a past time.")
    chosen(settings, suite)  # a wrong name is told before anything is started
    with prepared(settings) as dsn:
        report = run_checks(settings, dsn, suite, since)
        with transient_errors(dsn), connect(dsn, "check", profile=READER) as connection:
            pending = waiting(connection)
    _print(report, pending)
    if not report.passed:
        raise typer.Exit(1)


def _print(report: Report, pending: str | None) -> None:
    """Print a table of what passed, what was idle, which notifications wait, a line per failure, and the counts."""
    table = Table("check", "subject", "observed")
    for result in report.results:
        if result.status == "passed":
            table.add_row(*map(escape, (result.check, result.subject, result.observed or "")))
    wide_console().print(table)
    if report.idle:
        typer.echo(f"nothing new to look at for {', '.join(report.idle)}")
    if pending:
        typer.echo(pending)
    for result in (*report.errors, *report.failed):
        typer.echo(typer.style(_line(result), fg="red"))
    typer.echo(f"{report.counts}, in {report.seconds:.1f} s")


def _line(result: QualityResult) -> str:
    expected = f" (expected: {result.expected})" if result.expected else ""
    return f"{result.status}: {result.check} of {result.subject}: {result.observed}{expected}"
