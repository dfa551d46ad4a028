"""`candleworks candles refresh` and `candles audit`."""

from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from candleworks.candles.audit import AuditReport
from candleworks.candles.audit import audit as audit_candles
from candleworks.candles.refresh import REFRESHED
from candleworks.candles.refresh import refresh as refresh_candles
from candleworks.cli.console import TIME_EXAMPLES
from candleworks.cli.groups import subcommands
from candleworks.database.engine import engine_of
from candleworks.runtime.database import writing
from candleworks.settings import load_settings
from candleworks.times import past_time
from candleworks.wording import counted, counted_levels

SHOWN_DIFFERENCES = 50

candles = subcommands("Refresh and audit stored candles.")


@candles.command()
def refresh() -> None:
    """Update all candle levels with changed ticks."""
    with writing(load_settings(), "candles refresh") as connection:
        counts, counted_as = refresh_candles(connection), REFRESHED[engine_of(connection)]
    typer.echo(f"candles {counted_as}: {counted_levels(counts) or 'none'}")


@candles.command()
def audit(
    start: Annotated[
        datetime | None, typer.Option("--from", parser=past_time, metavar="TIME", help=f"First day, {TIME_EXAMPLES}.")
    ] = None,
    stop: Annotated[
        datetime | None, typer.Option("--to", parser=past_time, metavar="TIME", help="Last day, inclusive.")
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Recompute wrong candles from their ticks.")] = False,
) -> None:
    """Compare stored candles with their ticks.

    Differences are printed and recorded in candle_differences. Exits with status 1 if any remain.
    """
    with writing(load_settings(), "candles audit") as connection:
        report = audit_candles(connection, start, stop, repair=repair)
    _print(report)
    if report.repaired < len(report.differences):
        raise typer.Exit(1)


def _print(report: AuditReport) -> None:
    if report.differences:
        table = Table("level", "symbol", "bucket", "difference", "stored", "expected")
        for found in report.differences[:SHOWN_DIFFERENCES]:
            columns = [
                name for name in found.stored or found.expected or {} if _differs(found.stored, found.expected, name)
            ]
            table.add_row(
                found.level,
                found.symbol,
                f"{found.bucket:%Y-%m-%d %H:%M}",
                found.kind,
                *(
                    "-" if side is None else ", ".join(f"{name}={side[name]}" for name in columns)
                    for side in (found.stored, found.expected)
                ),
            )
        Console().print(table)
    if len(report.differences) > SHOWN_DIFFERENCES:
        typer.echo(f"and {len(report.differences) - SHOWN_DIFFERENCES:,} more: see candle_differences")
    typer.echo(
        f"audited {report.start:%Y-%m-%d} to {report.stop:%Y-%m-%d} UTC:"
        f" {counted(len(report.differences), 'difference')}, {report.repaired:,} repaired"
    )


def _differs(stored: dict[str, object] | None, expected: dict[str, object] | None, name: str) -> bool:
    return stored is None or expected is None or stored[name] != expected[name]
