"""`candleworks candles refresh` and `candles audit`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from candleworks.candles.audit import AuditReport
from candleworks.candles.audit import audit as audit_candles
from candleworks.candles.refresh import REFRESHED
from candleworks.candles.refresh import refresh as refresh_candles
from candleworks.cli.console import RangeEnd, RangeStart
from candleworks.cli.groups import subcommands
from candleworks.cli.progress import ProgressDisplay
from candleworks.database.engine import engine_of
from candleworks.errors import TerminalError
from candleworks.runtime.database import writing
from candleworks.settings import load_settings
from candleworks.storage.candles import CandleDifference
from candleworks.times import check_range
from candleworks.wording import counted, counted_levels

candles = subcommands("Refresh and audit stored candles.")


@candles.command()
def refresh() -> None:
    """Update all candle levels with changed ticks."""
    with writing(load_settings(), "candles refresh") as connection, ProgressDisplay("minutes") as progress:
        counts = refresh_candles(connection, lambda done, steps, now: _show(progress, "refresh", done, steps, now))
        counted_as = REFRESHED[engine_of(connection)]
    typer.echo(f"candles {counted_as}: {counted_levels(counts) or 'none'}")


@candles.command()
def audit(
    start: RangeStart = None,
    stop: RangeEnd = None,
    repair: Annotated[bool, typer.Option("--repair", help="Recompute wrong candles from their ticks.")] = False,
) -> None:
    """Compare stored candles with their ticks.

    Whole UTC days are compared. Differences are printed, one per line, and recorded in candle_differences. Exits with
    status 1 if any remain, or if no ticks are stored in the range.
    """
    check_range(start, stop)
    with writing(load_settings(), "candles audit") as connection, ProgressDisplay("levels") as progress:
        report = audit_candles(
            connection,
            start,
            stop,
            repair=repair,
            progress=lambda done, steps, now: _show(progress, "audit", done, steps, now),
        )
    if not report.days:
        raise TerminalError(f"Nothing was audited, no ticks are stored{_range(start, stop)}: check --from and --to.")
    _print(report)
    if report.repaired < len(report.differences):
        raise typer.Exit(1)


def _show(progress: ProgressDisplay, subject: str, done: int, steps: int, now: str) -> None:
    progress.show(subject, None, done / steps if steps else 1.0, now)


def _range(start: datetime | None, stop: datetime | None) -> str:
    bounds = ((" from", start), (" before", stop))
    return "".join(f"{word} {time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" for word, time in bounds if time)


def _print(report: AuditReport) -> None:
    for found in report.differences:
        typer.echo(_line(found))
    typer.echo(
        f"audited {counted(len(report.days), 'day')}, {report.days[0]:%Y-%m-%d} to {report.days[-1]:%Y-%m-%d} (UTC):"
        f" {counted(len(report.differences), 'difference')}, {report.repaired:,} repaired"
    )


def _line(found: CandleDifference) -> str:
    columns = [name for name in found.stored or found.expected or {} if _differs(found.stored, found.expected, name)]
    sides = [
        f"{side} {', '.join(f'{name}={candle[name]}' for name in columns)}"
        for side, candle in (("stored", found.stored), ("expected", found.expected))
        if candle is not None
    ]
    return f"{found.level} {found.symbol} {found.bucket:%Y-%m-%d %H:%M} {found.kind}: {'; '.join(sides)}"


def _differs(stored: dict[str, object] | None, expected: dict[str, object] | None, name: str) -> bool:
    return stored is None or expected is None or stored[name] != expected[name]
