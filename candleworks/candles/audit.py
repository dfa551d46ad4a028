"""The audit: recomputes candles from their ticks, reports every difference, and repairs them on request."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from candleworks import clock
from candleworks.candles.refresh import rebuild, refresh
from candleworks.database.connection import Connection
from candleworks.storage.candles import CandleDifference, audit_days, audit_level, audited_levels, save_differences

DAY = timedelta(days=1)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class AuditReport:
    """The result of an audit; `repaired` counts the differences that were repaired.

    [start, stop) are the days that had ticks or candles.
    """

    start: datetime
    stop: datetime
    differences: list[CandleDifference] = field(default_factory=list)
    repaired: int = 0


def audit(
    connection: Connection, start: datetime | None, stop: datetime | None, *, repair: bool = False
) -> AuditReport:
    """Compare every candle of [start, stop), widened to whole UTC days, with its ticks.

    Without bounds everything is audited. Days whose ticks retention has dropped are skipped: there is nothing to
    compare. A candle that a refresh corrects was due, and is not a difference.
    """
    report = AuditReport(*_bounds(start, stop))
    refresh(connection)
    days = audit_days(connection, report.start, report.stop)
    if days:
        report.start, report.stop = days[0], days[-1] + DAY
    for first in days:
        after = first + DAY
        found = _differences(connection, first, after)
        if found:
            # A tick may have arrived between the refresh and the comparison.
            refresh(connection)
            found = _differences(connection, first, after)
        if found:
            _handle(connection, report, found, (first, after), repair=repair)
    return report


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
    left = {(d.level, d.symbol, d.bucket) for d in _differences(connection, *day)}
    gone = [d for d in found if (d.level, d.symbol, d.bucket) not in left]
    report.repaired += len(gone)
    save_differences(connection, gone, found_at, clock.now())
    save_differences(connection, [d for d in found if d not in gone], found_at, None)


def _differences(connection: Connection, first: datetime, after: datetime) -> list[CandleDifference]:
    return [
        found for level in audited_levels(connection) for found in audit_level(connection, level.label, first, after)
    ]


def _bounds(start: datetime | None, stop: datetime | None) -> tuple[datetime, datetime]:
    first = _midnight(start or BEGINNING)
    after = _midnight((stop or clock.now() + DAY) - timedelta(microseconds=1)) + DAY
    return first, max(first, after)


def _midnight(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
