"""Lengths of time as people say them."""

import re
from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_MONTH, _YEAR = 30.44 * _DAY, 365.25 * _DAY


def in_words(seconds: float) -> str:
    """Return a length of time in at most two units: `64 s`, `5 min 12 s`, `3 h 20 min`, `12 days`, `3 years`."""
    whole = max(0, round(seconds))
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    if whole < 2 * _HOUR:
        return _pair(whole, _MINUTE, "min", 1, "s")
    if whole < 2 * _DAY:
        return _pair(whole, _HOUR, "h", _MINUTE, "min")
    for size, unit in ((_YEAR, "years"), (_MONTH, "months")):
        if whole >= 2 * size:
            return f"{whole / size:.0f} {unit}"
    return f"{whole / _DAY:.0f} days"


def _pair(whole: int, size: int, unit: str, small_size: int, small_unit: str) -> str:
    large, rest = divmod(whole, size)
    small = rest // small_size
    return f"{large} {unit} {small} {small_unit}" if small else f"{large} {unit}"


def with_words(text: str, moment: datetime) -> str:
    """Return a text with its lengths in seconds, such as `101,962,167 s`, in words, and how long ago its times were."""

    def ago(found: re.Match[str]) -> str:
        seconds = (moment - datetime.fromisoformat(found[1]).replace(tzinfo=UTC)).total_seconds()
        return f"{found[0]} ({in_words(seconds)} ago)" if seconds >= 0 else found[0]

    text = re.sub(r"(?<![\w.,-])(\d[\d,]*) s\b", lambda found: in_words(float(found[1].replace(",", ""))), text)
    return re.sub(r"\b(\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?) UTC", ago, text)
