"""All checks.

Each has a page in docs/checks/ and SQL in sql/checks/, unless it needs only expectations of Great Expectations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from candleworks.errors import ConfigurationError, UsageError
from candleworks.model.alerts import Severity, Suite
from candleworks.settings import Settings

Covers = Literal["stored", "new", "statistics", "all"]
SUITES: tuple[Suite, ...] = ("ticks", "candles", "system")
ALL = "all"


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation of the data or of the platform.

    `covers` says what it reads in a run, and so when a subject that failed passes:
    `stored`: new ticks or candles, and those that failed before; they have to be corrected, or accepted.
    `new`: new ticks; a subject passes when newer ticks of it pass.
    `statistics`: statistics of feeds since the last run; a feed without statistics is not judged.
    `all`: the present state of every subject; one that is not among the failures passes.

    `scope` is the subject of the check itself. `all_fail` are thresholds at which every subject fails, so that the
    check returns the value of those that pass.
    `native` checks are expectations of Great Expectations on the table. `refreshes` checks are repeated after a
    refresh when they fail, because candles may lag behind their ticks for a moment.
    """

    name: str
    suite: Suite
    scope: str
    severity: Severity
    covers: Covers = "stored"
    native: bool = False
    refreshes: bool = False
    all_fail: Mapping[str, float] = field(default_factory=dict)


_TICKS, _CANDLES, _SYSTEM = "stocks_real_time", "candles", "system"
CHECKS: tuple[Check, ...] = (
    Check("required-fields", "ticks", _TICKS, "critical", native=True),
    Check("price-positive", "ticks", _TICKS, "critical", native=True),
    Check("future-ticks", "ticks", _TICKS, "warning"),
    Check("late-ticks", "ticks", _TICKS, "warning", covers="new"),
    Check("price-jump", "ticks", _TICKS, "warning"),
    Check("volume-decrease", "ticks", _TICKS, "warning"),
    Check("crossed-quotes", "ticks", _TICKS, "warning", covers="new"),
    Check("wide-spread", "ticks", _TICKS, "warning", covers="new"),
    Check("ordinal-gaps", "ticks", _TICKS, "warning"),
    Check("duplicates", "ticks", _TICKS, "info", covers="statistics"),
    Check("never-seen", "ticks", _TICKS, "warning", covers="all"),
    Check("freshness", "ticks", _TICKS, "warning", covers="all", all_fail={"max_silence_seconds": -1}),
    Check("tick-rate", "ticks", _TICKS, "info", covers="all", all_fail={"min_rate_percent": 1e9}),
    Check("candle-shape", "candles", _CANDLES, "critical", native=True, refreshes=True),
    Check("candle-levels", "candles", _CANDLES, "critical", refreshes=True),
    Check("candle-audit", "candles", _CANDLES, "critical", refreshes=True),
    Check("empty-minutes", "candles", _CANDLES, "warning"),
    Check("vendor-bars", "candles", _CANDLES, "warning"),
    Check("ingest-lag", "system", _SYSTEM, "warning", covers="statistics", all_fail={"max_lag_ms": -1}),
    Check("unfilled-gaps", "system", _SYSTEM, "warning", covers="all"),
    Check("rejected", "system", _SYSTEM, "warning", covers="statistics"),
    Check("refresh-lag", "system", _SYSTEM, "warning", covers="all", all_fail={"max_refresh_lag_seconds": -1}),
    Check("disk", "system", _SYSTEM, "critical", covers="all", all_fail={"min_free_disk_mb": 10**12}),
    Check("retention", "system", _SYSTEM, "info", covers="all"),
    Check("company", "system", _SYSTEM, "info", covers="all"),
)


def select_checks(settings: Settings, suite: str) -> list[Check]:
    """Return the checks of a suite, or of all, that are not disabled; the errors name the valid values."""
    if suite not in (*SUITES, ALL):
        raise UsageError(f"Unknown suite {suite!r}: choose one of {', '.join((*SUITES, ALL))}.")
    known = [check.name for check in CHECKS]
    for name in settings.quality.disabled:
        if name not in known:
            raise ConfigurationError(
                f"quality.disabled names the unknown check {name!r}: choose from {', '.join(sorted(known))}."
            )
    return [c for c in CHECKS if suite in (ALL, c.suite) and c.name not in settings.quality.disabled]
