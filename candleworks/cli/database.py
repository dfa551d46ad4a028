"""Commands about the database itself: `migrate`, `maintain`, `dsn` and `reader`."""

import logging
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from candleworks.candles.maintenance import maintain as maintain_database
from candleworks.database.connection import describe
from candleworks.database.migrations import plan_migration
from candleworks.database.reader_role import READER, save_page_url, set_up_reader
from candleworks.database.server import database, has_database
from candleworks.runtime.database import create_if_empty, prepare, writing
from candleworks.settings import Settings, load_settings
from candleworks.wording import counted, size

log = logging.getLogger(__name__)


def migrate(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be applied, without changing anything.")
    ] = False,
) -> None:
    """Apply pending migrations and update calendars.

    It is safe to repeat. Besides this command only `up` and `ingest` change the schema, unless storage.migrate is
    manual.
    """
    settings = load_settings()
    if dry_run:
        _show_plan(settings)
        return
    with database(settings) as connection_string:
        done = prepare(connection_string, settings, typer.echo)
    if done.calendars:
        typer.echo(f"Computed trading sessions: {', '.join(done.calendars)}.")
    if not any(done):
        typer.echo("Nothing to apply: the database is up to date.")


def _show_plan(settings: Settings) -> None:
    if not has_database(settings):
        typer.echo(f"There is no database in {settings.home} yet: `candleworks migrate` would create one.")
        return
    with database(settings) as connection_string:
        found = plan_migration(connection_string)
    for name in found.pending:
        typer.echo(f"would apply {name}")
    for table, rows in found.adopted.items():
        typer.echo(f"would adopt {counted(rows, 'row')} of {table} and rename it to {table}_before_candleworks")
    if found.pending:
        typer.echo(f"Nothing was changed in {describe(connection_string)}.")
    else:
        typer.echo("Nothing to apply: the database is up to date.")


def maintain() -> None:
    """Apply retention and compress old data.

    Candles are refreshed first and never dropped; only TimescaleDB compresses. Schedule it once a night.
    """
    settings = load_settings()
    with writing(settings, "maintain") as connection:
        done = maintain_database(connection, settings)
    if not done:
        typer.echo("Nothing to do.")
        return
    table = Table("relation", "work", "before", "after", "ratio", "compressed part")
    for work in done:
        smaller = f"{work.before.bytes / work.after.bytes:.1f} x" if work.after.bytes else "-"
        ratio = f"{work.after.ratio:.1f} x" if work.after.ratio else "-"
        table.add_row(work.relation, str(work), size(work.before.bytes), size(work.after.bytes), smaller, ratio)
    Console().print(table)


def dsn() -> None:
    """Print the connection string of the database.

    For example: psql "$(candleworks dsn)". The embedded server is started if it is not running, and an empty database
    on it is set up first. A server that this command started keeps running until another command that uses it ends,
    such as candleworks status, which then stops it.
    """
    settings = load_settings()
    with database(settings, keep_running=True) as connection_string:
        create_if_empty(connection_string, settings, "embedded", log.info)
        typer.echo(connection_string)


def reader() -> None:
    """Set up the read-only role for dashboards.

    The role is candleworks_reader; its password is CANDLEWORKS_READER_PASSWORD. Dashboards link to the chart page at
    alerts.page_url.
    """
    settings = load_settings()
    password = settings.reader_password.get_secret_value() if settings.reader_password else None
    with writing(settings, "reader") as connection:
        set_up_reader(connection, password)
        save_page_url(connection, settings.page_url)
    outcome = "its password is that of CANDLEWORKS_READER_PASSWORD" if password else "its password was not changed"
    typer.echo(f"{READER} can read the public relations; {outcome}")
