"""Periods of candles as people write them."""

import re

from candleworks.candles.reads import Period

PERIOD_FORMS = (
    "a number and a unit of s (up to 59), m, h, d, w or mo, such as 5s, 1m, 90m, 1h, 1d, 1w or 1mo, up to 10 years"
)
MAX_PERIOD_SECONDS = 3_660 * 86_400
MAX_PERIOD_MONTHS = 120

_PERIOD = re.compile(
    r"(?P<count>[0-9]{1,7}) ?(?:(?P<second>s|sec|seconds?)|(?P<minute>m|min|minutes?)|(?P<hour>h|hours?)"
    r"|(?P<day>d|days?)|(?P<week>w|weeks?)|(?P<month>mo|months?))"
)
_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_MAX_COUNT = {"second": 59, "month": MAX_PERIOD_MONTHS}
_SHORT = {"second": "s", "minute": "m", "hour": "h", "day": "d", "week": "w", "month": "mo"}


def parse_period(text: str) -> Period:
    """Read `5s`, `90m`, `1 hour`, `1day`, `1mo` and the like; ValueError with PERIOD_FORMS for anything else."""
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise ValueError(PERIOD_FORMS)
    unit = str(match.lastgroup)
    count = int(match["count"])
    name = f"{count}{_SHORT[unit]}"
    period = Period(name, months=count) if unit == "month" else Period(name, seconds=count * _SECONDS[unit])
    if not 0 < count <= _MAX_COUNT.get(unit, count) or period.seconds > MAX_PERIOD_SECONDS:
        raise ValueError(PERIOD_FORMS)
    return period
