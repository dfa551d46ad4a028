"""The program `candleworks` and its commands."""

import signal
import sys
from typing import Annotated

import typer

from candleworks import __version__
from candleworks.cli.groups import PLAIN, CommandEntry, lazy_group
from candleworks.cli.program import DEBUG, explain, program_name
from candleworks.errors import CandleworksError
from candleworks.processes import stop_signals, stop_with_parent

SECTIONS = {
    "Start": (
        CommandEntry("up", "up:up", "Start the whole platform in the foreground."),
        CommandEntry("status", "status:status", "Show the state of database, feeds and symbols."),
        CommandEntry("doctor", "doctor:doctor", "Check what is not ready for production yet."),
    ),
    "Data": (
        CommandEntry("import", "imports:import_files", "Import ticks, bars or companies from files."),
        CommandEntry("export", "export:export", "Export ticks or candles to files."),
        CommandEntry("fill-gaps", "fill_gaps:fill_gaps", "Fill recorded gaps with the vendor's bars."),
        CommandEntry("backfill", "backfill:backfill", "Load the history of new symbols from the vendor's bars."),
        CommandEntry("sync-companies", "imports:sync_companies", "Look up the companies behind the symbols."),
        CommandEntry("rejected", "rejected:rejected", "List, show and retry rejected ticks."),
        CommandEntry("replay", "replay:replay", "Replay recorded trades into a separate database."),
    ),
    "Candles": (CommandEntry("candles", "candles:candles", "Refresh and audit stored candles."),),
    "Quality": (
        CommandEntry(
            "check",
            "check:check",
            "Check ticks, candles and the platform, store the results, and fire or resolve alerts.",
        ),
        CommandEntry(
            "alerts",
            "alerts:alerts",
            "List, acknowledge, silence and resolve alerts, and deliver their notifications.",
        ),
    ),
    "Database": (
        CommandEntry("migrate", "database:migrate", "Apply pending migrations and update calendars."),
        CommandEntry("maintain", "database:maintain", "Apply retention and compress old data."),
        CommandEntry("dsn", "database:dsn", "Print the connection string of the database."),
        CommandEntry("reader", "database:reader", "Set up the read-only role for dashboards."),
    ),
    "Services, which up runs": (
        CommandEntry("ingest", "ingest:ingest", "Stream ticks and keep candles up to date."),
        CommandEntry("serve", "serve:serve", "Serve the chart page, candle data and metrics."),
        CommandEntry("simulate", "simulate:simulate", "Run a simulated Twelve Data server."),
        CommandEntry("grafana", "serve:grafana", "Run an installed Grafana with the dashboards."),
    ),
}
# What people try who know other programs.
SYNONYMS = {
    **dict.fromkeys(("start", "run", "demo", "init", "quickstart"), "up"),
    **dict.fromkeys(("load", "import-file"), "import"),
    **dict.fromkeys(("web", "ui", "dashboard"), "serve"),
    "stream": "ingest",
    "psql": "dsn",
    "version": "--version",
    "help": "--help",
}
WELCOME = """\
candleworks stores market ticks in PostgreSQL or TimescaleDB and keeps OHLC
candles up to date. Start with one of these:

  {program} up
      Start everything: a simulated feed, candles, the chart page, Prefect.
  {program} import ticks.csv
      Store ticks, bars or companies from files.
  {program} doctor
      Check what is not ready for production yet.

{program} --help lists all commands, and COMMAND --help explains one.\
"""

app = typer.Typer(cls=lazy_group(SECTIONS, SYNONYMS), invoke_without_command=True, **PLAIN)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"candleworks {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Print tracebacks of errors.")] = False,  # noqa: ARG001 - see main()
) -> None:
    """Store market ticks in PostgreSQL or TimescaleDB and keep OHLC candles up to date."""
    if context.invoked_subcommand is None:
        typer.echo(WELCOME.format(program=program_name()))


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
