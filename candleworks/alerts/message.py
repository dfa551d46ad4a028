"""The text of notifications, to be read on a phone: many alerts in one message, as long as the recipient accepts."""

import re
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Literal, NamedTuple
from urllib.parse import quote

from candleworks.alerts.runbook import first_step
from candleworks.model.alerts import Notification
from candleworks.settings import Settings
from candleworks.wording import counted

MAX_VALUE_LENGTH = 200
SHOWN_SUBJECTS = (20, 10, 5, 2, 1, 0)  # per check; fewer where a recipient accepts only short messages
_SEVERITIES = ("critical", "warning", "info")
_STATES = ("firing", "check error", "still firing", "resolved")
_REPEAT = "This may be a repeat: an earlier attempt to send it was interrupted."
_LOCAL_LINK = (
    "This link opens only on {host}: set alerts.page_url in candleworks.yaml to an address that your phone can open."
)
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_MONTH, _YEAR = 30.44 * _DAY, 365.25 * _DAY

Level = Literal["critical", "warning", "info", "resolved"]


class Message(NamedTuple):
    """A title of one line, and a body of several. `level` is the worst severity that fires, or `resolved`."""

    title: str
    body: str
    level: Level = "info"


def compose(
    notifications: Sequence[Notification],
    settings: Settings,
    lengths: tuple[int, int],
    now: datetime,
    *,
    first: bool = False,
) -> Message:
    """Write one message about notifications, in at most so many characters of title and body.

    Each alert is shown as its newest event leaves it, the most severe first. `first`: the recipient has never been
    notified before.
    """
    events = sorted(newest_per_alert(notifications), key=_group_key)
    title = _cut(_title(events), lengths[0])
    worst = events[0]
    level: Level = "resolved" if worst.event == "resolved" else worst.alert.severity
    footer = _footer(events, settings, first=first)
    for shown in SHOWN_SUBJECTS:
        text = _groups(events, shown, now)
        if len(text) + len(footer) <= lengths[1]:
            return Message(title, text + footer, level)
    left = lengths[1] - len(footer)
    return Message(title, _cut(text, left) + footer if left > len(footer) else _cut(text, lengths[1]), level)


def newest_per_alert(notifications: Sequence[Notification]) -> list[Notification]:
    """Return the newest event of each alert."""
    return list({each.alert.id or each.alert.key: each for each in notifications}.values())


def check_url(settings: Settings, check: str) -> str:
    """Return the address of the page about a check and its present state."""
    return f"{settings.page_url}/quality/{quote(check)}"


def _group_key(notification: Notification) -> tuple[bool, int, int, str]:
    state, alert = _state(notification), notification.alert
    return state == "resolved", _SEVERITIES.index(alert.severity), _STATES.index(state), alert.check


def _state(notification: Notification) -> str:
    if notification.event == "resolved":
        return "resolved"
    if notification.alert.result == "error":
        return "check error"
    return "still firing" if notification.event == "escalated" else "firing"


def _heading(notification: Notification) -> str:
    return f"{notification.alert.severity.upper()} {_state(notification)}: {notification.alert.check}"


def _title(events: Sequence[Notification]) -> str:
    worst, *others = events
    counts = Counter("resolved" if event.event == "resolved" else "firing" for event in others)
    more = [f"{counts['firing']} more firing"] if counts["firing"] else []
    if counts["resolved"]:
        more.append(f"{counts['resolved']} {'more ' if worst.event == 'resolved' else ''}resolved")
    return f"{', '.join([f'{_heading(worst)} {worst.alert.subject}', *more])} [candleworks]"


def _footer(events: Sequence[Notification], settings: Settings, *, first: bool) -> str:
    checks = {event.alert.check for event in events}
    lines = [check_url(settings, checks.pop()) if len(checks) == 1 else f"{settings.page_url}/quality"]
    if first and settings.alerts.page_url is None:
        lines.append(_LOCAL_LINK.format(host=socket.gethostname()))
    if settings.alerts.dashboard_url:
        lines.append(f"Dashboard: {settings.alerts.dashboard_url}")
    if any(event.possible_repeat for event in events):
        lines.append(_REPEAT)
    return "\n\n" + "\n".join(lines)


