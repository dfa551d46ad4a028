"""`candleworks`: every command of the platform."""

import signal
import sys
from typing import Annotated

import typer

from candleworks import __version__
from candleworks.cli.alerts import alerts
from candleworks.cli.candles import candles
from candleworks.cli.check import check
from candleworks.cli.console import DEBUG, explain
from candleworks.cli.database import dsn, migrate
from candleworks.cli.export import export
from candleworks.cli.fill_gaps import fill_gaps
from candleworks.cli.grafana import grafana
from candleworks.cli.importing import import_files
from candleworks.cli.ingest import ingest
from candleworks.cli.inspect import doctor, maintain, status
from candleworks.cli.reader import reader
from candleworks.cli.rejected import rejected
from candleworks.cli.replay import replay
from candleworks.cli.serve import serve
from candleworks.cli.simulate import simulate
from candleworks.cli.sync_companies import sync_companies
from candleworks.cli.up import up
from candleworks.errors import CandleworksError
from candleworks.runtime.processes import stop_with_parent
from candleworks.signals import stop_signals

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, add_completion=False)
for command in (up, ingest, serve, migrate, status, doctor, maintain, dsn, simulate, replay, sync_companies):
    app.command()(command)
app.command("import")(import_files)
app.command()(export)
app.command()(check)
app.command()(fill_gaps)
app.command()(reader)
app.command()(grafana)
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
    debug: Annotated[bool, typer.Option(DEBUG, help="Show a traceback instead of a one-line error.")] = False,
) -> None:
    """Market ticks in, correct OHLC candles out."""


def main() -> None:
    """Run a command; expected failures become one line and an exit status."""
    # Until a command takes them into its own hands, they unwind what was begun: an embedded server is stopped.
    for number in set(stop_signals()) - {signal.SIGINT}:
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    stop_with_parent()
    try:
        arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]  # it may stand anywhere
        app(args=arguments, prog_name="candleworks")
    except CandleworksError as error:
        explain(error)
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        # A home, a log or a lock that cannot be written; anything without a path is a mistake of ours.
        if error.filename is None:
            raise
        explain(
            error,
            f"{error.filename} cannot be used ({error.strerror}): correct its permissions, or name another place.",
        )
        raise SystemExit(1) from None
