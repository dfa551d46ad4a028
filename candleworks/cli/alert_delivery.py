"""`candleworks alerts watch`, `deliver`, `recipients` and `test`: who is notified."""

import asyncio
import contextlib
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from candleworks.alerts import deliver as deliver_notifications
from candleworks.alerts.message import Message
from candleworks.alerts.recipients import LOG, recipients
from candleworks.alerts.routing import START, conflict, sent_elsewhere
from candleworks.alerts.watchdog import Watchdog
from candleworks.cli.console import Duration, wide_console
from candleworks.database.connection import Connection, connect, transient_errors
from candleworks.database.profiles import READER
from candleworks.database.server import database, dsn_of
from candleworks.errors import CandleworksError, UsageError
from candleworks.processes import log_to_stderr, single_instance, stop_event, stopped_within
from candleworks.runtime.database import prepared, reading, writing
from candleworks.settings import Settings, load_settings
from candleworks.storage.deliveries import Deliverer, list_deliverers, remove_recipient
from candleworks.threads import unless_stopped
from candleworks.wording import counted

# How long a stop waits for what is being sent, and for the database that learns of the stop.
ROUND_GRACE_SECONDS = 5.0
END_GRACE_SECONDS = 1.0

Remove = Annotated[
    str | None, typer.Option("--remove", metavar="NAME", help="Remove a recipient whose address is no longer used.")
]


def watch(duration: Duration = None) -> None:
    """Run the watchdog: watch feeds and the database, and deliver the notifications of all alerts.

    Notifications go to CANDLEWORKS_ALERT_URLS of this process, whoever ran the checks. It needs neither Prefect nor a
    database that answers. Run one per database.
    """
    settings = load_settings()
    log_to_stderr(settings.log_level)
    refusal = f"candleworks alerts watch is already running in {settings.home}: run one per database."
    with (
        single_instance(settings.home / "alerts-watch.lock", refusal, required=False),
        contextlib.ExitStack() as opened,
    ):
        asyncio.run(_watch(settings, opened, duration))


async def _watch(settings: Settings, opened: contextlib.ExitStack, duration: float | None) -> None:
    stop = stop_event(duration)
    watchdog = Watchdog(settings, dsn_of(settings))
    started = False
    while not stop.is_set():
        started = started or await asyncio.to_thread(_start_server, settings, opened, watchdog)
        if started:
            await unless_stopped(stop, watchdog.run_once, grace_seconds=ROUND_GRACE_SECONDS)
        await stopped_within(stop, settings.alerts.watch.interval_seconds)
    await unless_stopped(stop, watchdog.stop, grace_seconds=END_GRACE_SECONDS)


def _start_server(settings: Settings, opened: contextlib.ExitStack, watchdog: Watchdog) -> bool:
    """Have the embedded server run until `opened` ends; notify people, and return False, when it cannot start."""
    try:
        opened.enter_context(database(settings))
    except UsageError:
        raise
    except (CandleworksError, OSError) as error:
        watchdog.database_failed(str(error))
        return False
    return True


def deliver() -> None:
    """Deliver the notifications that are due, for example from cron where no `alerts watch` runs.

    They go to the recipients of a running watchdog, or to CANDLEWORKS_ALERT_URLS of this process where none runs. Exits
    with status 1 when a recipient did not accept one; it is tried again later.
    """
    settings = load_settings()
    log_to_stderr(settings.log_level)
    with prepared(settings) as dsn:
        # In a thread, so that a signal does not interrupt it between sending and storing the result.
        done = asyncio.run(asyncio.to_thread(deliver_notifications, settings, dsn))
        with transient_errors(dsn), connect(dsn, "alerts deliver", profile=READER) as connection:
            elsewhere = sent_elsewhere(connection, settings)
    sent = f"{counted(done.notifications, 'notification')} sent with {counted(done.alerts, 'alert')}"
    typer.echo(f"{sent}, {done.failures} failed")
    if elsewhere:
        typer.echo(elsewhere)
    if done.failures:
        raise typer.Exit(1)


def test() -> None:
    """Send a test notification to every address in CANDLEWORKS_ALERT_URLS.

    Exits with status 1 when one was not accepted.
    """
    settings = load_settings()
    text = f"This is a test, sent by `candleworks alerts test`.\n\n{settings.page_url}/quality"
    message = Message("Test notification [candleworks]", text, "info")
    failed = 0
    for recipient in recipients(settings):
        sent = recipient.send(message)
        failed += not sent.accepted
        typer.echo(f"{recipient.name}: {'accepted' if sent.accepted else f'not accepted ({sent.reason})'}")
    if failed:
        raise typer.Exit(1)


def list_recipients(remove: Remove = None) -> None:
    """List which processes deliver the notifications of this database, and to which recipients.

    Addresses are not stored. A removed recipient is registered again when a process delivers to its address.
    """
    if remove is not None:
        with writing(load_settings(), "alerts recipients") as connection:
            _remove(connection, remove)
        return
    with reading(load_settings(), "alerts recipients") as connection:
        deliverers = list_deliverers(connection)
    if not deliverers:
        typer.echo(f"no notifications were delivered yet: {START}")
        return
    table = Table("delivered by", "recipients", "state", "last seen (UTC)")
    for deliverer in deliverers:
        names = ", ".join(deliverer.recipients) or LOG
        table.add_row(escape(deliverer.name), names, _state(deliverer), f"{deliverer.seen_at:%Y-%m-%d %H:%M:%S}")
    wide_console().print(table)
    if found := conflict(deliverers):
        typer.echo(found)


def _remove(connection: Connection, name: str) -> None:
    deliverers, notifications = remove_recipient(connection, name)
    if not deliverers and not notifications:
        raise UsageError(f"There is no recipient {name!r}: choose one from `candleworks alerts recipients`.")
    typer.echo(f"removed {name} and {counted(notifications, 'notification')} waiting for it")


def _state(deliverer: Deliverer) -> str:
    if deliverer.running:
        return "running"
    return "not running" if deliverer.current else "not seen for a day"
