"""What a notification says, to be read on a phone: many alerts in one, as long as the recipient takes."""

import re
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Literal, NamedTuple
from urllib.parse import quote

from candleworks.alerts.durations import in_words, with_words
from candleworks.alerts.first_steps import first_step
from candleworks.model.alerts import Told
from candleworks.settings import Settings

LONGEST_VALUE = 200
SHOWN_SUBJECTS = (20, 10, 5, 2, 1, 0)  # per check; fewer where a recipient takes only short notifications
_SEVERITIES = ("critical", "warning", "info")
_STATES = ("firing", "check error", "still firing", "resolved")
_REPEAT = "This may have been sent before: the first attempt was cut off."
_NO_PAGE = (
    "This link opens only on {host}. Set alerts.page_url in candleworks.yaml to an address of the chart page that opens"
    " from elsewhere."
)

Level = Literal["critical", "warning", "info", "resolved"]


class Message(NamedTuple):
    """A title of one line, and a body of several. `level` is the worst severity that fires, or says that none does."""

    title: str
    body: str
    level: Level = "info"


def compose(
    told: Sequence[Told], settings: Settings, lengths: tuple[int, int], moment: datetime, *, first: bool = False
) -> Message:
    """Write one notification about events, in at most so many characters of title and body.

    Each alert is shown as its newest event leaves it, the most severe first. `moment` is now; `first` is whether the
    recipient has never had a notification.
    """
    events = sorted(latest(told), key=_place)
    title = _cut(_title(events), lengths[0])
    worst = events[0]
    level: Level = "resolved" if worst.event == "resolved" else worst.severity
    tail = _tail(events, settings, first=first)
    for shown in SHOWN_SUBJECTS:
        text = _groups(events, shown, moment)
        if len(text) + len(tail) <= lengths[1]:
            return Message(title, text + tail, level)
    room = lengths[1] - len(tail)
    return Message(title, _cut(text, room) + tail if room > len(tail) else _cut(text, lengths[1]), level)


def latest(told: Sequence[Told]) -> list[Told]:
    """Return the newest event of each alert."""
    return list({each.alert_id or (each.check, each.subject): each for each in told}.values())


def check_address(settings: Settings, check: str) -> str:
    """Return where the check and its present state are explained."""
    return f"{settings.page_url}/quality/{quote(check)}"


def _place(told: Told) -> tuple[bool, int, int, str]:
    state = _state(told)
    return state == "resolved", _SEVERITIES.index(told.severity), _STATES.index(state), told.check


def _state(told: Told) -> str:
    if told.event == "resolved":
        return "resolved"
    if told.result == "error":
        return "check error"
    return "still firing" if told.event == "escalated" else "firing"


def _heading(told: Told) -> str:
    return f"{told.severity.upper()} {_state(told)}: {told.check}"


def _title(events: Sequence[Told]) -> str:
    worst, *others = events
    counts = Counter("resolved" if event.event == "resolved" else "firing" for event in others)
    more = [f"{counts['firing']} more firing"] if counts["firing"] else []
    if counts["resolved"]:
        more.append(f"{counts['resolved']} {'more ' if worst.event == 'resolved' else ''}resolved")
    return f"{', '.join([f'{_heading(worst)} {worst.subject}', *more])} [candleworks]"


def _tail(events: Sequence[Told], settings: Settings, *, first: bool) -> str:
    checks = {event.check for event in events}
    lines = [check_address(settings, checks.pop()) if len(checks) == 1 else f"{settings.page_url}/quality"]
    if first and settings.alerts.page_url is None:
        lines.append(_NO_PAGE.format(host=socket.gethostname()))
    if settings.alerts.dashboard_url:
        lines.append(f"Dashboard: {settings.alerts.dashboard_url}")
    if any(event.possible_repeat for event in events):
        lines.append(_REPEAT)
    return "\n\n" + "\n".join(lines)


def _groups(events: Sequence[Told], shown: int, moment: datetime) -> str:
    return "\n\n".join("\n".join(_group(list(group), shown, moment)) for _, group in groupby(events, key=_place))


def _group(events: Sequence[Told], shown: int, moment: datetime) -> list[str]:
    """Write the alerts of one check, severity and state; what they have in common is said once."""
    one, *others = events
    when = _common(_when(event, moment) for event in events)
    expected = _common(event.expected for event in events)
    lines = [f"{_heading(one)}, {len(events):,} subjects" if others else _heading(one)]
    for event in events[:shown]:
        parts = [_what(event, moment)]
        parts += [f"expected {_value(event.expected, moment)}"] if event.expected and not expected else []
        parts += [] if when else [_when(event, moment)]
        lines.append(("- " if others else "") + "; ".join(parts))
    if len(events) > shown:
        lines.append(f"- and {len(events) - shown:,} more")
    lines += [f"{when[0].upper()}{when[1:]}"] if when else []
    lines += [f"Expected: {_value(expected, moment)}"] if expected else []
    if one.event != "resolved" and (step := first_step(one.check)):
        lines.append(f"Do first: {step}")
    return lines


def _common(texts: Iterable[str | None]) -> str | None:
    """Return what all texts are, or None when they differ."""
    first, *others = set(texts)
    return None if others else first


def _what(told: Told, moment: datetime) -> str:
    """Write what is, or was, the matter with the subject of an alert."""
    observed = _value(told.observed, moment)
    if told.event == "resolved" and told.note:
        return f"{told.subject}: resolved {told.note}"
    if told.event == "resolved":
        return f"{told.subject} now: {observed}" if told.observed else f"{told.subject}: back to normal"
    if told.result == "error":
        return f"{told.subject}: not checked, because the check failed: {observed}"
    return f"{told.subject}: {observed}"


def _when(told: Told, moment: datetime) -> str:
    began = f"{told.opened_at:%Y-%m-%d %H:%M:%S}"
    if told.event == "resolved":
        lasted = in_words((told.at - told.opened_at).total_seconds())
        return f"fired for {lasted}, from {began} to {told.at:%Y-%m-%d %H:%M:%S} UTC"
    times = f", failed {told.count} times" if told.count > 1 else ""
    return f"firing since {began} UTC ({in_words((moment - told.opened_at).total_seconds())} ago){times}"


def _value(text: str | None, moment: datetime) -> str:
    if text is None:
        return "nothing"
    return _cut(with_words(re.sub(r"\s+", " ", text).strip(), moment), LONGEST_VALUE)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: max(0, length - 3)]}..."
