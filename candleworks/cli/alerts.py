"""`candleworks alerts`: what is wrong, who looks after it, and the messages about it."""

import asyncio
import getpass
import json
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from candleworks import clock
from candleworks.alerts import deliver as deliver_messages
from candleworks.alerts.destinations import destinations
from candleworks.alerts.message import Message
from candleworks.cli.alert_watch import watch
from candleworks.cli.console import wide_console
from candleworks.cli.opening import migrated, prepared
from candleworks.cli.running import log_to_stderr
from candleworks.cli.times import moment as moment_of
from candleworks.cli.times import span
from candleworks.settings import load_settings
from candleworks.storage.alert_list import acknowledge, list_alerts, show_alert, unsent_messages
from candleworks.storage.alert_list import mute as mute_alert
from candleworks.storage.alert_list import resolve as resolve_alert
from candleworks.storage.alert_list import unmute as unmute_alert

SHOWN_ALERTS = 200

alerts = typer.Typer(no_args_is_help=True, help="Look at alerts, answer them, and deliver the messages about them.")

Number = Annotated[int, typer.Argument(metavar="ALERT", help="Its number in `alerts list`.", min=1)]
alerts.command()(watch)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@alerts.command("list")
def list_(
    resolved: Annotated[
        str | None, typer.Option("--resolved", metavar="TIME", help="Also those that ended within 30m, 12h, 7d ...")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the alerts that are not resolved, and how many messages were not delivered yet."""
    since = clock.now() - span(resolved) if resolved else None
    with migrated(load_settings(), "alerts list") as connection:
        found = list_alerts(connection, since, SHOWN_ALERTS)
        unsent = unsent_messages(connection)
    if as_json:
        typer.echo(json.dumps({"alerts": found, "unsent": unsent}, default=str))
        return
    if found:
        wide_console().print(_table(found))
    else:
        typer.echo("no alerts")
    for waiting in unsent:
        reason = f" ({waiting['reason']})" if waiting["reason"] else ""
        typer.echo(f"not delivered yet: {waiting['messages']:,} to {waiting['destination']}{reason}")


@alerts.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """Show an alert, what happened to it, and the messages about it."""
    with migrated(load_settings(), "alerts show") as connection:
        alert, history, messages = show_alert(connection, number)
    if as_json:
        typer.echo(json.dumps({"alert": alert, "history": history, "messages": messages}, default=str))
        return
    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in alert.items():
        if value is not None:
            facts.add_row(name, _shown(value))
    wide_console().print(facts, _rows(history), *([_rows(messages)] if messages else []))


@alerts.command()
def ack(
    number: Number,
    by: Annotated[str | None, typer.Option(help="Who looks after it; you, when it is not given.")] = None,
) -> None:
    """Say that somebody looks after an alert: it no longer escalates. Its end is still told."""
    person = by or getpass.getuser()
    with migrated(load_settings(), "alerts ack") as connection:
        alert = acknowledge(connection, number, person)
    typer.echo(f"alert {number} ({alert['check']}, {alert['subject']}) is acknowledged by {person}")


@alerts.command()
def mute(
    number: Number,
    until: Annotated[str, typer.Option(metavar="TIME", help="30m, 12h, 7d, or a time such as 2026-01-31T08:00 (UTC).")],
    reason: Annotated[str, typer.Option(help="Why; it is shown with the alert.")],
) -> None:
    """Send nothing about an alert, nor about the next ones of its check and subject, until that time."""
    moment = moment_of(until)
    with migrated(load_settings(), "alerts mute") as connection:
        alert = mute_alert(connection, number, moment, reason)
    typer.echo(f"alert {number} ({alert['check']}, {alert['subject']}) is muted until {moment:%Y-%m-%d %H:%M} UTC")


@alerts.command()
def unmute(number: Number) -> None:
    """End the mute of an alert."""
    with migrated(load_settings(), "alerts unmute") as connection:
        alert = unmute_alert(connection, number)
    typer.echo(f"alert {number} ({alert['check']}, {alert['subject']}) is no longer muted")


@alerts.command()
def resolve(number: Number) -> None:
    """End an alert that no check will end, such as one about a symbol that was given up; nothing is sent."""
    with migrated(load_settings(), "alerts resolve") as connection:
        alert = resolve_alert(connection, number, getpass.getuser())
    typer.echo(f"alert {number} ({alert['check']}, {alert['subject']}) is resolved")


@alerts.command()
def deliver() -> None:
    """Send the messages that are due. Ends with exit status 1 when a receiver did not take one; it is kept."""
    settings = load_settings()
    log_to_stderr(settings)
    with prepared(settings) as dsn:
        # In a thread, so that a signal does not come between sending and noting it.
        done = asyncio.run(asyncio.to_thread(deliver_messages, settings, dsn))
    typer.echo(f"{done.messages} messages about {done.events} events sent, {done.failures} not taken")
    if done.failures:
        raise typer.Exit(1)


@alerts.command()
def test() -> None:
    """Send a message to every configured receiver at once. Ends with exit status 1 when one did not take it."""
    message = Message("candleworks: a test", "Somebody ran `candleworks alerts test`. Nothing has happened.", good=True)
    missed = 0
    for destination in destinations(load_settings()):
        sent = destination.send(message)
        missed += not sent.taken
        typer.echo(f"{destination.name}: {'taken' if sent.taken else f'not taken ({sent.reason})'}")
    if missed:
        raise typer.Exit(1)


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in ("alert", "status", "check", "subject", "observed", "since (UTC)", "times"):
        table.add_column(name, no_wrap=name == "check", overflow="fold")
    for alert in found:
        marks = [alert["severity"], alert["status"]]
        if alert["muted_until"] is not None and alert["muted_until"] > clock.now():
            marks.append("muted")
        elif alert["announced_at"] is None and alert["resolved_at"] is None:
            marks.append("told by another")
        if alert["unsent"]:
            marks.append("unsent")
        observed = _shown(alert["observed"]) + (f", expected {_shown(alert['expected'])}" if alert["expected"] else "")
        opened, times = f"{alert['opened_at']:%Y-%m-%d %H:%M:%S}", f"{alert['count']:,}"
        who = (_shown(alert["check"]), _shown(alert["subject"]))
        table.add_row(str(alert["id"]), ", ".join(marks), *who, observed, opened, times)
    return table


def _rows(rows: list[dict[str, Any]]) -> Table:
    table = Table(*(name.replace("_", " ") for name in rows[0])) if rows else Table()
    for row in rows:
        table.add_row(*map(_shown, row.values()))
    return table


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else escape(str(value))
