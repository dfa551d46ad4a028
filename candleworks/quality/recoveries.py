"""Which subjects that failed pass now, and what is said of them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from candleworks.database.connection import Connection
from candleworks.quality.rechecks import symbol_of
from candleworks.quality.registry import Check
from candleworks.quality.selection import Look
from candleworks.storage.quality import Span, Trouble, judged_feeds, repairs
from candleworks.wording import counted


def recoveries(
    connection: Connection, check: Check, look: Look, troubles: Iterable[Trouble]
) -> dict[str, dict[str, Any]]:
    """Return what is said of each subject that did not fail and was looked at; nothing of the check as a whole."""
    others = [trouble for trouble in troubles if trouble.subject != check.scope]
    if check.judges == "stored":
        return _stored(connection, check, look, others)
    if check.judges == "new":
        judged = [trouble.subject for trouble in others if trouble.subject in look.batch]
        return {subject: {"observed": f"{look.batch[subject]:,} new ticks, all right"} for subject in judged}
    if check.judges == "statistics":
        wrote, streaming = judged_feeds(connection, look.parameters)
        others = [each for each in others if each.subject in wrote or each.subject not in streaming]
    return {trouble.subject: {"observed": "not found any more", "expected": trouble.expected} for trouble in others}


def _stored(connection: Connection, check: Check, look: Look, troubles: Iterable[Trouble]) -> dict[str, dict[str, Any]]:
    looked_at = {trouble.subject for trouble in look.again}
    passed = {}
    for trouble in troubles:
        if trouble.subject in looked_at:
            passed[trouble.subject] = {"observed": _right(connection, check, trouble), "expected": trouble.expected}
        elif trouble.times is None and trouble.failing:
            passed[trouble.subject] = {"observed": "accepted, because its alert was resolved by hand"}
    return passed


def _right(connection: Connection, check: Check, trouble: Trouble) -> str:
    """Say when the rows are that were looked at again, and what the audit repaired of them."""
    times = trouble.times or []
    span = (min(start for start, _ in times), max(stop for _, stop in times))
    told = f"right when looked at again: {_told(span)}"
    if check.suite != "candles" or trouble.failed_at is None:
        return told
    count, last = repairs(connection, symbol_of(trouble.subject), span, trouble.failed_at)
    return f"{told}; the audit repaired {counted(count, 'candle')} until {_second(last)} UTC" if last else told


def _told(span: Span) -> str:
    start, stop = (moment.astimezone(UTC) for moment in span)
    shown = f"{stop:%H:%M}" if start.date() == stop.date() else f"{stop:%Y-%m-%d %H:%M}"
    return f"{start:%Y-%m-%d %H:%M} to {shown} UTC"


def _second(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
