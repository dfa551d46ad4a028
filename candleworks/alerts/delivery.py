"""Empties the outbox: one notification per recipient for everything that is due."""

import logging
import random
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from candleworks import clock
from candleworks.alerts.message import compose, latest
from candleworks.alerts.recipients import Recipient, Sent, recipients
from candleworks.alerts.routing import chosen, register
from candleworks.database.connection import Connection, transient_errors
from candleworks.errors import TransientError
from candleworks.model.alerts import Told
from candleworks.settings import Alerts, Settings
from candleworks.storage.deliverers import distribute_notifications, list_deliverers, was_notified
from candleworks.storage.deliveries import claim_deliveries, note_sent, note_unsent, recover_deliveries, sole_sender
from candleworks.storage.liveness import impatient

APPLICATION = "alerts deliver"
NOTE_SECONDS = 60  # how long a lost database is waited for, so that what was sent is not sent again

log = logging.getLogger(__name__)


class Delivered(NamedTuple):
    """How many notifications were sent, with how many alerts, and how many were not taken."""

    notifications: int = 0
    alerts: int = 0
    failures: int = 0


def deliver(settings: Settings, dsn: str, runs_for: timedelta | None = None) -> Delivered:
    """Give pending notifications their recipients, and send what is due to those whose addresses are configured here.

    Any number of processes may do this at once: each event is sent once per recipient. What fails waits for a later
    call. A watch says how long it `runs_for` at least. TransientError when the database is away.
    """
    total = Delivered()
    with impatient(dsn, APPLICATION) as connection:
        register(connection, settings, runs_for)
        distribute_notifications(connection, chosen(list_deliverers(connection)))
        for recipient in recipients(settings):
            with sole_sender(connection, recipient.name) as claimed:
                if claimed:
                    done = _deliver_to(recipient, settings, connection, dsn)
                    total = Delivered(*map(sum, zip(total, done, strict=True)))
    return total


def _deliver_to(recipient: Recipient, settings: Settings, connection: Connection, dsn: str) -> Delivered:
    if cut_off := recover_deliveries(connection, recipient.name):
        log.warning("Sending to %s was cut off: %d events are sent once more.", recipient.name, cut_off)
    told = claim_deliveries(connection, recipient.name)
    if not told:
        return Delivered()
    events = [each.event_id for each in told]
    first = not was_notified(connection, recipient.name)
    sent = recipient.send(compose(told, settings, recipient.lengths, clock.now(), first=first))
    if sent.taken:
        _note(dsn, connection, lambda opened: note_sent(opened, recipient.name, events))
        count = len(latest(told))
        log.info("Sent 1 notification with %d alert%s to %s.", count, "" if count == 1 else "s", recipient.name)
        return Delivered(notifications=1, alerts=count)
    _put_back(recipient, sent, told, settings.alerts, dsn, connection)
    return Delivered(failures=1)


def _put_back(
    recipient: Recipient, sent: Sent, told: list[Told], rules: Alerts, dsn: str, connection: Connection
) -> None:
    wait = waiting_time(max(each.attempts for each in told), rules)
    reason = sent.reason or "no reason is known"
    log.warning(
        "%s did not take a notification (%s): it is sent again in %.0f s.",
        recipient.name,
        reason,
        wait.total_seconds(),
    )
    events = [each.event_id for each in told]
    _note(
        dsn,
        connection,
        lambda opened: note_unsent(opened, recipient.name, events, wait, reason, maybe_arrived=sent.maybe_arrived),
    )


def waiting_time(attempts: int, rules: Alerts) -> timedelta:
    """Return how long a recipient is left alone after so many attempts that failed."""
    longest = rules.retry_first_seconds * 2 ** min(attempts - 1, 30)
    jitter = random.uniform(0.75, 1.0)  # noqa: S311 - it spreads attempts
    return timedelta(seconds=min(longest, rules.retry_longest_seconds) * jitter)


def _note(dsn: str, connection: Connection, note: Callable[[Connection], None]) -> None:
    """Write down what became of a notification, over a new connection where the old one was lost."""

    def attempt() -> None:
        if not connection.broken:
            with transient_errors(dsn):
                note(connection)
            return
        with impatient(dsn, APPLICATION) as other:
            note(other)

    Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_delay(NOTE_SECONDS),
        wait=wait_fixed(0.5),
        reraise=True,
    )(attempt)
