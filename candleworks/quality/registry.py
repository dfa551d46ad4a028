"""The checks there are.

Each has a page in docs/checks/ and, unless expectations of Great Expectations say it all, its SQL in sql/checks/.
"""

from dataclasses import dataclass
from typing import Literal

from candleworks.errors import ConfigurationError, UsageError
from candleworks.model.quality import Severity, Suite
from candleworks.settings import Settings

SUITES: tuple[Suite, ...] = ("ticks", "candles", "system")
ALL = "all"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is expected of the data or of the platform.

    `judges`: `batch` looks at new ticks or their candles, and says nothing where there are none; `all` looks at every
    subject each time, so that one it does not name passes. `scope` is the subject of the check as a whole.
    `native` checks are expectations of Great Expectations on the table itself. `settles` checks look again after a
    refresh, because candles may lag behind their ticks for a moment.
    """

    name: str
    suite: Suite
    scope: str
    severity: Severity
    judges: Literal["batch", "all"] = "batch"
    native: bool = False
    settles: bool = False


_TICKS, _CANDLES, _SYSTEM = "stocks_real_time", "candles", "system"
CHECKS: tuple[Check, ...] = (
    Check("required-fields", "ticks", _TICKS, "critical", native=True),
    Check("price-positive", "ticks", _TICKS, "critical", native=True),
    Check("stamp-future", "ticks", _TICKS, "warning"),
    Check("stamp-old", "ticks", _TICKS, "warning"),
    Check("price-jump", "ticks", _TICKS, "warning"),
    Check("volume-back", "ticks", _TICKS, "warning"),
    Check("crossed-quotes", "ticks", _TICKS, "warning"),
    Check("wide-spread", "ticks", _TICKS, "warning"),
    Check("ordinal-holes", "ticks", _TICKS, "warning"),
    Check("duplicates", "ticks", _TICKS, "info", judges="all"),
    Check("feed-silent", "ticks", _TICKS, "critical", judges="all"),
    Check("never-seen", "ticks", _TICKS, "warning", judges="all"),
    Check("freshness", "ticks", _TICKS, "warning", judges="all"),
    Check("tick-rate", "ticks", _TICKS, "info", judges="all"),
    Check("candle-shape", "candles", _CANDLES, "critical", native=True, settles=True),
    Check("candle-levels", "candles", _CANDLES, "critical", settles=True),
    Check("candle-audit", "candles", _CANDLES, "critical", settles=True),
    Check("empty-minutes", "candles", _CANDLES, "warning"),
    Check("vendor-bars", "candles", _CANDLES, "warning"),
    Check("ingest-lag", "system", _SYSTEM, "warning", judges="all"),
    Check("spool", "system", _SYSTEM, "critical", judges="all"),
    Check("open-gaps", "system", _SYSTEM, "warning", judges="all"),
    Check("rejected", "system", _SYSTEM, "warning", judges="all"),
    Check("refresh-lag", "system", _SYSTEM, "warning", judges="all"),
    Check("disk", "system", _SYSTEM, "critical", judges="all"),
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
