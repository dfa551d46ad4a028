"""Times as people type them."""

import re
from datetime import UTC, datetime, timedelta

from candleworks import clock
from candleworks.errors import UsageError

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def span(text: str) -> timedelta:
    """Read a length of time such as 30m, 12h or 7d; UsageError for anything else."""
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if not found:
        raise UsageError(f"{text!r} is no length of time: write a number with m, h or d, such as 12h.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment(text: str) -> datetime:
    """Read a moment: a length of time from now, or a date and time, in UTC where it names no zone."""
    if re.fullmatch(r"\d+[mhd]", text):
        return clock.now() + span(text)
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no time: write 30m, 12h, 7d, or a time such as 2026-01-31T08:00 (UTC)."
        ) from None
    return told if told.tzinfo else told.replace(tzinfo=UTC)
