"""The program `candleworks` and its commands."""

import signal
import sys
from typing import Annotated

import typer

from candleworks import __version__
from candleworks.cli.alerts import alerts
from candleworks.cli.candles import candles
from candleworks.cli.check import check
from candleworks.cli.console import DEBUG, explain
from candleworks.cli.database import dsn, maintain, migrate, reader
from candleworks.cli.export import export
from candleworks.cli.fill_gaps import fill_gaps
from candleworks.cli.imports import import_files, sync_companies
from candleworks.cli.rejected import rejected
from candleworks.cli.replay import replay
from candleworks.cli.services import grafana, ingest, serve, simulate
from candleworks.cli.status import doctor, status
from candleworks.cli.up import up
from candleworks.errors import CandleworksError
from candleworks.processes import stop_signals, stop_with_parent

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, add_completion=False)
for command in (up, ingest, serve, grafana, simulate, replay, status, doctor, migrate, maintain, dsn, reader):
    app.command()(command)
app.command("import")(import_files)
app.command()(export)
app.command()(check)
app.command()(fill_gaps)
app.command()(sync_companies)
app.add_typer(candles, name="candles")
app.add_typer(alerts, name="alerts")
app.add_typer(rejected, name="rejected")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"candleworks {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Print tracebacks of errors.")] = False,
) -> None:
    """Store market ticks in PostgreSQL or TimescaleDB and keep OHLC candles up to date."""


def main() -> None:
    """Run a command; expected errors are printed as one line."""
    # Until a command handles them itself, they unwind: an embedded server is stopped.
    for number in set(stop_signals()) - {signal.SIGINT}:
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    stop_with_parent()
    try:
        arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]  # allowed anywhere
        app(args=arguments, prog_name="candleworks")
    except CandleworksError as error:
        explain(error)
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        # A home, log or lock that cannot be written; an error without a path is a bug.
        if error.filename is None:
            raise
        explain(
            error,
            f"{error.filename} cannot be used ({error.strerror}): correct its permissions, or use another path.",
        )
        raise SystemExit(1) from None
