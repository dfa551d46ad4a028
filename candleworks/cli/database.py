"""`candleworks migrate` and `dsn`: the database itself."""

import typer

from candleworks.settings import load_settings
from candleworks.storage.connection import database
from candleworks.storage.migrations import migrate as apply_migrations


def migrate() -> None:
    """Bring the database's tables and views up to this version; harmless to repeat."""
    settings = load_settings()
    with database(settings) as dsn:
        applied = apply_migrations(dsn, settings)
    for name in applied:
        typer.echo(f"applied {name}")
    if not applied:
        typer.echo("nothing to apply")


def dsn() -> None:
    """Print the connection string in use, and start the embedded server if it is not running.

    For example: psql "$(candleworks dsn)"
    """
    settings = load_settings()
    with database(settings, keep_running=True) as connection_string:
        apply_migrations(connection_string, settings)
        typer.echo(connection_string)
