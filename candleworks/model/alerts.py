"""What an alert is: a trouble that a check found, from its opening to its end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

Severity = Literal["info", "warning", "critical"]
EventName = Literal["opened", "escalated", "acknowledged", "silenced", "unsilenced", "resolved"]


class Result(NamedTuple):
    """What a check said about a subject such as a symbol or a feed at a moment.

    `error` means that the check itself broke, so that nothing is known; `observed` is then the reason.
    """

    check: str
    subject: str
    severity: Severity
    status: Literal["passed", "failed", "error"]
    observed: str | None
    expected: str | None
    at: datetime


class Mute(NamedTuple):
    """Until when nothing is sent, and why."""

    until: datetime
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A row of `alerts`; `id` is None while it has none.

    `result` is the newest one that did not pass. `last_seen_at` is when that was, `checked_at` when any result came
    last, `passes` how many passed since, `notified_at` when a notification that it fires was due.
    """

    check: str
    subject: str
    severity: Severity
    result: Literal["failed", "error"]
    opened_at: datetime
    last_seen_at: datetime
    checked_at: datetime
    id: int | None = None
    status: Literal["open", "acknowledged", "resolved"] = "open"
    count: int = 1
    passes: int = 0
    observed: str | None = None
    expected: str | None = None
    escalated_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    silenced_until: datetime | None = None
    silence_reason: str | None = None
    resolved_at: datetime | None = None
    notified_at: datetime | None = None

    def muted(self, moment: datetime) -> bool:
        return self.silenced_until is not None and self.silenced_until > moment


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """Something that happened to `alert`, as it stood then. `told` is whether a notification about it is due.

    Of a resolved alert, `observed` is here what is observed now, None where the check does not say.
    """

    name: EventName
    alert: Alert
    at: datetime
    told: bool
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a notification says about one event. `possible_repeat`: an earlier attempt may have arrived.

    `observed` of a resolved alert is what is observed now, None where that is not known; `note` is set when a person
    resolved it.
    """

    event: EventName
    check: str
    subject: str
    severity: Severity
    result: str
    count: int
    observed: str | None
    expected: str | None
    opened_at: datetime
    at: datetime
    note: str | None = None
    alert_id: int | None = None
    event_id: int = 0
    attempts: int = 1
    possible_repeat: bool = False


def told(event: AlertEvent, *, possible_repeat: bool = False) -> Told:
    """Return what a notification says about an event."""
    alert = event.alert
    return Told(
        event=event.name,
        check=alert.check,
        subject=alert.subject,
        severity=alert.severity,
        result=alert.result,
        count=alert.count,
        observed=alert.observed,
        expected=alert.expected,
        opened_at=alert.opened_at,
        at=event.at,
        note=event.note,
        alert_id=alert.id,
        possible_repeat=possible_repeat,
    )


@dataclass(slots=True)
class DirectDelivery:
    """A delivery to a recipient while there is no outbox."""

    next_attempt_at: datetime
    state: Literal["waiting", "sending", "sent"] = "waiting"
    attempts: int = 0
    sent_at: datetime | None = None
    possible_repeat: bool = False
    reason: str | None = None
