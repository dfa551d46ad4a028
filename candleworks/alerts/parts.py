"""Alerts about parts of `up` that keep ending: `up` writes what it sees into its home, and the watchdog reads it."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from candleworks.model.alerts import CheckResult, CheckStatus
from candleworks.private_files import replace_private
from candleworks.settings import Settings

FRESH_SECONDS = 60  # what an earlier `up` left says nothing


def save_parts(settings: Settings, notes: Mapping[str, str | None]) -> None:
    """Write down the parts, each with what is wrong with it, null where it runs. OSError where that is impossible."""
    replace_private(_file(settings), json.dumps(notes).encode())


def parts_results(settings: Settings, at: datetime) -> list[CheckResult]:
    """Return a result for each part of an `up` that runs in this home; none where none runs."""
    try:
        age_seconds = at.timestamp() - _file(settings).stat().st_mtime
        notes: dict[str, str | None] = json.loads(_file(settings).read_text()) if age_seconds < FRESH_SECONDS else {}
    except (OSError, ValueError):
        return []
    return [_result(part, note, at) for part, note in notes.items()]


def _result(part: str, note: str | None, at: datetime) -> CheckResult:
    status: CheckStatus = "failed" if note else "passed"
    return CheckResult("watch-part", f"part/{part}", "warning", status, note or "running", "it keeps running", at)


def _file(settings: Settings) -> Path:
    return settings.home / "run" / "parts.json"
