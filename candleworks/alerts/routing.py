"""Which process delivers the notifications of a database, and to which recipients.

The recipients are those of the processes that deliver, whoever runs the checks: `alerts watch` registers the recipients
of its installation, `alerts deliver` its own where no watchdog runs.
"""

import socket
from collections.abc import Sequence
from datetime import timedelta

from candleworks.alerts.recipients import LOG, recipients
from candleworks.database.connection import Connection
from candleworks.settings import Settings
from candleworks.storage.deliveries import Deliverer, count_pending, list_deliverers, register_deliverer
from candleworks.wording import counted

WATCH = "alerts watch"
DELIVER = "alerts deliver"
START = "start `candleworks up` or `candleworks alerts watch`, or run `candleworks alerts deliver`"


def deliverer_name(settings: Settings, command: str) -> str:
    """Return the name of a process that delivers: its host, its home and its command."""
    return f"{socket.gethostname()}:{settings.home} ({command})"


def own_recipients(settings: Settings) -> list[str]:
    """Return the names of the recipients whose addresses this process has."""
    return [recipient.name for recipient in recipients(settings) if recipient.name != LOG]


def register(connection: Connection, settings: Settings, runs_for: timedelta | None) -> None:
    """Register the recipients of this process; `runs_for` is how long a watchdog runs at least until its next round.

    Without it nothing is changed where a watchdog runs, or where the process has no address.
    """
    names = own_recipients(settings)
    if runs_for is not None:
        register_deliverer(connection, deliverer_name(settings, WATCH), names, runs_for)
    elif names and not any(deliverer.running for deliverer in list_deliverers(connection)):
        register_deliverer(connection, deliverer_name(settings, DELIVER), names, timedelta(0))


def routed_recipients(deliverers: Sequence[Deliverer]) -> list[str]:
    """Return who gets a notification: the recipients of all processes that delivered within a day.

    Where none did, the recipients known before; where there never were any, the log.
    """
    current = {name for deliverer in deliverers if deliverer.current for name in deliverer.recipients}
    known = {name for deliverer in deliverers for name in deliverer.recipients}
    return sorted(current or known) or [LOG]


def conflict(deliverers: Sequence[Deliverer]) -> str | None:
    """Return a warning when installations deliver to different recipients."""
    current = [deliverer for deliverer in deliverers if deliverer.current and deliverer.recipients]
    if len({tuple(sorted(deliverer.recipients)) for deliverer in current}) < 2:
        return None
    each = "; ".join(f"{deliverer.name} to {', '.join(deliverer.recipients)}" for deliverer in current)
    return (
        f"{len(current)} installations deliver the notifications of this database to different recipients: {each}."
        " Every notification goes to all of them. Set the same CANDLEWORKS_ALERT_URLS everywhere, or stop one and run"
        " `candleworks alerts recipients --remove NAME`."
    )


def without_address(deliverers: Sequence[Deliverer], settings: Settings) -> str | None:
    """Return a warning when this process has no address, and another one delivers."""
    others = [deliverer for deliverer in deliverers if deliverer.current and deliverer.recipients]
    if own_recipients(settings) or not others:
        return None
    return (
        "CANDLEWORKS_ALERT_URLS is not set here: notifications go to"
        f" {', '.join(others[0].recipients)}, delivered by {others[0].name}."
    )


def sent_elsewhere(connection: Connection, settings: Settings) -> str | None:
    """Say which recipients another process delivers to, because this one does not have their addresses."""
    deliverers = list_deliverers(connection)
    own = own_recipients(settings) or [LOG]
    others = [name for name in routed_recipients(deliverers) if name not in own]
    if not others:
        return None
    by = next(deliverer.name for deliverer in deliverers if others[0] in (deliverer.recipients or [LOG]))
    return f"{', '.join(others)}: delivered by {by}, not by this process."


def pending(connection: Connection) -> str | None:
    """Say how many notifications are pending and which process delivers them; null when there are none."""
    count = count_pending(connection)
    if not count:
        return None
    deliverers = list_deliverers(connection)
    to = ", ".join(routed_recipients(deliverers))
    running = [deliverer.name for deliverer in deliverers if deliverer.running]
    notifications = f"{counted(count, 'notification')} pending"
    if running:
        return f"{notifications}: {running[0]} delivers to {to}."
    if not deliverers:
        return f"{notifications}, but nothing delivers: {START}, with CANDLEWORKS_ALERT_URLS set."
    return f"{notifications} for {to}, but nothing delivers: {START}."
