"""What an import did, as sentences and as the state of its run."""

import logging
from collections.abc import Sequence
from typing import Any

from prefect.client.schemas.objects import State

from candleworks.imports.report import FileReport, ImportResult
from candleworks.imports.undo import UndoReport
from flows.support.run_states import completed, failed

REJECTED = "Rejected"  # failed: no line of a file could be used
PARTLY_REJECTED = "PartlyRejected"
NOTHING_NEW = "NothingNew"
DRY_RUN = "DryRun"
TAKEN_BACK = "TakenBack"

log = logging.getLogger("candleworks.flows")


def import_state(reports: Sequence[FileReport], *, dry_run: bool) -> State[Any]:
    """Tell what became of each file in the log, and of all of them in the state."""
    if len(reports) > 1:
        for report in reports:
            told = log.info if report.result and not report.result.record.rejected else log.warning
            told("%s", sentence(report, dry_run=dry_run))
    message = _message(reports, dry_run=dry_run)
    results = [each.result for each in reports if each.result]
    if len(results) < len(reports):
        return failed(message)
    if any(each.record.is_unusable for each in results):
        return failed(message, REJECTED)
    fresh = [each.record for each in results if not each.known]
    if not any(each.stored for each in fresh):
        return completed(message, NOTHING_NEW)
    if any(each.rejected for each in fresh):
        return completed(message, PARTLY_REJECTED, logging.WARNING)
    return completed(message, DRY_RUN if dry_run else None)


def undo_state(reports: Sequence[UndoReport], *, dry_run: bool) -> State[Any]:
    """Tell the same of imports that were taken back."""
    told = [report.sentence(dry_run=dry_run) for report in reports]
    wrong = [text for text, report in zip(told, reports, strict=True) if report.error is not None]
    for text in told if len(told) > 1 else []:
        log.info("%s", text)
    reopened = sorted({name for report in reports if report.undone for name in report.undone.reopened})
    again = f"; read again when imported next: {', '.join(reopened)}" if reopened else ""
    if wrong:
        some = f"{len(wrong)} of {len(reports)} files were not taken back: " if len(reports) > 1 else ""
        return failed(f"{some}{wrong[0]}{again}")
    message = told[0] if len(told) == 1 else f"{len(told)} files: {'would be ' if dry_run else ''}taken back"
    return completed(f"{message}{again}", DRY_RUN if dry_run else TAKEN_BACK)


def sentence(report: FileReport, *, dry_run: bool = False) -> str:
    """Say what became of a file."""
    if report.result is None:
        return str(report.error)
    if report.result.known:
        record = report.result.record
        rejected = f", {record.rejected:,} of its {record.rows:,} rows were rejected" if record.rejected else ""
        before = f"imported before as {record.path}{rejected}"
        return f"{report.path}: {before}; nothing was stored (again imports it once more)"
    return f"{report.path}: {_counts([report.result], dry_run=dry_run)}"


def _message(reports: Sequence[FileReport], *, dry_run: bool) -> str:
    if len(reports) == 1:
        return sentence(reports[0], dry_run=dry_run)
    results = [each.result for each in reports if each.result]
    known = sum(each.known for each in results)
    wrong = [str(each.error) for each in reports if each.error]
    parts = [f"{len(wrong)} of {len(reports)} files could not be imported ({wrong[0].rstrip('.')})"] if wrong else []
    parts += [f"{known} of {len(reports)} files were imported before"] if known else []
    if fresh := [each for each in results if not each.known]:
        parts.append(f"{len(fresh)} of {len(reports)} files read: {_counts(fresh, dry_run=dry_run)}")
    return "; ".join(parts)


def _counts(results: Sequence[ImportResult], *, dry_run: bool) -> str:
    records = [each.record for each in results]
    rows, stored, duplicates, rejected = (
        sum(getattr(each, name) for each in records) for name in ("rows", "stored", "duplicates", "rejected")
    )
    text = f"{stored:,} of {rows:,} rows {'would be stored' if dry_run else 'stored'}"
    text += f", {duplicates:,} stored before" if duplicates else ""
    if rejected:
        reasons = [example for each in results for example in each.examples]
        text += f", {rejected:,} rejected" + (f": {_with_advice(reasons[0])}" if reasons else "")
    return text


def _with_advice(reason: str) -> str:
    return f"{reason}: set timezone" if "offset from UTC" in reason and "timezone" not in reason else reason
