"""Empties the outbox: one message per recipient for all notifications that are due."""

import logging
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from candleworks import clock
from candleworks.alerts.message import compose, newest_per_alert
from candleworks.alerts.recipients import Recipient, SendResult, recipients
from candleworks.alerts.routing import register, routed_recipients
from candleworks.database.connection import Connection, transient_errors
from candleworks.errors import TransientError
from candleworks.model.alerts import Notification
from candleworks.settings import Alerts, Settings
from candleworks.storage.deliveries import (
    claim_deliveries,
    distribute_notifications,
    list_deliverers,
    recover_deliveries,
    save_sent,
    save_unsent,
    sole_sender,
    was_notified,
)
from candleworks.storage.liveness import watch_connection
from candleworks.wording import counted

APPLICATION = "alerts deliver"
RECONNECT_SECONDS = 60  # to a database that was lost while sending, so that nothing is sent twice

log = logging.getLogger(__name__)


class DeliveryCounts(NamedTuple):
    """How many messages were sent, with how many alerts, and how many were not accepted."""

    notifications: int = 0
    alerts: int = 0
    failures: int = 0


def deliver(settings: Settings, dsn: str, runs_for: timedelta | None = None) -> DeliveryCounts:
    """Give pending notifications their recipients, and send what is due to those whose addresses are configured here.

    Any number of processes may do this at once: each event is sent once per recipient. What fails is tried again by a
    later call. The watchdog passes how long it `runs_for` at least. TransientError when the database is not available.
    """
    total = DeliveryCounts()
    with watch_connection(dsn, APPLICATION) as connection:
        register(connection, settings, runs_for)
        distribute_notifications(connection, routed_recipients(list_deliverers(connection)))
        for recipient in recipients(settings):
            with sole_sender(connection, recipient.name) as claimed:
                if claimed:
                    done = _deliver_to(recipient, settings, connection, dsn)
                    total = DeliveryCounts(*map(sum, zip(total, done, strict=True)))
    return total


def _deliver_to(recipient: Recipient, settings: Settings, connection: Connection, dsn: str) -> DeliveryCounts:
    if interrupted := recover_deliveries(connection, recipient.name):
        log.warning("Sending to %s was interrupted: sending %s again.", recipient.name, counted(interrupted, "event"))
    due = claim_deliveries(connection, recipient.name)
    if not due:
        return DeliveryCounts()
    first = not was_notified(connection, recipient.name)
    sent = recipient.send(compose(due, settings, recipient.lengths, clock.now(), first=first))
    if not sent.accepted:
        _retry_later(recipient, sent, due, settings.alerts, dsn, connection)
        return DeliveryCounts(failures=1)
    _save(dsn, connection, lambda opened: save_sent(opened, recipient.name, _event_ids(due)))
    count = len(newest_per_alert(due))
    log.info("Sent 1 notification with %s to %s.", counted(count, "alert"), recipient.name)
    return DeliveryCounts(notifications=1, alerts=count)


def _event_ids(notifications: Sequence[Notification]) -> list[int]:
    return [each.event_id for each in notifications]


def _retry_later(
    recipient: Recipient, sent: SendResult, due: Sequence[Notification], rules: Alerts, dsn: str, connection: Connection
) -> None:
    wait = retry_after(max(each.attempts for each in due), rules)
    reason = sent.reason or "no reason given"
    log.warning(
        "%s did not accept a notification: %s. Next attempt in %.0f s.", recipient.name, reason, wait.total_seconds()
    )
    _save(
        dsn,
        connection,
        lambda opened: save_unsent(
            opened, recipient.name, _event_ids(due), wait, reason, maybe_arrived=sent.maybe_arrived
        ),
    )


def retry_after(attempts: int, rules: Alerts) -> timedelta:
    """Return how long to wait for the next attempt after so many that failed: exponential, with jitter."""
    longest = rules.retry_first_seconds * 2 ** min(attempts - 1, 30)
    jitter = random.uniform(0.75, 1.0)  # noqa: S311 - it spreads attempts
    return timedelta(seconds=min(longest, rules.retry_longest_seconds) * jitter)


def _save(dsn: str, connection: Connection, save: Callable[[Connection], None]) -> None:
    """Store the result of an attempt, over a new connection where the old one was lost."""

    def attempt() -> None:
        if not connection.broken:
            with transient_errors(dsn):
                save(connection)
            return
        with watch_connection(dsn, APPLICATION) as other:
            save(other)

    Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_delay(RECONNECT_SECONDS),
        wait=wait_fixed(0.5),
        reraise=True,
    )(attempt)
