"""`candleworks alerts`: what is wrong, who looks after it, and the notifications about it."""

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
from candleworks.alerts import deliver as deliver_notifications
from candleworks.alerts.message import Message
from candleworks.alerts.recipients import recipients
from candleworks.alerts.routing import conflict, sent_elsewhere, waiting
from candleworks.cli.alert_recipients import list_recipients
from candleworks.cli.alert_watch import watch
from candleworks.cli.console import AsJson, log_to_stderr, wide_console
from candleworks.database.connection import connect, transient_errors
from candleworks.database.profiles import READER
from candleworks.runtime.database import prepared, reading, writing
from candleworks.settings import load_settings
from candleworks.storage.alert_list import (
    acknowledge,
    list_alerts,
    show_alert,
    silence_alert,
    unsent_notifications,
    unsilence_alert,
)
from candleworks.storage.alert_list import resolve as resolve_alert
from candleworks.storage.deliverers import list_deliverers
from candleworks.times import future_time, past_time

SHOWN_ALERTS = 200

alerts = typer.Typer(
    no_args_is_help=True, help="Look at alerts, answer them, and deliver the notifications about them."
)

Number = Annotated[int, typer.Argument(metavar="ALERT", help="Its number in `alerts list`.", min=1)]
alerts.command()(watch)
alerts.command("recipients")(list_recipients)


@alerts.command("list")
def list_(
    resolved: Annotated[
        datetime | None,
        typer.Option(
            "--resolved",
            parser=past_time,
            metavar="TIME",
            help="Include alerts resolved since then, or within 12h, 7d.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the alerts that are not resolved, and the notifications that were not delivered yet."""
    with reading(load_settings(), "alerts list") as connection:
        found = list_alerts(connection, resolved, SHOWN_ALERTS)
        unsent = unsent_notifications(connection)
        remarks = [waiting(connection), conflict(list_deliverers(connection))]
    if as_json:
        typer.echo(json.dumps({"alerts": found, "unsent": unsent}, default=str))
        return
    if found:
        wide_console().print(_table(found))
    else:
        typer.echo("no alerts")
    for row in unsent:
        reason = f" ({row['reason']})" if row["reason"] else ""
        typer.echo(f"not delivered yet: {row['notifications']:,} to {row['recipient']}{reason}")
    for remark in filter(None, remarks):
        typer.echo(remark)


@alerts.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """Show an alert, what happened to it, and the notifications about it."""
    with reading(load_settings(), "alerts show") as connection:
        alert, history, notifications = show_alert(connection, number)
    if as_json:
        typer.echo(json.dumps({"alert": alert, "history": history, "notifications": notifications}, default=str))
        return
    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in alert.items():
        if value is not None:
            facts.add_row(name, _shown(value))
    wide_console().print(facts, _rows(history), *([_rows(notifications)] if notifications else []))


@alerts.command()
def ack(
    number: Number,
    by: Annotated[str | None, typer.Option(help="Who looks after it; you, when it is not given.")] = None,
) -> None:
    """Say that somebody looks after an alert: it no longer escalates. That it is resolved is still notified."""
    person = by or getpass.getuser()
    with writing(load_settings(), "alerts ack") as connection:
        alert = acknowledge(connection, number, person)
    typer.echo(f"alert {number} ({alert['check']}, {alert['subject']}) is acknowledged by {person}")


@alerts.command()
def mute(
    number: Number,
    until: Annotated[
        datetime,
        typer.Option(parser=future_time, metavar="TIME", help="30m, 12h, 7d, or a time such as 2026-01-31T08:00."),
    ],
    reason: Annotated[str, typer.Option(help="Why; it is shown with the alert.")],
) -> None:
    """Silence an alert, and the next ones of its check and subject, until that time."""
    with writing(load_settings(), "alerts mute") as connection:
        alert = silence_alert(connection, number, until, reason)
    typer.echo(f"alert {number} ({alert['check']}, {alert['subject']}) is silenced until {until:%Y-%m-%d %H:%M} UTC")


@alerts.command()
def unmute(number: Number) -> None:
    """End the silence of an alert."""
    with writing(load_settings(), "alerts unmute") as connection:
        alert = unsilence_alert(connection, number)
    typer.echo(f"alert {number} ({alert['check']}, {alert['subject']}) is no longer silenced")


@alerts.command()
def resolve(number: Number) -> None:
    """Resolve an alert that no check will resolve, such as one about a symbol that was given up.

    Whoever was notified that it is firing is notified that you resolved it.
    """
    with writing(load_settings(), "alerts resolve") as connection:
        alert = resolve_alert(connection, number, getpass.getuser())
    typer.echo(f"alert {number} ({alert['check']}, {alert['subject']}) is resolved")


@alerts.command()
def deliver() -> None:
    """Send the notifications that are due, for example from cron where no `alerts watch` runs.

    They go to the recipients of a running watch, or to CANDLEWORKS_ALERT_URLS of this process where none runs. Ends
    with exit status 1 when a recipient did not take one; it is kept.
    """
    settings = load_settings()
    log_to_stderr(settings)
    with prepared(settings) as dsn:
        # In a thread, so that a signal does not come between sending and noting it.
        done = asyncio.run(asyncio.to_thread(deliver_notifications, settings, dsn))
        with transient_errors(dsn), connect(dsn, "alerts deliver", profile=READER) as connection:
            elsewhere = sent_elsewhere(connection, settings)
    typer.echo(f"notifications sent: {done.notifications}, alerts in them: {done.alerts}, not taken: {done.failures}")
    if elsewhere:
        typer.echo(elsewhere)
    if done.failures:
        raise typer.Exit(1)


@alerts.command()
def test() -> None:
    """Send a notification to every address in CANDLEWORKS_ALERT_URLS of this shell.

    Ends with exit status 1 when one did not take it.
    """
    settings = load_settings()
    text = f"Somebody ran `candleworks alerts test`. Nothing has happened.\n\n{settings.page_url}/quality"
    message = Message("candleworks: a test", text, "info")
    missed = 0
    for recipient in recipients(settings):
        sent = recipient.send(message)
        missed += not sent.taken
        typer.echo(f"{recipient.name}: {'taken' if sent.taken else f'not taken ({sent.reason})'}")
    if missed:
        raise typer.Exit(1)


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in ("alert", "status", "check", "subject", "observed", "since (UTC)", "times"):
        table.add_column(name, no_wrap=name == "check", overflow="fold")
    for alert in found:
        marks = [alert["severity"], "firing" if alert["status"] == "open" else alert["status"]]
        if alert["silenced_until"] is not None and alert["silenced_until"] > clock.now():
            marks.append("silenced")
        elif alert["notified_at"] is None and alert["resolved_at"] is None:
            marks.append("inhibited")
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
