"""What a result does to an alert: opens it, is counted, escalates it, ends it. Knows no database."""

from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from candleworks.model.alerts import Alert, AlertEvent, EventName, Mute, Result
from candleworks.settings import Alerts


class Step(NamedTuple):
    """The alert after a result, and what happened to it; None: nothing that is told or noted."""

    alert: Alert | None
    event: AlertEvent | None = None


def follow(
    alert: Alert | None, result: Result, rules: Alerts, mute: Mute | None = None, speaker: str | None = None
) -> Step:
    """Return what a result makes of the unresolved alert of its check and subject, if there is one.

    A result that is not newer than the last one changes nothing. `mute` is what is left of an earlier alert's,
    `speaker` the check whose alert tells the same trouble: this one is told when that has ended and it goes on.
    """
    if alert is not None and result.at <= alert.checked_at:
        return Step(alert)
    if result.status == "passed":
        return _passed(alert, result, rules) if alert else Step(None)
    return _failed_again(alert, result, rules, speaker) if alert else _opened(result, mute, speaker)


def _opened(result: Result, mute: Mute | None, speaker: str | None) -> Step:
    alert = Alert(
        check=result.check,
        subject=result.subject,
        severity=result.severity,
        result="error" if result.status == "error" else "failed",
        opened_at=result.at,
        last_seen_at=result.at,
        checked_at=result.at,
        observed=result.observed,
        expected=result.expected,
        silenced_until=mute.until if mute else None,
        silence_reason=mute.reason if mute else None,
    )
    if alert.muted(result.at):
        return _step("opened", alert, result, told=False)
    if speaker is not None:
        return _step("opened", alert, result, told=False, note=f"inhibited by {speaker}")
    return _step("opened", replace(alert, notified_at=result.at), result)


def _failed_again(alert: Alert, result: Result, rules: Alerts, speaker: str | None) -> Step:
    seen = replace(
        alert,
        severity=result.severity,
        result="error" if result.status == "error" else "failed",
        last_seen_at=result.at,
        checked_at=result.at,
        count=alert.count + 1,
        passes=0,
        observed=result.observed,
        expected=result.expected,
    )
    if seen.muted(result.at) or speaker is not None:
        return Step(seen)
    if seen.notified_at is None:  # it was not told when it opened, and outlived the reason
        return _step("opened", replace(seen, notified_at=result.at), result)
    if _escalates(alert, seen, rules):
        return _step("escalated", replace(seen, escalated_at=result.at), result)
    return Step(seen)


def _escalates(before: Alert, seen: Alert, rules: Alerts) -> bool:
    if seen.escalated_at is not None or seen.severity == "info":
        return False
    if (before.result, seen.result) == ("error", "failed"):
        return True  # nobody was told yet that the data is wrong, only that nobody could look
    long_enough = seen.last_seen_at - seen.opened_at >= timedelta(seconds=rules.escalate_after_seconds)
    return seen.status == "open" and seen.count >= rules.escalate_after_failures and long_enough


def _passed(alert: Alert, result: Result, rules: Alerts) -> Step:
    seen = replace(alert, checked_at=result.at, passes=alert.passes + 1)
    if seen.passes < rules.resolve_after_passes:
        return Step(seen)
    told = seen.notified_at is not None and not seen.muted(result.at)
    ended = replace(seen, status="resolved", resolved_at=result.at)
    now = replace(ended, observed=result.observed, expected=result.expected or ended.expected)
    return Step(ended, AlertEvent("resolved", now, result.at, told))


def _step(name: EventName, alert: Alert, result: Result, *, told: bool = True, note: str | None = None) -> Step:
    return Step(alert, AlertEvent(name, alert, result.at, told, note))
