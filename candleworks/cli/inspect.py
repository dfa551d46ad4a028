"""`candleworks status`, `doctor` and `maintain`: what is there, whether it is well, and the nightly work."""

import dataclasses
import json
import shutil
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from candleworks import __version__
from candleworks.cli.alert_recipients import notification_facts
from candleworks.cli.feed_report import feed_tables, with_monitoring
from candleworks.database.connection import describe
from candleworks.runtime.database import migrated, reading
from candleworks.settings import load_settings
from candleworks.storage.inspection import Inspection, inspect
from candleworks.storage.maintenance import maintain as maintain_database
from candleworks.storage.monitoring import read_monitoring, read_status

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def status(as_json: AsJson = False) -> None:
    """Show the database, what it holds, how far the candles are, and what each feed and symbol does."""
    settings = load_settings()
    with reading(settings, "status") as connection:
        watched = read_monitoring(connection)
        symbols = {state.feed: () for state in watched.feeds} | {feed.name: feed.names for feed in settings.feeds}
        found = read_status(connection, symbols)
        seen = inspect(connection)
        server = describe(connection.info.dsn)
    found["feeds"] = with_monitoring(found["feeds"], watched)
    found["symbols"] = [dataclasses.asdict(symbol) for symbol in watched.symbols]
    if as_json:
        plain = {"database": server, **found, **dataclasses.asdict(seen)}
        typer.echo(json.dumps(plain, default=str))
        return
    console = Console()
    console.print(_facts({"database": server, **_database_facts(seen), **_totals(found)}))
    console.print(_levels(seen), _relations(seen))
    for table in feed_tables(found["feeds"], watched):
        console.print(table)


def doctor() -> None:
    """Say what is used, why, and whether anything needs attention."""
    settings = load_settings()
    with reading(settings, "doctor") as connection:
        seen = inspect(connection)
        server = describe(connection.info.dsn)
        notifications = notification_facts(connection, settings)
    free_bytes = shutil.disk_usage(settings.home if settings.home.exists() else settings.home.parent).free
    facts = {
        "candleworks": __version__,
        "database": f"{server} ({'named by CANDLEWORKS_DSN' if settings.dsn else 'embedded'})",
        **_database_facts(seen),
        "feed": "simulated, because TWELVEDATA_API_KEY is not set" if settings.simulated else settings.feed_url,
        "home": f"{settings.home} ({_bytes(free_bytes)} free)",
        **notifications,
    }
    console = Console()
    console.print(_facts(facts))
    console.print(_levels(seen), _relations(seen))


def maintain() -> None:
    """Refresh candles, drop what retention says, compress what is old enough (TimescaleDB), and report it.

    Meant to run once a night. Candles always stay.
    """
    settings = load_settings()
    with migrated(settings, "maintain") as connection:
        done = maintain_database(connection, settings)
    if not done:
        typer.echo("nothing to do")
        return
    table = Table("relation", "work", "before", "after", "times smaller", "compressed part")
    for work in done:
        smaller = f"{work.before.bytes / work.after.bytes:.1f}" if work.after.bytes else "-"
        ratio = f"{work.after.ratio:.1f} x" if work.after.ratio else "-"
        table.add_row(work.relation, str(work), _bytes(work.before.bytes), _bytes(work.after.bytes), smaller, ratio)
    Console().print(table)


def _facts(facts: dict[str, Any]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(name, str(value))
    return table


def _database_facts(seen: Inspection) -> dict[str, Any]:
    extension = seen.timescaledb_version
    return {
        "server version": seen.server_version,
        "engine": f"{seen.engine} - {seen.engine_reason}",
        "TimescaleDB": f"{extension}, licence {seen.timescaledb_licence}" if extension else "not in this database",
        "pending": f"{seen.pending:,} changed minutes or ranges wait for a refresh",
    }


def _totals(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "ticks": f"{found['ticks_stored']:,} stored, {found['rejected_ticks']:,} rejected",
        "size": _bytes(found["database_bytes"]),
    }


def _levels(seen: Inspection) -> Table:
    table = Table("candles", "stored until (UTC)", "complete ones wait for")
    for state in seen.levels:
        until = f"{state.watermark:%Y-%m-%d %H:%M}" if state.watermark else "-"
        table.add_row(state.level, until, f"{state.lag_seconds:,.0f} s" if state.lag_seconds else "-")
    return table


def _relations(seen: Inspection) -> Table:
    table = Table("relation", "size", "compressed part")
    for relation in seen.relations:
        table.add_row(
            relation.name, _bytes(relation.bytes), f"{relation.ratio:.1f} x smaller" if relation.ratio else "-"
        )
    return table


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
