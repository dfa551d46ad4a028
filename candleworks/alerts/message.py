"""What a message says: many events in one, as long as the receiver takes."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple
from urllib.parse import quote

from candleworks.model.alerts import Told
from candleworks.settings import Settings

LONGEST_VALUE = 200
SHOWN_SUBJECTS = (20, 10, 5, 2, 1, 0)  # per check; fewer where a receiver takes only short messages
_ORDER = ("failed", "broke", "still failing", "well again")
_REPEAT = " [may have been sent before: the first attempt was cut off]"


class Message(NamedTuple):
    """A title of one line, and a body of several. `good` is whether it tells of nothing but trouble that has ended."""

    title: str
    body: str
    good: bool = False


def compose(told: Sequence[Told], settings: Settings, lengths: tuple[int, int]) -> Message:
    """Write one message about events, in at most so many characters of title and body."""
    title = _cut(_title(told), lengths[0])
    good = all(event.event == "resolved" for event in told)
    for shown in SHOWN_SUBJECTS:
        body = _body(told, settings, shown)
        if len(body) <= lengths[1]:
            return Message(title, body, good)
    return Message(title, _cut(body, lengths[1]), good)


def _title(told: Sequence[Told]) -> str:
    if len(told) == 1:
        (one,) = told
        return f"candleworks: {one.check} {_what(one)} for {one.subject} ({one.severity})"
    counts = Counter(map(_what, told))
    return "candleworks: " + ", ".join(f"{counts[what]} {what}" for what in _ORDER if what in counts)


def _body(told: Sequence[Told], settings: Settings, shown: int) -> str:
    lines = []
    for (_, check), group in groupby(sorted(told, key=_place), key=_place):
        events = list(group)
        subjects = f"{len(events)} subjects" if len(events) > 1 else "1 subject"
        lines.append(f"{check} {_what(events[0])}: {subjects} ({_severities(events)})")
        lines += [f"- {_line(event)}" for event in events[:shown]]
        if len(events) > shown:
            lines.append(f"- and {len(events) - shown} more")
        lines.append(f"  {check_address(settings, check)}")
    if settings.alerts.dashboard_url:
        lines.append(f"Dashboard: {settings.alerts.dashboard_url}")
    return "\n".join(lines)


def check_address(settings: Settings, check: str) -> str:
    """Return where the check and its present state are explained."""
    return f"{settings.page_url}/quality/{quote(check)}"


def _place(told: Told) -> tuple[int, str]:
    return _ORDER.index(_what(told)), told.check


def _what(told: Told) -> str:
    if told.event == "opened":
        return "failed" if told.result == "failed" else "broke"
    return "still failing" if told.event == "escalated" else "well again"


def _severities(told: Sequence[Told]) -> str:
    return ", ".join(sorted({event.severity for event in told}))


def _line(told: Told) -> str:
    observed = f"observed {_value(told.observed)}"
    if told.result == "error" and told.event != "resolved":
        observed = f"the check itself broke: {_value(told.observed)}"
    expected = f", expected {_value(told.expected)}" if told.expected else ""
    times = f", {told.count} times" if told.count > 1 else ""
    until = f" until {told.at:%Y-%m-%d %H:%M:%S}" if told.event == "resolved" else ""
    repeat = _REPEAT if told.possible_repeat else ""
    return f"{told.subject}: {observed}{expected}, since {told.opened_at:%Y-%m-%d %H:%M:%S}{until} UTC{times}{repeat}"


def _value(text: str | None) -> str:
    return "nothing" if text is None else _cut(re.sub(r"\s+", " ", text).strip(), LONGEST_VALUE)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: max(0, length - 3)]}..."
