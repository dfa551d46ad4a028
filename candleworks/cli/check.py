"""`candleworks check`: checks ticks, candles and the platform."""

from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from candleworks import clock
from candleworks.alerts.routing import pending
from candleworks.cli.console import wide_console
from candleworks.database.connection import connect, transient_errors
from candleworks.database.profiles import READER
from candleworks.errors import UsageError
from candleworks.model.alerts import CheckResult
from candleworks.quality import Report, run_checks
from candleworks.quality.registry import ALL, SUITES, select_checks
from candleworks.runtime.database import prepared
from candleworks.settings import load_settings
from candleworks.times import past_time


def _complete_suite(incomplete: str) -> list[str]:
    return [name for name in (*SUITES, ALL) if name.startswith(incomplete)]


def check(
    suite: Annotated[str, typer.Argument(help="ticks, candles, system, or all.", autocompletion=_complete_suite)] = ALL,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=past_time,
            metavar="TIME",
            help="Check all ticks from this time on (2h, 1d, 2026-01-31T08:00, UTC) instead of new ones.",
        ),
    ] = None,
) -> None:
    """Check ticks, candles and the platform, store the results, and fire or resolve alerts.

    Without --since each check covers what arrived since its last run. Notifications are delivered by `alerts watch` or
    `alerts deliver`. Exits with status 1 when a check failed or could not be run; docs/checks/ describes every check.
    """
    settings = load_settings()
    if since is not None and since >= clock.now():
        raise UsageError(f"--since is {since:%Y-%m-%dT%H:%M:%SZ}, which is in the future: give a past time.")
    select_checks(settings, suite)  # rejects a wrong name before anything is started
    with prepared(settings) as dsn:
        report = run_checks(settings, dsn, suite, since)
        with transient_errors(dsn), connect(dsn, "check", profile=READER) as connection:
            notifications = pending(connection)
    _print(report, notifications)
    if not report.passed:
        raise typer.Exit(1)


def _print(report: Report, notifications: str | None) -> None:
    """Print what passed, checks without new rows, pending notifications, a line per failure, and the counts."""
    table = Table("check", "subject", "observed")
    for result in report.results:
        if result.status == "passed":
            table.add_row(*map(escape, (result.check, result.subject, result.observed or "")))
    wide_console().print(table)
    if report.idle:
        typer.echo(f"no new rows: {', '.join(report.idle)}")
    if notifications:
        typer.echo(notifications)
    for result in (*report.errors, *report.failed):
        typer.echo(typer.style(_line(result), fg="red"))
    typer.echo(f"{report.counts}, in {report.seconds:.1f} s")


def _line(result: CheckResult) -> str:
    expected = f" (expected: {result.expected})" if result.expected else ""
    return f"{result.status}: {result.check} of {result.subject}: {result.observed}{expected}"
