"""Turns the results of checks into alerts: opens, counts, inhibits, escalates and resolves them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from candleworks.alerts.lifecycle import transition
from candleworks.database.connection import Connection
from candleworks.model.alerts import Alert, AlertKey, CheckResult, Notification
from candleworks.model.notices import Notice, Notify, ignore
from candleworks.settings import Settings
from candleworks.storage.alerts import (
    feeds_of_symbols,
    inhibiting_alerts,
    lasting_silences,
    lock_alerts,
    opened,
    save_alert,
    save_event,
    unresolved_alerts,
)

_WORST_LAST = ("passed", "error", "failed")
_NOTICES = {"opened": "quality.failed", "escalated": "quality.failed", "resolved": "quality.resolved"}


class InhibitRule(NamedTuple):
    """While an alert of a source check about a feed fires, target checks of the symbols of that feed do not notify."""

    source: Sequence[str]
    target: Sequence[str]


INHIBIT_RULES = (InhibitRule(source=("watch-ingest", "watch-feed"), target=("freshness", "never-seen")),)
GRACE_PERIOD = timedelta(minutes=15)  # rules hold so long after a feed recovers: its symbols tick again one by one


class AlertChanges(NamedTuple):
    """The alerts that results opened, escalated and resolved."""

    opened: tuple[Alert, ...]
    escalated: tuple[Alert, ...]
    resolved: tuple[Alert, ...]


def update(
    database: Connection | str, settings: Settings, results: Iterable[CheckResult], notify: Notify = ignore
) -> AlertChanges:
    """Apply results to the alerts and store which notifications are due, in one transaction.

    `database` is an autocommit connection or a connection string. `notify` is called after the transaction, but not for
    silenced or inhibited alerts.
    """
    with opened(database, "alerts") as connection, connection.transaction():
        events = apply_results(connection, settings, results)
    announce(events, notify)
    return AlertChanges(*(_alerts(events, name) for name in AlertChanges._fields))


def apply_results(connection: Connection, settings: Settings, results: Iterable[CheckResult]) -> Sequence[Notification]:
    """Apply results to the alerts, in the transaction of the caller, and return what happened to them.

    Of several results of a check and subject the worst counts; alerts without a result here stay as they are. Which
    notifications are due is stored with the alerts; whoever delivers sends them.
    """
    by_key = {result.key: result for result in sorted(results, key=lambda each: _WORST_LAST.index(each.status))}
    return _apply(connection, settings, by_key) if by_key else ()


def announce(events: Iterable[Notification], notify: Notify) -> None:
    """Call `notify` for what happened to alerts that are neither silenced nor inhibited; after the commit."""
    for event in events:
        if event.due:
            notify(_notice(event))


def _alerts(events: Iterable[Notification], name: str) -> tuple[Alert, ...]:
    return tuple(event.alert for event in events if event.event == name)


def _apply(connection: Connection, settings: Settings, results: Mapping[AlertKey, CheckResult]) -> list[Notification]:
    lock_alerts(connection)
    unresolved = unresolved_alerts(connection, results)
    new = [key for key, result in results.items() if key not in unresolved and result.status != "passed"]
    silences = lasting_silences(connection, new, min(result.at for result in results.values()))
    inhibited = _inhibited(connection, results.values())
    events = []
    for key, result in results.items():
        before = unresolved.get(key)
        alert, event = transition(before, result, settings.alerts, silences.get(key), inhibited.get(key))
        if alert is None or alert == before:
            continue
        saved = save_alert(connection, alert)
        if event is not None:
            event = replace(event, alert=replace(event.alert, id=saved.id))
            save_event(connection, event, pending=event.due)
            events.append(event)
    return events


def _inhibited(connection: Connection, results: Collection[CheckResult]) -> dict[AlertKey, str]:
    """Return which check inhibits each result; an error is never inhibited, because nothing is known about it."""
    targets = {check for rule in INHIBIT_RULES for check in rule.target}
    failed = [result for result in results if result.status == "failed" and result.check in targets]
    if not failed:
        return {}
    sources = {check for rule in INHIBIT_RULES for check in rule.source}
    firing = inhibiting_alerts(connection, sources, max(result.at for result in failed), GRACE_PERIOD)
    feeds = feeds_of_symbols(connection)
    causes = {result.key: _inhibited_by(result, firing, feeds.get(result.subject, ())) for result in failed}
    return {key: cause for key, cause in causes.items() if cause}


def _inhibited_by(result: CheckResult, firing: Collection[AlertKey], feeds: Sequence[str]) -> str | None:
    """Return a source check that fires for every feed of the symbol: one that works would deliver its ticks."""
    for rule in INHIBIT_RULES:
        if result.check not in rule.target:
            continue
        found = [[check for check in rule.source if (check, f"feed/{feed}") in firing] for feed in feeds]
        if found and all(found):
            return found[0][0]
    return None


def _notice(event: Notification) -> Notice:
    alert = event.alert
    facts = {
        "event": event.event,
        "alert": alert.id,
        "check": alert.check,
        "subject": alert.subject,
        "severity": alert.severity,
        "result": alert.result,
        "observed": alert.observed,
        "expected": alert.expected,
        "count": alert.count,
        "since": alert.opened_at.isoformat(),
        "at": event.at.isoformat(),
    }
    return Notice(_NOTICES[event.event], f"{alert.check}/{alert.subject}", facts)
