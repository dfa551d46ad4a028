"""The life of an alert: a result opens it, is counted, escalates it or resolves it. No database is involved."""

from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from candleworks.model.alerts import Alert, AlertEvent, AlertSilence, CheckResult, Notification
from candleworks.settings import Alerts


class Transition(NamedTuple):
    """The alert after a result, and the event to store; null where the result is only counted."""

    alert: Alert | None
    event: Notification | None = None


def transition(
    alert: Alert | None,
    result: CheckResult,
    rules: Alerts,
    silence: AlertSilence | None = None,
    inhibited_by: str | None = None,
) -> Transition:
    """Apply a result to the unresolved alert of its check and subject, or to none.

    A result that is not newer than the last one changes nothing. `silence` is left over from an earlier alert of the
    same check and subject. An alert that is `inhibited_by` another check is stored; if it still fails when that one is
    resolved, the notification that it fires is due then.
    """
    if alert is not None and result.at <= alert.checked_at:
        return Transition(alert)
    if result.status == "passed":
        return _passed(alert, result, rules) if alert else Transition(None)
    return _failed_again(alert, result, rules, inhibited_by) if alert else _opened(result, silence, inhibited_by)


def _opened(result: CheckResult, silence: AlertSilence | None, inhibited_by: str | None) -> Transition:
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
        silenced_until=silence.until if silence else None,
        silence_reason=silence.reason if silence else None,
    )
    if alert.silenced(result.at):
        return _event("opened", alert, result, due=False)
    if inhibited_by is not None:
        return _event("opened", alert, result, due=False, note=f"inhibited by {inhibited_by}")
    return _event("opened", replace(alert, notified_at=result.at), result)


def _failed_again(alert: Alert, result: CheckResult, rules: Alerts, inhibited_by: str | None) -> Transition:
    counted = replace(
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
    if counted.silenced(result.at) or inhibited_by is not None:
        return Transition(counted)
    if counted.notified_at is None:  # it was silenced or inhibited when it opened, and no longer is
        return _event("opened", replace(counted, notified_at=result.at), result)
    if _escalates(alert, counted, rules):
        return _event("escalated", replace(counted, escalated_at=result.at), result)
    return Transition(counted)


def _escalates(before: Alert, counted: Alert, rules: Alerts) -> bool:
    if counted.escalated_at is not None or counted.severity == "info":
        return False
    if (before.result, counted.result) == ("error", "failed"):
        return True  # so far people only know that the check could not be run
    long_enough = counted.last_seen_at - counted.opened_at >= timedelta(seconds=rules.escalate_after_seconds)
    return counted.status == "open" and counted.count >= rules.escalate_after_failures and long_enough


def _passed(alert: Alert, result: CheckResult, rules: Alerts) -> Transition:
    passed = replace(alert, checked_at=result.at, passes=alert.passes + 1)
    if passed.passes < rules.resolve_after_passes:
        return Transition(passed)
    due = passed.notified_at is not None and not passed.silenced(result.at)
    resolved = replace(passed, status="resolved", resolved_at=result.at)
    now = replace(resolved, observed=result.observed, expected=result.expected or resolved.expected)
    return Transition(resolved, Notification(event="resolved", alert=now, at=result.at, due=due))


def _event(
    event: AlertEvent, alert: Alert, result: CheckResult, *, due: bool = True, note: str | None = None
) -> Transition:
    return Transition(alert, Notification(event=event, alert=alert, at=result.at, due=due, note=note))
