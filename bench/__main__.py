"""`python -m bench [--rows N] [--seconds N] [NAME...]`: run measurements and print one table."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from bench import audit, checks, imports, latency, live, panels, push, reader, soak, start, stored
from bench.databases import Databases, running_databases
from bench.report import Measurement, Options, save, show

MEASUREMENTS: dict[str, Callable[[Databases, Options], Iterator[Measurement]]] = {
    "live": live.measure,
    "import": imports.measure,
    "again": imports.measure_again,
    "memory": imports.measure_memory,
    "latency": latency.measure,
    "push": push.measure,
    "stored": stored.measure,
    "audit": audit.measure,
    "reader": reader.measure,
    "panels": panels.measure,
    "checks": checks.measure,
    "start": start.measure,
    "soak": soak.measure,
}
ONLY_NAMED = {"soak"}  # it takes an hour


def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"Which: {', '.join(MEASUREMENTS)}. All but {', '.join(sorted(ONLY_NAMED))} by default.",
            metavar="NAME",
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=1_000, help="Rows of the imported file.")] = Options.rows,
    ticks: Annotated[int, typer.Option(min=10_000, help="Ticks of the stored history.")] = Options.ticks,
    seconds: Annotated[float, typer.Option(min=1, help="How long each stream runs.")] = Options.seconds,
    rounds: Annotated[int, typer.Option(min=1, help="How often both sides alternate; medians count.")] = Options.rounds,
    starts: Annotated[int, typer.Option(min=1, help="How often the platform starts, of each kind.")] = Options.starts,
    minutes: Annotated[float, typer.Option(min=0.5, help="How long the soak runs.")] = Options.minutes,
    json: Annotated[Path | None, typer.Option(help="Write the run to this file, too.")] = None,
) -> None:
    """Measure candleworks beside what people use for the same job."""
    unknown = sorted(set(names or ()) - set(MEASUREMENTS))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)} is none of {', '.join(MEASUREMENTS)}")
    options = Options(rows, ticks, seconds, rounds, starts, minutes)
    found: list[Measurement] = []
    with running_databases() as databases:
        for name in names or (each for each in MEASUREMENTS if each not in ONLY_NAMED):
            typer.echo(f"measuring {name} ...", err=True)
            found += MEASUREMENTS[name](databases, options)
    show(found)
    if json:
        save(json, found)


if __name__ == "__main__":
    typer.run(main)
