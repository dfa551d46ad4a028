"""What a measurement yields, and how a run is shown and kept."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from candleworks import clock


@dataclass(frozen=True)
class Options:
    """How long a run may take: `rows` per import, `ticks` of history, `seconds` per stream, `rounds` of a median.

    `starts` of the platform, of each kind. `minutes` of the soak.
    """

    rows: int = 2_000_000
    ticks: int = 10_000_000
    seconds: float = 10.0
    rounds: int = 3
    starts: int = 10
    minutes: float = 60.0


@dataclass(frozen=True)
class Measurement:
    """One line of the table.

    `value` is a ratio to the peer (unit `x`, more is better; `times`, less is better), a time (units `ms` and `s`,
    less is better), or a growth; `budget` is its limit, None for a figure that only informs. `details` are raw figures
    for the JSON file.
    """

    name: str
    ours: str
    against: str
    value: float
    unit: str = "x"
    budget: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        if self.budget is None:
            return None
        return self.value >= self.budget if self.unit == "x" else self.value <= self.budget

    def cells(self) -> tuple[str, ...]:
        sign = "≥" if self.unit == "x" else "≤"
        budget = "" if self.budget is None else f"{sign} {self.budget:g} {self.unit}"
        verdict = {True: "met", False: "missed", None: ""}[self.met]
        return (
            self.name,
            self.ours,
            self.against,
            f"{self.value:.{1 if self.value >= 10 else 2}f} {self.unit}",
            budget,
            verdict,
        )


def show(measurements: Sequence[Measurement]) -> None:
    """Print the table; plain and uncut when the output is no terminal."""
    console = Console()
    table = Table(title=_machine_line(), title_justify="left")
    for heading in ("measurement", "candleworks", "against", "result", "budget", ""):
        table.add_column(heading, overflow="fold")
    for measurement in measurements:
        table.add_row(*measurement.cells())
    if console.is_terminal:
        console.print(table)
        return
    print(_machine_line())
    rows = [("measurement", "candleworks", "against", "result", "budget", ""), *(m.cells() for m in measurements)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def save(path: Path, measurements: Sequence[Measurement]) -> None:
    """Write the run as one JSON object."""
    content = {
        "at": clock.now().isoformat(timespec="seconds"),
        "machine": _machine(),
        "measurements": [asdict(measurement) | {"met": measurement.met} for measurement in measurements],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": os.getloadavg()[0],
    }


def _machine_line() -> str:
    machine = _machine()
    return f"{machine['cores']} cores, {machine['system']}, Python {machine['python']}, PostgreSQL 18 (embedded)"
