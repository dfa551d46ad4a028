"""Who delivers the notifications of a database, and to whom: the recipients of those that deliver, never of a check.

`alerts watch` names the recipients of its installation; `alerts deliver` does where no watch runs.
"""

import socket
from collections.abc import Sequence
from datetime import timedelta

from candleworks.alerts.recipients import LOG, recipients
from candleworks.database.connection import Connection
from candleworks.settings import Settings
from candleworks.storage.deliverers import Deliverer, count_pending, list_deliverers, register_deliverer

WATCH = "alerts watch"
DELIVER = "alerts deliver"
START = "start `candleworks up` or `candleworks alerts watch`, or run `candleworks alerts deliver`"


def deliverer_name(settings: Settings, command: str) -> str:
    """Return by what a process that delivers is known: its host, its home and its command."""
    return f"{socket.gethostname()}:{settings.home} ({command})"


def own_recipients(settings: Settings) -> list[str]:
    """Return the names of the addresses that this process has."""
    return [recipient.name for recipient in recipients(settings) if recipient.name != LOG]


def register(connection: Connection, settings: Settings, runs_for: timedelta | None) -> None:
    """Name the recipients of this process; `runs_for` is how long a watch runs at least until its next round.

    Without it nothing is changed where a watch runs, or where the process has no address.
    """
    names = own_recipients(settings)
    if runs_for is not None:
        register_deliverer(connection, deliverer_name(settings, WATCH), names, runs_for)
    elif names and not any(deliverer.running for deliverer in list_deliverers(connection)):
        register_deliverer(connection, deliverer_name(settings, DELIVER), names, timedelta(0))


def chosen(deliverers: Sequence[Deliverer]) -> list[str]:
    """Return to whom a notification goes: to the recipients of all that delivered within a day.

    Where nobody did, to those known before, where it waits; where none was ever named, to the log.
    """
    current = {name for deliverer in deliverers if deliverer.current for name in deliverer.recipients}
    known = {name for deliverer in deliverers for name in deliverer.recipients}
    return sorted(current or known) or [LOG]


def conflict(deliverers: Sequence[Deliverer]) -> str | None:
    """Say which installations deliver to different recipients; None when all agree."""
    current = [deliverer for deliverer in deliverers if deliverer.current and deliverer.recipients]
    if len({tuple(sorted(deliverer.recipients)) for deliverer in current}) < 2:
        return None
    each = "; ".join(f"{deliverer.name} to {', '.join(deliverer.recipients)}" for deliverer in current)
    return (
        f"{len(current)} installations deliver the notifications of this database to different recipients: {each}."
        " Each notification goes to all of them. Set the same CANDLEWORKS_ALERT_URLS everywhere, or stop one and run"
        " `candleworks alerts recipients --forget NAME`."
    )


def without_address(deliverers: Sequence[Deliverer], settings: Settings) -> str | None:
    """Say who else delivers where this process has no address, or None."""
    others = [deliverer for deliverer in deliverers if deliverer.current and deliverer.recipients]
    if own_recipients(settings) or not others:
        return None
    return (
        "CANDLEWORKS_ALERT_URLS is not set here: notifications go to"
        f" {', '.join(others[0].recipients)}, delivered by {others[0].name}."
    )


def sent_elsewhere(connection: Connection, settings: Settings) -> str | None:
    """Say which recipients another process sends to, because this one does not have their addresses."""
    deliverers = list_deliverers(connection)
    own = own_recipients(settings) or [LOG]
    others = [name for name in chosen(deliverers) if name not in own]
    if not others:
        return None
    by = next(deliverer.name for deliverer in deliverers if others[0] in (deliverer.recipients or [LOG]))
    return f"{', '.join(others)}: sent by {by}, not from here."


def waiting(connection: Connection) -> str | None:
    """Say how many notifications are pending and who sends them; None when there are none."""
    count = count_pending(connection)
    if not count:
        return None
    deliverers = list_deliverers(connection)
    to = ", ".join(chosen(deliverers))
    running = [deliverer.name for deliverer in deliverers if deliverer.running]
    notifications = "1 notification waits" if count == 1 else f"{count:,} notifications wait"
    if running:
        return f"{notifications}: {running[0]} sends to {to}."
    if not deliverers:
        return f"{notifications}, and nothing delivers: {START}, where CANDLEWORKS_ALERT_URLS is set."
    return f"{notifications} for {to}, and nothing that delivers runs: {START}."
