"""`candleworks check`: whether ticks, candles and the platform are as they should be."""

from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from candleworks import clock
from candleworks.cli.console import wide_console
from candleworks.cli.opening import prepared
from candleworks.cli.times import moment, span
from candleworks.errors import UsageError
from candleworks.model.quality import QualityResult
from candleworks.quality import Report, run_checks
from candleworks.quality.registry import ALL, chosen
from candleworks.settings import load_settings

_ORDER = ("error", "failed", "passed")
_STYLES = {"error": "bold red", "failed": "red", "passed": "green"}


def check(
    suite: Annotated[str, typer.Argument(help="ticks, candles, system, or all of them.")] = ALL,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Look at all ticks from this time on (2h, 1d, 2026-01-31T08:00, UTC) instead of those that are new.",
        ),
    ] = None,
) -> None:
    """Check ticks, candles and the platform; store the results, and open or end alerts.

    Without --since each check looks at what came since its last run. Ends with exit status 1 when something failed or a
    check broke; docs/checks/ has a page for each check.
    """
    settings = load_settings()
    start = _start(since)
    chosen(settings, suite)  # a wrong name is told before anything is started
    with prepared(settings) as dsn:
        report = run_checks(settings, dsn, suite, start)
    _print(report)
    if not report.passed:
        raise typer.Exit(1)


def _start(text: str | None) -> datetime | None:
    if text is None:
        return None
    start = clock.now() - span(text) if text[-1:] in "mhd" and text[:-1].isdigit() else moment(text)
    if start >= clock.now():
        raise UsageError(f"--since is {text!r}, which has not come yet: name a time that is over.")
    return start


def _print(report: Report) -> None:
    table = Table("check", "subject", "status", "observed", "expected")
    for result in sorted(report.results, key=_worst_first):
        cells = (result.check, result.subject, result.status, result.observed or "", result.expected or "")
        table.add_row(*map(escape, cells), style=_STYLES[result.status] if result.status != "passed" else None)
    wide_console().print(table)
    if report.idle:
        typer.echo(f"nothing new to look at for {', '.join(report.idle)}")
    typer.echo(
        f"{len({result.check for result in report.results})} checks in {report.seconds:.1f} s:"
        f" {len(report.failed):,} failed, {len(report.broken):,} broke"
    )


def _worst_first(result: QualityResult) -> tuple[int, str, str]:
    return _ORDER.index(result.status), result.check, result.subject
