"""The checks there are.

Each has a page in docs/checks/ and, unless expectations of Great Expectations say it all, its SQL in sql/checks/.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from candleworks.errors import ConfigurationError, UsageError
from candleworks.model.quality import Severity, Suite
from candleworks.settings import Settings

Judges = Literal["stored", "new", "statistics", "all"]
SUITES: tuple[Suite, ...] = ("ticks", "candles", "system")
ALL = "all"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is expected of the data or of the platform.

    `judges` says what it looks at, and so what ends a failure:
    `stored`: new ticks or candles, and those that failed before: they stay wrong until somebody corrects them.
    `new`: new ticks; what failed was so at its time, and is over when newer ticks pass.
    `statistics`: what feeds noted since the last run; a feed that noted nothing is not judged.
    `all`: every subject as it is now, so that one that it does not name passes. The others say nothing without rows.

    `scope` is the subject of the check as a whole. `of_all` are thresholds under which every subject fails: what the
    check says then is the value of one that passes.
    `native` checks are expectations of Great Expectations on the table itself. `settles` checks look again after a
    refresh, because candles may lag behind their ticks for a moment.
    """

    name: str
    suite: Suite
    scope: str
    severity: Severity
    judges: Judges = "stored"
    native: bool = False
    settles: bool = False
    of_all: Mapping[str, float] = field(default_factory=dict)


_TICKS, _CANDLES, _SYSTEM = "stocks_real_time", "candles", "system"
CHECKS: tuple[Check, ...] = (
    Check("required-fields", "ticks", _TICKS, "critical", native=True),
    Check("price-positive", "ticks", _TICKS, "critical", native=True),
    Check("stamp-future", "ticks", _TICKS, "warning"),
    Check("stamp-old", "ticks", _TICKS, "warning", judges="new"),
    Check("price-jump", "ticks", _TICKS, "warning"),
    Check("volume-back", "ticks", _TICKS, "warning"),
    Check("crossed-quotes", "ticks", _TICKS, "warning", judges="new"),
    Check("wide-spread", "ticks", _TICKS, "warning", judges="new"),
    Check("ordinal-holes", "ticks", _TICKS, "warning"),
    Check("duplicates", "ticks", _TICKS, "info", judges="statistics"),
    Check("feed-silent", "ticks", _TICKS, "critical", judges="all"),
    Check("never-seen", "ticks", _TICKS, "warning", judges="all"),
    Check("freshness", "ticks", _TICKS, "warning", judges="all", of_all={"max_silence_seconds": -1}),
    Check("tick-rate", "ticks", _TICKS, "info", judges="all", of_all={"min_rate_percent": 1e9}),
    Check("candle-shape", "candles", _CANDLES, "critical", native=True, settles=True),
    Check("candle-levels", "candles", _CANDLES, "critical", settles=True),
    Check("candle-audit", "candles", _CANDLES, "critical", settles=True),
    Check("empty-minutes", "candles", _CANDLES, "warning"),
    Check("vendor-bars", "candles", _CANDLES, "warning"),
    Check("ingest-lag", "system", _SYSTEM, "warning", judges="statistics", of_all={"max_lag_ms": -1}),
    Check("spool", "system", _SYSTEM, "critical", judges="statistics", of_all={"max_spool_ticks": -1}),
    Check("open-gaps", "system", _SYSTEM, "warning", judges="all"),
    Check("rejected", "system", _SYSTEM, "warning", judges="statistics"),
    Check("refresh-lag", "system", _SYSTEM, "warning", judges="all", of_all={"max_refresh_lag_seconds": -1}),
    Check("disk", "system", _SYSTEM, "critical", judges="all", of_all={"min_free_disk_mb": 10**12}),
    Check("retention", "system", _SYSTEM, "info", judges="all"),
    Check("company", "system", _SYSTEM, "info", judges="all"),
)


def chosen(settings: Settings, suite: str) -> list[Check]:
    """Return the checks of a suite, or of all, that are not disabled; errors name what there is."""
    if suite not in (*SUITES, ALL):
        raise UsageError(f"There is no suite {suite!r}: choose one of {', '.join((*SUITES, ALL))}.")
    known = [check.name for check in CHECKS]
    for name in settings.quality.disabled:
        if name not in known:
            raise ConfigurationError(
                f"quality.disabled names {name!r}, which is no check: there are {', '.join(sorted(known))}."
            )
    return [c for c in CHECKS if suite in (ALL, c.suite) and c.name not in settings.quality.disabled]
