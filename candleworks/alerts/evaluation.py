"""Keeps the alerts in step with what checks say."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from candleworks.alerts.inhibition import SPEAKS_FOR, Speaking, needs_speakers, speakers_first
from candleworks.alerts.lifecycle import follow
from candleworks.database.connection import Connection
from candleworks.model.alerts import Alert, AlertEvent, Result
from candleworks.model.notices import Notice, Notify, ignore
from candleworks.settings import Settings
from candleworks.storage.alerts import (
    Key,
    feeds_of_symbols,
    lasting_silences,
    lock_alerts,
    notified_alerts,
    opened,
    save_alert,
    save_event,
    unresolved_alerts,
)

_WORST_FIRST = ("failed", "error", "passed")
_NOTICES = {"opened": "quality.failed", "escalated": "quality.failed", "resolved": "quality.resolved"}


class Changed(NamedTuple):
    """The alerts that results opened, escalated and resolved."""

    opened: tuple[Alert, ...]
    escalated: tuple[Alert, ...]
    resolved: tuple[Alert, ...]


def update(
    database: Connection | str, settings: Settings, results: Iterable[Result], notify: Notify = ignore
) -> Changed:
    """Open, count, escalate and resolve alerts, and note which notifications are due, in one transaction.

    `database` is an autocommit connection or a connection string. A check has one result per subject; of several the
    worst counts. What has no result here stays as it is. Whoever delivers sends the notifications; `notify` is called
    afterwards, not for silenced or inhibited alerts.
    """
    worst = _worst(results)
    if not worst:
        return Changed((), (), ())
    with opened(database, "alerts") as connection, connection.transaction():
        events = _follow_all(connection, settings, worst)
    for event in events:
        if event.told:
            notify(_notice(event))
    named = {
        name: tuple(event.alert for event in events if event.name == name)
        for name in ("opened", "escalated", "resolved")
    }
    return Changed(named["opened"], named["escalated"], named["resolved"])


def _worst(results: Iterable[Result]) -> dict[Key, Result]:
    by_badness = sorted(results, key=lambda result: _WORST_FIRST.index(result.status), reverse=True)
    return {(result.check, result.subject): result for result in by_badness}


def _follow_all(connection: Connection, settings: Settings, results: dict[Key, Result]) -> list[AlertEvent]:
    lock_alerts(connection)
    unresolved = unresolved_alerts(connection, results)
    fresh = [key for key, result in results.items() if key not in unresolved and result.status != "passed"]
    mutes = lasting_silences(connection, fresh, min(result.at for result in results.values()))
    speaking = _speaking(connection, results)
    events = []
    for key in speakers_first(results):
        before, result = unresolved.get(key), results[key]
        alert, event = follow(before, result, settings.alerts, mutes.get(key), speaking.speaker(result))
        if alert is None or alert == before:
            continue
        speaking.note(alert)
        saved = save_alert(connection, alert)
        if event is not None:
            event = replace(event, alert=replace(event.alert, id=saved.id))
            save_event(connection, event, pending=event.told)
            events.append(event)
    return events


def _speaking(connection: Connection, results: dict[Key, Result]) -> Speaking:
    if not needs_speakers(results.values()):
        return Speaking((), (), {})
    moment = max(result.at for result in results.values())
    told, ended = notified_alerts(connection, SPEAKS_FOR, moment)
    return Speaking(told, ended, feeds_of_symbols(connection))


def _notice(event: AlertEvent) -> Notice:
    alert = event.alert
    facts = {
        "event": event.name,
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
    return Notice(_NOTICES[event.name], f"{alert.check}/{alert.subject}", facts)
