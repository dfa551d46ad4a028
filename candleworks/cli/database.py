"""`candleworks migrate` and `dsn`: the database itself."""

import typer

from candleworks.cli.opening import prepare, prepared
from candleworks.settings import load_settings
from candleworks.storage.connection import database


def migrate() -> None:
    """Bring the database's tables, views and calendars up to date; harmless to repeat."""
    settings = load_settings()
    with database(settings) as connection_string:
        done = prepare(connection_string, settings, typer.echo)
    for line in done or ["nothing to apply"]:
        typer.echo(line)


def dsn() -> None:
    """Print the connection string in use, and start the embedded server if it is not running.

    For example: psql "$(candleworks dsn)"
    """
    with prepared(load_settings(), keep_running=True) as connection_string:
        typer.echo(connection_string)
