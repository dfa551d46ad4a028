"""`candleworks alerts recipients`, and what `doctor` says about notifications."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from candleworks.alerts.recipients import LOG
from candleworks.alerts.routing import START, chosen, conflict, own_recipients, waiting
from candleworks.cli.console import wide_console
from candleworks.database.connection import Connection
from candleworks.errors import UsageError
from candleworks.runtime.database import reading
from candleworks.settings import Settings, load_settings
from candleworks.storage.deliverers import Deliverer, forget_recipient, list_deliverers

Forget = Annotated[
    str | None, typer.Option("--forget", metavar="NAME", help="Drop a recipient whose address nobody has any more.")
]


def list_recipients(forget: Forget = None) -> None:
    """List who delivers the notifications of this database, and to which recipients; addresses are not stored.

    A recipient that is forgotten comes back when somebody delivers to its address.
    """
    with reading(load_settings(), "alerts recipients") as connection:
        if forget is not None:
            _forget(connection, forget)
            return
        deliverers = list_deliverers(connection)
    if not deliverers:
        typer.echo(f"nothing has delivered notifications yet: {START}")
        return
    table = Table("delivered by", "recipients", "state", "last seen (UTC)")
    for deliverer in deliverers:
        names = ", ".join(deliverer.recipients) or LOG
        table.add_row(escape(deliverer.name), names, _state(deliverer), f"{deliverer.seen_at:%Y-%m-%d %H:%M:%S}")
    wide_console().print(table)
    if found := conflict(deliverers):
        typer.echo(found)


def _forget(connection: Connection, name: str) -> None:
    deliverers, deliveries = forget_recipient(connection, name)
    if not deliverers and not deliveries:
        raise UsageError(f"There is no recipient {name!r}: choose one of `candleworks alerts recipients`.")
    typer.echo(f"{name} is forgotten; deliveries that waited for it and are dropped: {deliveries:,}")


def _state(deliverer: Deliverer) -> str:
    if deliverer.running:
        return "running"
    return "not running" if deliverer.current else "not seen for a day"


def notification_facts(connection: Connection, settings: Settings) -> dict[str, str]:
    """Return what `doctor` shows: who delivers, to whom, and what a person has to do about it."""
    deliverers = list_deliverers(connection)
    running = [deliverer.name for deliverer in deliverers if deliverer.running]
    to = ", ".join(chosen(deliverers))
    sender = f"sent by {running[0]}" if running else f"not sent, because nothing that delivers runs: {START}"
    facts = {"notifications": f"to {to}, {sender}"}
    own = own_recipients(settings)
    if own and not set(own) <= set(chosen(deliverers)):
        facts["addresses here"] = f"{', '.join(own)} in this shell: only a process that delivers uses them"
    if settings.alerts.page_url is None:
        facts["links"] = (
            f"alerts.page_url is not set: notifications link to {settings.page_url}, which opens only on this machine"
        )
    problems = [conflict(deliverers), waiting(connection)]
    return facts | {name: text for name, text in zip(("recipients", "pending"), problems, strict=True) if text}
