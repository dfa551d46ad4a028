"""From a check to a person: the result of a check, the alert that it fires, and the notification about the alert."""

from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

Severity = Literal["critical", "warning", "info"]
CheckStatus = Literal["passed", "failed", "error"]
Suite = Literal["ticks", "candles", "system"]
AlertEvent = Literal["opened", "escalated", "acknowledged", "silenced", "unsilenced", "resolved"]
DeliveryState = Literal["waiting", "sending", "sent"]
AlertKey = tuple[str, str]  # check and subject: at most one unresolved alert has it


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found about one subject, such as a symbol, `feed/NAME` or a relation.

    `error` means that the check could not be run: nothing is known, and `observed` is the reason. What follows is null
    in results of the watchdog, which are not stored; the others are rows of `quality_results`. `sample` holds some of
    the offending rows, `seconds` the time that the whole check took, [window_from, window_until) what it covered.
    `failing` are the times of all offending ticks or buckets, a multirange as text; null where the check has no rows.
    `since` is set where the newest result is read back: since when the status has been the same.
    """

    check: str
    subject: str
    severity: Severity
    status: CheckStatus
    observed: str | None
    expected: str | None
    at: datetime
    _: KW_ONLY
    suite: Suite | None = None
    window_from: datetime | None = None
    window_until: datetime | None = None
    sample: list[dict[str, Any]] | None = None
    seconds: float | None = None
    failing: str | None = None
    since: datetime | None = None

    @property
    def key(self) -> AlertKey:
        return self.check, self.subject


class AlertSilence(NamedTuple):
    """Until when nothing is sent about an alert, and why."""

    until: datetime
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A row of `alerts`; `id` is null until it is stored.

    The status `open` is shown as firing. `result` is the newest status that was not `passed`, `last_seen_at` its time;
    `checked_at` is the time of the newest result of any status, `passes` how many passed in a row since, `notified_at`
    when a notification that the alert fires was due: null while it is silenced or inhibited from the start.
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

    @property
    def key(self) -> AlertKey:
        return self.check, self.subject

    def silenced(self, at: datetime) -> bool:
        return self.silenced_until is not None and self.silenced_until > at


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """An event of an alert, and its delivery to one recipient.

    `alert` is as the event left it; when a check resolved it, its `observed` is the value now, null where the check
    does not give one. `due` is false where nobody is notified: silenced, inhibited, or nobody was notified that it
    fires. `note` says who resolved it by hand, or what inhibits it. `possible_repeat`: an earlier attempt may have
    arrived. `recipient` is null, and the delivery waiting, until it is distributed.
    """

    event: AlertEvent
    alert: Alert
    at: datetime
    due: bool = True
    note: str | None = None
    event_id: int = 0
    recipient: str | None = None
    state: DeliveryState = "waiting"
    attempts: int = 0
    next_attempt_at: datetime | None = None
    sent_at: datetime | None = None
    possible_repeat: bool = False
    reason: str | None = None