def _groups(events: Sequence[Notification], shown: int, now: datetime) -> str:
    return "\n\n".join("\n".join(_group(list(group), shown, now)) for _, group in groupby(events, key=_group_key))


def _group(events: Sequence[Notification], shown: int, now: datetime) -> list[str]:
    """Write the alerts of one check, severity and state; what they have in common is written once."""
    one, *others = events
    period = _common(_period(event, now) for event in events)
    expected = _common(event.alert.expected for event in events)
    lines = [f"{_heading(one)}, {counted(len(events), 'subject')}" if others else _heading(one)]
    for event in events[:shown]:
        parts = [_observation(event, now)]
        parts += [f"expected {_value(event.alert.expected, now)}"] if event.alert.expected and not expected else []
        parts += [] if period else [_period(event, now)]
        lines.append(("- " if others else "") + "; ".join(parts))
    if len(events) > shown:
        lines.append(f"- and {len(events) - shown:,} more")
    lines += [f"{period[0].upper()}{period[1:]}"] if period else []
    lines += [f"Expected: {_value(expected, now)}"] if expected else []
    if one.event != "resolved" and (step := first_step(one.alert.check, one.alert.result)):
        lines.append(f"First step: {step}")
    return lines


def _common(texts: Iterable[str | None]) -> str | None:
    """Return what all texts are, or null when they differ."""
    first, *others = set(texts)
    return None if others else first


def _observation(notification: Notification, now: datetime) -> str:
    alert = notification.alert
    observed = _value(alert.observed, now)
    if notification.event == "resolved" and notification.note:
        return f"{alert.subject}: resolved {notification.note}"
    if notification.event == "resolved":
        return f"{alert.subject} now: {observed}" if alert.observed else f"{alert.subject}: back to normal"
    if alert.result == "error":
        return f"{alert.subject}: the check could not be run: {observed}"
    return f"{alert.subject}: {observed}"


def _period(notification: Notification, now: datetime) -> str:
    alert = notification.alert
    opened = f"{alert.opened_at:%Y-%m-%d %H:%M:%S}"
    if notification.event == "resolved":
        lasted = duration((notification.at - alert.opened_at).total_seconds())
        return f"fired for {lasted}, from {opened} to {notification.at:%Y-%m-%d %H:%M:%S} UTC"
    times = f", failed {alert.count} times" if alert.count > 1 else ""
    return f"firing since {opened} UTC ({duration((now - alert.opened_at).total_seconds())} ago){times}"


def _value(text: str | None, now: datetime) -> str:
    if text is None:
        return "no value"
    return _cut(readable_times(re.sub(r"\s+", " ", text).strip(), now), MAX_VALUE_LENGTH)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: max(0, length - 3)]}..."


def duration(seconds: float) -> str:
    """Return a duration in at most two units: `64 s`, `5 min 12 s`, `3 h 20 min`, `12 days`, `3 years`."""
    total = max(0, round(seconds))
    if total < 2 * _MINUTE:
        return f"{total} s"
    if total < 2 * _HOUR:
        return _two_units(total, _MINUTE, "min", 1, "s")
    if total < 2 * _DAY:
        return _two_units(total, _HOUR, "h", _MINUTE, "min")
    for size, unit in ((_YEAR, "years"), (_MONTH, "months")):
        if total >= 2 * size:
            return f"{total / size:.0f} {unit}"
    return f"{total / _DAY:.0f} days"


def _two_units(total: int, size: int, unit: str, small_size: int, small_unit: str) -> str:
    large, rest = divmod(total, size)
    small = rest // small_size
    return f"{large} {unit} {small} {small_unit}" if small else f"{large} {unit}"


def readable_times(text: str, now: datetime) -> str:
    """Write numbers of seconds in a text, such as `101,962,167 s`, as durations, and add how long ago its times are."""

    def ago(found: re.Match[str]) -> str:
        seconds = (now - datetime.fromisoformat(found[1]).replace(tzinfo=UTC)).total_seconds()
        return f"{found[0]} ({duration(seconds)} ago)" if seconds >= 0 else found[0]

    text = re.sub(r"(?<![\w.,-])(\d[\d,]*) s\b", lambda found: duration(float(found[1].replace(",", ""))), text)
    return re.sub(r"\b(\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?) UTC", ago, text)
