"""What failed before is checked again: which ticks and candles that is, and which of its subjects pass now."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from candleworks.database.connection import Connection
from candleworks.quality.registry import Check
from candleworks.quality.windows import DAY, CheckInput, candle_range, midnight
from candleworks.storage.quality import (
    Objects,
    RecentFailure,
    TimeRange,
    candle_repairs,
    feeds_streaming,
    feeds_with_statistics,
)
from candleworks.wording import counted

EMPTY_SYMBOL = "(empty)"  # the subject of ticks whose symbol is empty


def symbol_of(subject: str) -> str:
    return "" if subject == EMPTY_SYMBOL else subject


def recheck_times(failures: Iterable[RecentFailure]) -> Objects:
    """Return the times to check again as rows of (symbol, start, stop); those of one symbol do not overlap."""
    return Objects(
        {"symbol": symbol_of(failure.subject), "start": start.isoformat(), "stop": stop.isoformat()}
        for failure in failures
        for start, stop in failure.times or ()
    )


def recheck_ranges(failures: Iterable[RecentFailure]) -> list[dict[str, Any]]:
    """Return the same as UTC days, which hold complete candles of every level."""
    symbols: dict[TimeRange, set[str]] = {}
    for failure in failures:
        for days in _days(failure.times or ()):
            symbols.setdefault(days, set()).add(symbol_of(failure.subject))
    return [candle_range(names, start, stop) for (start, stop), names in sorted(symbols.items())]


def _days(times: Sequence[TimeRange]) -> list[TimeRange]:
    """Extend times to UTC days; days that touch become one range."""
    found: list[TimeRange] = []
    for start, stop in sorted(times):
        first, after = midnight(start), midnight(stop - timedelta(microseconds=1)) + DAY
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(after, found[-1][1]))
        else:
            found.append((first, after))
    return found


def recoveries(
    connection: Connection, check: Check, covered: CheckInput, failures: Iterable[RecentFailure]
) -> dict[str, dict[str, Any]]:
    """Return what is observed of each subject that failed before, was covered and passes; not of the check itself."""
    others = [failure for failure in failures if failure.subject != check.scope]
    if check.covers == "stored":
        return _stored(connection, check, covered, others)
    if check.covers == "new":
        new_ticks = covered.new_ticks
        judged = [failure.subject for failure in others if failure.subject in new_ticks]
        return {subject: {"observed": f"{counted(new_ticks[subject], 'new tick')} passed"} for subject in judged}
    if check.covers == "statistics":
        wrote, streaming = feeds_with_statistics(connection, covered.parameters), feeds_streaming(connection)
        others = [each for each in others if each.subject in wrote or each.subject not in streaming]
    return {failure.subject: {"observed": "no longer failing", "expected": failure.expected} for failure in others}


def _stored(
    connection: Connection, check: Check, covered: CheckInput, failures: Iterable[RecentFailure]
) -> dict[str, dict[str, Any]]:
    rechecked = {failure.subject for failure in covered.rechecked}
    passed = {}
    for failure in failures:
        if failure.subject in rechecked:
            observed = _rechecked(connection, check, failure)
            passed[failure.subject] = {"observed": observed, "expected": failure.expected}
        elif failure.times is None and failure.failing:
            passed[failure.subject] = {"observed": "accepted: its alert was resolved by hand"}
    return passed


def _rechecked(connection: Connection, check: Check, failure: RecentFailure) -> str:
    """Say which times were checked again, and what the audit repaired in them."""
    times = failure.times or []
    span = (min(start for start, _ in times), max(stop for _, stop in times))
    observed = f"correct when checked again: {_range_text(span)}"
    if check.suite != "candles" or failure.failed_at is None:
        return observed
    count, last = candle_repairs(connection, symbol_of(failure.subject), span, failure.failed_at)
    return f"{observed}; the audit repaired {counted(count, 'candle')} until {_second(last)} UTC" if last else observed


def _range_text(span: TimeRange) -> str:
    start, stop = (each.astimezone(UTC) for each in span)
    end = f"{stop:%H:%M}" if start.date() == stop.date() else f"{stop:%Y-%m-%d %H:%M}"
    return f"{start:%Y-%m-%d %H:%M} to {end} UTC"


def _second(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
