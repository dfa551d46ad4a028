"""`candleworks migrate` and `dsn`: the database itself."""

import logging
from typing import Annotated

import typer

from candleworks.database.connection import describe
from candleworks.database.migrations import plan_migration
from candleworks.database.server import database, has_database
from candleworks.runtime.database import create_if_empty, prepare
from candleworks.settings import Settings, load_settings
from candleworks.wording import counted

log = logging.getLogger(__name__)


def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
) -> None:
    """Bring the database's tables, views and calendars up to date; harmless to repeat.

    No other command changes tables but `up` and `ingest`, unless storage.migrate in the configuration is manual.
    """
    settings = load_settings()
    if dry_run:
        _show_plan(settings)
        return
    with database(settings) as connection_string:
        done = prepare(connection_string, settings, typer.echo)
    if done.calendars:
        typer.echo(f"Computed the sessions of {', '.join(done.calendars)}.")
    if not any(done):
        typer.echo("nothing to apply")


def _show_plan(settings: Settings) -> None:
    if not has_database(settings):
        typer.echo(f"There is no database in {settings.home} yet: migrate would make one there.")
        return
    with database(settings) as connection_string:
        found = plan_migration(connection_string)
    for name in found.pending:
        typer.echo(f"would apply {name}")
    for table, rows in found.adopted.items():
        typer.echo(
            f"would adopt {counted(rows, 'row')} of {table} and keep the old table as {table}_before_candleworks"
        )
    typer.echo(f"nothing was changed in {describe(connection_string)}" if found.pending else "nothing to apply")


def dsn() -> None:
    """Print the connection string in use, and start the embedded server if it is not running.

    For example: psql "$(candleworks dsn)". An embedded database that is new gets its tables.
    """
    settings = load_settings()
    with database(settings, keep_running=True) as connection_string:
        create_if_empty(connection_string, settings, "embedded", log.info)
        typer.echo(connection_string)
