"""`candleworks doctor`: what is not yet right for production."""

import json
import os
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from candleworks.cli.console import AsJson
from candleworks.cli.program import program_name
from candleworks.doctor.diagnosis import Diagnosis, diagnose
from candleworks.doctor.findings import DoctorLevel, Finding, broken
from candleworks.errors import ConfigurationError
from candleworks.settings import load_settings
from candleworks.wording import counted

STYLES = {
    DoctorLevel.OK: "green",
    DoctorLevel.SKIPPED: "dim",
    DoctorLevel.NOTE: "cyan",
    DoctorLevel.WARNING: "yellow",
    DoctorLevel.BROKEN: "red",
}
QUIET = (DoctorLevel.OK, DoctorLevel.SKIPPED)

ShowAll = Annotated[bool, typer.Option("--all", help="Also show the checks that passed or were skipped.")]


def doctor(everything: ShowAll = False, as_json: AsJson = False) -> None:
    """Check what is not ready for production yet.

    Each finding comes with the command or setting that corrects it: a note is worth knowing, a warning is not right for
    production, and what is broken does not work. Exits with status 1 if something is broken. It changes nothing.
    """
    try:
        found = diagnose(load_settings(), os.environ)
    except ConfigurationError as error:
        found = Diagnosis({"configuration": [broken(str(error))]}, {})
    if as_json:
        typer.echo(json.dumps(_plain(found)))
    else:
        _print(found, everything=everything)
    if found.counts[DoctorLevel.BROKEN]:
        raise typer.Exit(1)


def _print(found: Diagnosis, *, everything: bool) -> None:
    console = Console(highlight=False)
    surroundings, table, ends_with_fix = _table(2), _table(3), False
    for name, text in found.surroundings.items():
        surroundings.add_row(name, escape(text))
    for level in reversed(DoctorLevel):
        if everything or level not in QUIET:
            for check, finding in _rows(found, level):
                table.add_row(f"[{STYLES[level]}]{level}[/]", check, _text(finding))
                ends_with_fix = bool(finding.fix)  # and so with an empty line
    if found.surroundings:
        console.print(surroundings, "")
    if table.row_count:
        console.print(table, *([] if ends_with_fix else [""]))
    console.print(_summary(found))


def _table(columns: int) -> Table:
    """Return a table without lines that continues what is too wide, such as a path, in the next line."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for _ in range(columns):
        table.add_column(overflow="fold")
    return table


def _rows(found: Diagnosis, level: DoctorLevel) -> Iterator[tuple[str, Finding]]:
    for check, findings in found.found.items():
        yield from ((check, finding) for finding in findings if finding.level is level)


def _text(finding: Finding) -> str:
    return escape(f"{finding.text}\n{_with_program(finding.fix)}\n" if finding.fix else finding.text)


def _with_program(fix: str) -> str:
    """Write the commands as they can be typed here."""
    return fix.replace("`candleworks ", f"`{program_name()} ")


def _summary(found: Diagnosis) -> str:
    counts = found.counts
    numbers = {level: counts[level] for level in reversed(DoctorLevel) if counts[level]}
    plurals = {DoctorLevel.WARNING: "warnings", DoctorLevel.NOTE: "notes"}
    parts = [f"{count} {plurals.get(level, level) if count > 1 else level}" for level, count in numbers.items()]
    return f"{counted(len(found.found), 'check')}: {', '.join(parts)}"


def _plain(found: Diagnosis) -> dict[str, object]:
    rows = [
        {"check": check, "level": finding.level, "finding": finding.text, "fix": _with_program(finding.fix) or None}
        for check, findings in found.found.items()
        for finding in findings
    ]
    return {"counts": found.counts, "surroundings": found.surroundings, "checks": rows}
