"""`candleworks alerts`: list, acknowledge, silence and resolve alerts."""

import getpass
import json
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from candleworks import clock
from candleworks.alerts.routing import conflict, pending
from candleworks.cli.alert_delivery import deliver, list_recipients, test, watch
from candleworks.cli.console import AsJson, wide_console
from candleworks.cli.groups import subcommands
from candleworks.runtime.database import reading, writing
from candleworks.settings import load_settings
from candleworks.storage import alerts as storage
from candleworks.storage.deliveries import list_deliverers
from candleworks.times import future_time, past_time

SHOWN_ALERTS = 200

alerts = subcommands("List, acknowledge, silence and resolve alerts, and deliver their notifications.")

Number = Annotated[int, typer.Argument(metavar="ALERT", help="Number of the alert in `alerts list`.", min=1)]


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
    """List the alerts that are not resolved, and the notifications that are not delivered."""
    with reading(load_settings(), "alerts list") as connection:
        found = storage.list_alerts(connection, resolved, SHOWN_ALERTS)
        unsent = storage.unsent_notifications(connection)
        remarks = [pending(connection), conflict(list_deliverers(connection))]
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
    """Show an alert, its events, and its notifications."""
    with reading(load_settings(), "alerts show") as connection:
        alert, history, notifications = storage.show_alert(connection, number)
    if as_json:
        typer.echo(json.dumps({"alert": alert, "history": history, "notifications": notifications}, default=str))
        return
    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in alert.items():
        if value is not None:
            facts.add_row(name, "firing" if (name, value) == ("status", "open") else _shown(value))
    wide_console().print(facts, _rows(history), *([_rows(notifications)] if notifications else []))


@alerts.command()
def ack(
    number: Number,
    by: Annotated[str | None, typer.Option(help="Who works on it; by default the current user.")] = None,
) -> None:
    """Acknowledge an alert: it no longer escalates. When it is resolved, a notification is still sent."""
    person = by or getpass.getuser()
    with writing(load_settings(), "alerts ack") as connection:
        alert = storage.acknowledge(connection, number, person)
    typer.echo(f"alert {number} ({alert['check']}, {alert['subject']}) is acknowledged by {person}")


@alerts.command()
def silence(
    number: Number,
    until: Annotated[
        datetime,
        typer.Option(parser=future_time, metavar="TIME", help="30m, 12h, 7d, or a time such as 2026-01-31T08:00."),
    ],
    reason: Annotated[str, typer.Option(help="Why; shown with the alert.")],
) -> None:
    """Silence an alert, and the next ones of the same check and subject, until a time."""
    with writing(load_settings(), "alerts silence") as connection:
        alert = storage.silence(connection, number, until, reason, getpass.getuser())
    typer.echo(f"alert {number} ({alert['check']}, {alert['subject']}) is silenced until {until:%Y-%m-%d %H:%M} UTC")


@alerts.command()
def unsilence(number: Number) -> None:
    """End the silence of an alert."""
    with writing(load_settings(), "alerts unsilence") as connection:
        alert = storage.unsilence(connection, number, getpass.getuser())
    typer.echo(f"alert {number} ({alert['check']}, {alert['subject']}) is no longer silenced")


@alerts.command()
def resolve(number: Number) -> None:
    """Resolve an alert that no check will resolve, such as one about a symbol that is no longer subscribed.

    Whoever was notified that it fires is notified that you resolved it.
    """
    with writing(load_settings(), "alerts resolve") as connection:
        alert = storage.resolve(connection, number, getpass.getuser())
    typer.echo(f"alert {number} ({alert['check']}, {alert['subject']}) is resolved")


for command in (watch, deliver, test):
    alerts.command()(command)
alerts.command("recipients")(list_recipients)


def _table(found: list[storage.AlertRow]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in ("alert", "status", "check", "subject", "observed", "since (UTC)", "count"):
        table.add_column(name, no_wrap=name == "check", overflow="fold")
    for alert in found:
        observed = _shown(alert["observed"]) + (f", expected {_shown(alert['expected'])}" if alert["expected"] else "")
        opened, count = f"{alert['opened_at']:%Y-%m-%d %H:%M:%S}", f"{alert['count']:,}"
        who = (_shown(alert["check"]), _shown(alert["subject"]))
        table.add_row(str(alert["id"]), ", ".join(_marks(alert)), *who, observed, opened, count)
    return table


def _marks(alert: storage.AlertRow) -> list[str]:
    marks = [alert["severity"], "firing" if alert["status"] == "open" else alert["status"]]
    if alert["silenced_until"] is not None and alert["silenced_until"] > clock.now():
        marks.append("silenced")
    elif alert["notified_at"] is None and alert["resolved_at"] is None:
        marks.append("inhibited")
    if alert["unsent"]:
        marks.append("unsent")
    return marks


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
