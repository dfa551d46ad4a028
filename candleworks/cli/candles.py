"""`candleworks candles refresh` and `candles audit`."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from candleworks.candles.audit import AuditReport
from candleworks.candles.audit import audit as audit_candles
from candleworks.candles.refresh import refresh as refresh_candles
from candleworks.runtime.database import migrated
from candleworks.settings import load_settings
from candleworks.wording import counted, counted_levels

SHOWN_DIFFERENCES = 50
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]

candles = typer.Typer(no_args_is_help=True, help="Look after stored candles.")


@candles.command()
def refresh() -> None:
    """Bring every candle level up to date with the ticks that changed since the last time."""
    with migrated(load_settings(), "candles refresh") as connection:
        changed = refresh_candles(connection)
    typer.echo(f"candles changed: {counted_levels(changed) or 'none'}")


@candles.command()
def audit(
    start: Annotated[datetime | None, typer.Option("--from", formats=FORMATS, help="First day, UTC.")] = None,
    stop: Annotated[
        datetime | None, typer.Option("--to", formats=FORMATS, help="End, UTC; the day is included.")
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Compute wrong candles anew from their ticks.")] = False,
) -> None:
    """Compare stored candles with their ticks, day by day; each difference is printed and kept in candle_differences.

    Ends with exit status 1 when differences remain.
    """
    with migrated(load_settings(), "candles audit") as connection:
        report = audit_candles(connection, _utc(start), _utc(stop), repair=repair)
    _print(report)
    if report.repaired < len(report.differences):
        raise typer.Exit(1)


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None


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
        typer.echo(f"and {len(report.differences) - SHOWN_DIFFERENCES:,} more, all in candle_differences")
    typer.echo(
        f"audited {report.start:%Y-%m-%d} to {report.stop:%Y-%m-%d} UTC:"
        f" {counted(len(report.differences), 'difference')}, {report.repaired:,} repaired"
    )


def _differs(stored: dict[str, object] | None, expected: dict[str, object] | None, name: str) -> bool:
    return stored is None or expected is None or stored[name] != expected[name]
