"""`candleworks migrate`, `dsn`, `candles refresh` and `status`: the database at a glance."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from candleworks.candles.refresh import refresh as refresh_candles
from candleworks.settings import load_settings
from candleworks.storage.connection import connect, database, describe
from candleworks.storage.migrations import migrate as apply_migrations
from candleworks.storage.statistics import read_status

candles = typer.Typer(no_args_is_help=True, help="Look after stored candles.")


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


@candles.command()
def refresh() -> None:
    """Bring every candle level up to date with the ticks that changed since the last time."""
    settings = load_settings()
    with database(settings) as dsn:
        apply_migrations(dsn, settings)
        with connect(dsn, "candleworks candles refresh") as connection:
            changed = refresh_candles(connection)
    text = ", ".join(f"{count} of {level}" for level, count in changed.items() if count)
    typer.echo(f"candles changed: {text or 'none'}")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Show what is stored and what each feed did in its latest ten seconds."""
    settings = load_settings()
    with database(settings) as dsn:
        apply_migrations(dsn, settings)
        with connect(dsn, "candleworks status") as connection:
            found = {
                "database": describe(dsn),
                **read_status(connection, {feed.name: feed.symbols for feed in settings.feeds}),
            }
    if as_json:
        typer.echo(json.dumps(found, default=str))
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    console = Console()
    feeds = found.pop("feeds")
    overview = Table(show_header=False, box=None)
    for name, value in found.items():
        overview.add_row(name.replace("_", " "), "none" if value is None else str(value))
    console.print(overview)
    if not feeds:
        console.print("No feed has run yet.")
        return
    table = Table(*(name.replace("_", " ") for name in feeds[0]))
    for feed in feeds:
        table.add_row(*("" if value is None else _cell(value) for value in feed.values()))
    console.print(table)


def _cell(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
