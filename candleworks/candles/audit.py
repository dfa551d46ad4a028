"""The audit: recomputes candles from their ticks, reports every difference, and repairs them on request."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from candleworks import clock
from candleworks.candles.refresh import rebuild, refresh
from candleworks.database.connection import Connection
from candleworks.model.notices import Progress, silent
from candleworks.storage.candles import CandleDifference, audit_days, audit_level, audited_levels, save_differences

DAY = timedelta(days=1)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class AuditReport:
    """The result of an audit; `repaired` counts the differences that were repaired.

    `days` are the UTC days that had ticks or candles and were compared; without any, nothing was audited.
    """

    days: list[datetime] = field(default_factory=list)
    differences: list[CandleDifference] = field(default_factory=list)
    repaired: int = 0


def audit(
    connection: Connection,
    start: datetime | None,
    stop: datetime | None,
    *,
    repair: bool = False,
    progress: Progress = silent,
) -> AuditReport:
    """Compare every candle of [start, stop), widened to whole UTC days, with its ticks.

    Without bounds everything is audited. Days whose ticks retention has dropped are skipped: there is nothing to
    compare. A candle that a refresh corrects was due, and is not a difference. `progress` is called for each level of
    each day, and gets the day.
    """
    refresh(connection)
    report = AuditReport(audit_days(connection, *_bounds(start, stop)))
    levels = [level.label for level in audited_levels(connection)]
    for number, first in enumerate(report.days):
        after = first + DAY
        steps = _Steps(progress, number * len(levels), len(report.days) * len(levels), f"{first:%Y-%m-%d}")
        found = _differences(connection, levels, first, after, steps)
        if found:
            # A tick may have arrived between the refresh and the comparison.
            refresh(connection)
            found = _differences(connection, levels, first, after)
        if found:
            _handle(connection, report, found, (first, after), repair=repair)
    progress(len(report.days) * len(levels), len(report.days) * len(levels), "")
    return report


@dataclass(slots=True)
class _Steps:
    """Reports the steps of a day, of which `done` are behind it."""

    progress: Progress
    done: int
    steps: int
    day: str

    def next(self) -> None:
        self.progress(self.done, self.steps, self.day)
        self.done += 1


def _handle(
    connection: Connection,
    report: AuditReport,
    found: list[CandleDifference],
    day: tuple[datetime, datetime],
    *,
    repair: bool,
) -> None:
    report.differences += found
    found_at = clock.now()
    if not repair:
        save_differences(connection, found, found_at, None)
        return
    rebuild(connection, found)
    levels = [level.label for level in audited_levels(connection)]
    left = {(d.level, d.symbol, d.bucket) for d in _differences(connection, levels, *day)}
    gone = [d for d in found if (d.level, d.symbol, d.bucket) not in left]
    report.repaired += len(gone)
    save_differences(connection, gone, found_at, clock.now())
    save_differences(connection, [d for d in found if d not in gone], found_at, None)


def _differences(
    connection: Connection, levels: Sequence[str], first: datetime, after: datetime, steps: _Steps | None = None
) -> list[CandleDifference]:
    found: list[CandleDifference] = []
    for level in levels:
        if steps:
            steps.next()
        found += audit_level(connection, level, first, after)
    return found


def _bounds(start: datetime | None, stop: datetime | None) -> tuple[datetime, datetime]:
    first = _midnight(start or BEGINNING)
    after = _midnight((stop or clock.now() + DAY) - timedelta(microseconds=1)) + DAY
    return first, max(first, after)


def _midnight(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
