"""The last day of a check as a strip of half-hours: a drawing that says its state by heights as well as colours."""

import html
from collections.abc import Mapping
from datetime import datetime, timedelta

from candleworks.model.alerts import CheckStatus

PARTS = 48
PART = timedelta(minutes=30)
_WIDTH, _GAP, _HEIGHT = 3, 1, 16
_HEIGHTS: Mapping[CheckStatus | None, int] = {None: 1, "passed": 5, "failed": 16, "error": 11}


def strip_start(now: datetime) -> datetime:
    """Return the start of the first half-hour of a strip that ends with the present one."""
    began = now.replace(minute=30 * (now.minute // 30), second=0, microsecond=0)
    return began - (PARTS - 1) * PART


def check_strip(parts: Mapping[int, CheckStatus], start: datetime) -> str:
    """Return the strip as SVG; `parts` has the worst status of each half-hour since `start` that has a result."""
    bars = "".join(_bar(number, parts.get(number), start + number * PART) for number in range(PARTS))
    width = PARTS * (_WIDTH + _GAP) - _GAP
    said = html.escape(_summary(parts, start))
    return (
        f'<svg class="strip" role="img" aria-label="{said}" width="{width}" height="{_HEIGHT}"'
        f' viewBox="0 0 {width} {_HEIGHT}">{bars}</svg>'
    )


def _bar(number: int, status: CheckStatus | None, at: datetime) -> str:
    height = _HEIGHTS[status]
    return (
        f'<rect class="{status or "none"}" x="{number * (_WIDTH + _GAP)}" y="{_HEIGHT - height}" width="{_WIDTH}"'
        f' height="{height}"><title>{at:%H:%M} {status or "no result"}</title></rect>'
    )


def _summary(parts: Mapping[int, CheckStatus], start: datetime) -> str:
    """Say how many half-hours of the last 24 hours were not passed, and which the newest of them is."""
    bad = {number: status for number, status in parts.items() if status != "passed"}
    if not parts:
        return "Last 24 hours: no results"
    if not bad:
        return "Last 24 hours: passed"
    newest = max(bad)
    return f"Last 24 hours: {len(bad)} of {PARTS} half-hours not passed, the newest at {start + newest * PART:%H:%M}"
