"""Times as people write them, in options of commands and in parameters of requests."""

import re
from datetime import UTC, date, datetime, timedelta

from candleworks import clock
from candleworks.errors import UsageError

TIME_FORMS = (
    "an ISO 8601 date or time such as 2026-11-20 or 2026-11-20T14:30:00Z (UTC unless it has an offset) or seconds"
    " since 1970 with 9 or 10 digits"
)

_DURATION = re.compile(r"([0-9]{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def parse_time(text: str) -> datetime:
    """Read one of TIME_FORMS as a time in UTC; ValueError for anything else."""
    try:
        if re.fullmatch(r"[0-9]{9,10}", text):
            return datetime.fromtimestamp(int(text), UTC)
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not {TIME_FORMS}") from None


def past_time(text: str) -> datetime:
    """Read an option's time; a duration such as 12h counts back from now. UsageError for anything else."""
    return _option_time(text, -1)


def future_time(text: str) -> datetime:
    """Read an option's time; a duration such as 12h counts from now on. UsageError for anything else."""
    return _option_time(text, +1)


def range_end(text: str) -> datetime:
    """Read the exclusive end of an option's range: past_time(), but a date without a time includes its day."""
    end = past_time(text)
    try:
        return end + timedelta(days=_is_date(text))
    except OverflowError:
        raise _invalid(text) from None


def check_range(start: datetime | None, end: datetime | None) -> None:
    """Raise UsageError unless --from is before the exclusive end that --to stands for; None leaves a bound open."""
    if start and end and start >= end:
        raise UsageError(f"--from {_shown(start)} is not before the end {_shown(end)}: change --from or --to.")


def _shown(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _option_time(text: str, direction: int) -> datetime:
    try:
        if duration := _DURATION.fullmatch(text):
            return clock.now() + direction * timedelta(**{_UNITS[duration[2]]: int(duration[1])})
        return parse_time(text)
    except (ValueError, OverflowError):
        raise _invalid(text) from None


def _invalid(text: str) -> UsageError:
    return UsageError(f"{text!r} is not a valid time: use {TIME_FORMS}, or a duration such as 30m, 12h or 7d.")
