"""Empties the outbox: one message per destination for everything that is due."""

import logging
import random
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from candleworks.alerts.destinations import Destination, Sent, destinations
from candleworks.alerts.message import compose
from candleworks.errors import TransientError
from candleworks.model.alerts import Told
from candleworks.settings import Alerts, Settings
from candleworks.storage.connection import Connection, transient_errors
from candleworks.storage.outbox import claim_deliveries, note_sent, note_unsent, recover_deliveries, sole_sender
from candleworks.storage.signs import impatient

APPLICATION = "candleworks alerts deliver"
NOTE_SECONDS = 60  # how long a lost database is waited for, so that what was sent is not sent again

log = logging.getLogger(__name__)


class Delivered(NamedTuple):
    """How many messages were taken, how many events they told, and how many messages were not taken."""

    messages: int = 0
    events: int = 0
    failures: int = 0


def deliver(settings: Settings, dsn: str) -> Delivered:
    """Send what is due to every configured destination; what fails waits for a later call.

    Any number of processes may do this at once: each event is sent once per destination. TransientError when the
    database is away.
    """
    total = Delivered()
    with impatient(dsn, APPLICATION) as connection:
        for destination in destinations(settings):
            with sole_sender(connection, destination.name) as claimed:
                if claimed:
                    done = _deliver_to(destination, settings, connection, dsn)
                    total = Delivered(*map(sum, zip(total, done, strict=True)))
    return total


def _deliver_to(destination: Destination, settings: Settings, connection: Connection, dsn: str) -> Delivered:
    if cut_off := recover_deliveries(connection, destination.name):
        log.warning("Alerts: %d messages to %s may have been sent before, once more.", cut_off, destination.name)
    told = claim_deliveries(connection, destination.name)
    if not told:
        return Delivered()
    events = [each.event_id for each in told]
    sent = destination.send(compose(told, settings, destination.lengths))
    if sent.taken:
        _note(dsn, connection, lambda opened: note_sent(opened, destination.name, events))
        log.info("Alerts: told %s of %d events.", destination.name, len(events))
        return Delivered(messages=1, events=len(events))
    _put_back(destination, sent, told, settings.alerts, dsn, connection)
    return Delivered(failures=1)


def _put_back(
    destination: Destination, sent: Sent, told: list[Told], rules: Alerts, dsn: str, connection: Connection
) -> None:
    wait = waiting_time(max(each.attempts for each in told), rules)
    reason = sent.reason or "no reason is known"
    log.warning(
        "Alerts: %s did not take a message (%s): again in %.0f s.", destination.name, reason, wait.total_seconds()
    )
    events = [each.event_id for each in told]
    _note(
        dsn,
        connection,
        lambda opened: note_unsent(opened, destination.name, events, wait, reason, maybe_arrived=sent.maybe_arrived),
    )


def waiting_time(attempts: int, rules: Alerts) -> timedelta:
    """Return how long a destination is left alone after so many attempts that failed."""
    longest = rules.retry_first_seconds * 2 ** min(attempts - 1, 30)
    jitter = random.uniform(0.75, 1.0)  # noqa: S311 - it spreads attempts
    return timedelta(seconds=min(longest, rules.retry_longest_seconds) * jitter)


def _note(dsn: str, connection: Connection, note: Callable[[Connection], None]) -> None:
    """Write down what became of a message, over a new connection where the old one was lost."""

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
