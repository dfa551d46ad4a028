"""What a check says about one subject."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Suite = Literal["ticks", "candles", "system"]
Severity = Literal["critical", "warning", "info"]
Status = Literal["passed", "failed", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityResult:
    """A row of `quality_results`.

    `error` means that the check itself broke: nothing is known, and `observed` is the reason. `sample` holds some of
    the offending rows, `seconds` the time that the whole check took, [window_from, window_until) what it looked at.
    `failing` are the times of all offending ticks or buckets, a multirange's text; None where the check judges no rows.
    """

    check: str
    subject: str
    suite: Suite
    severity: Severity
    status: Status
    observed: str | None
    expected: str | None
    window_from: datetime | None
    window_until: datetime
    sample: list[dict[str, Any]] | None
    seconds: float
    at: datetime
    failing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityState(QualityResult):
    """The newest result of a check and subject, and since when its status has been the same."""

    since: datetime
