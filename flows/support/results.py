"""Results of the library as sentences, final states and table rows of runs."""

import logging
import platform
from collections.abc import Sequence
from typing import Any

from prefect.client.schemas.objects import State

from candleworks.alerts.message import check_url
from candleworks.backfill.report import BackfillReport
from candleworks.candles.maintenance import Work
from candleworks.exports.request import Export, ExportResult
from candleworks.gapfill.report import FillReport, GapFill
from candleworks.imports.report import FileReport, ImportResult
from candleworks.imports.undo import UndoReport
from candleworks.model.alerts import CheckResult
from candleworks.quality import Report
from candleworks.runtime.grafana import grafana_address
from candleworks.settings import Settings
from candleworks.storage.backfills import BackfillRecord
from candleworks.storage.candles import CandleDifference
from candleworks.wording import counted
from flows.support.artifacts import SHOWN_ROWS, markdown
from flows.support.run_states import completed, failed

REJECTED = "Rejected"  # failed: every row of a file was rejected
PARTLY_REJECTED = "PartlyRejected"
NOTHING_NEW = "NothingNew"
DRY_RUN = "DryRun"
UNDONE = "Undone"
CHECKS_FAILED = "ChecksFailed"

log = logging.getLogger("candleworks.flows")


def difference_row(found: CandleDifference) -> dict[str, Any]:
    return {
        "level": found.level,
        "symbol": found.symbol,
        "bucket": f"{found.bucket:%Y-%m-%d %H:%M}",
        "difference": found.kind,
        "stored": str(found.stored),
        "expected": str(found.expected),
    }


def work_sentence(work: Work) -> str:
    return f"{work.relation}: {work}"


def work_row(work: Work) -> dict[str, Any]:
    return {
        "relation": work.relation,
        "work": str(work),
        "bytes before": f"{work.before.bytes:,}",
        "bytes after": f"{work.after.bytes:,}",
    }


def fill_row(fill: GapFill) -> dict[str, Any]:
    return {
        "feed": fill.gap.feed,
        "symbol": fill.symbol,
        "from": f"{fill.gap.started_at:%Y-%m-%d %H:%M:%S}",
        "to": f"{fill.gap.ended_at:%Y-%m-%d %H:%M:%S}",
        "outcome": fill.outcome,
        "bars": fill.bars,
        "problem": fill.error or "",
    }


def backfill_row(record: BackfillRecord) -> dict[str, Any]:
    bounds = {"from": record.fetched_from, "to": record.fetched_until}
    return {
        "feed": record.feed,
        "symbol": record.symbol,
        "daily bars from": f"{record.daily_from:%Y-%m-%d}" if record.daily_from else "",
        **{name: f"{time:%Y-%m-%d %H:%M}" if time else "" for name, time in bounds.items()},
        "outcome": record.outcome,
        "bars": record.bars,
        "reason": record.reason or "",
    }


def backfill_sentence(report: BackfillReport) -> str:
    """Return how many histories are complete, and the outcome of the others."""
    if not report.records and not report.stopped:
        return "Nothing to load"
    loaded = f"{report.outcomes}; {report.stored}, {counted(report.named, 'name')}"
    return f"{loaded}. {report.stopped}" if report.stopped else loaded


def file_row(report: FileReport) -> dict[str, Any]:
    record = report.result.record if report.result else None
    counts = {name: getattr(record, name) if record else "" for name in ("rows", "stored", "duplicates", "rejected")}
    known = "imported before" if report.result and report.result.known else ""
    return {"file": report.path, **counts, "problem": str(report.error) if report.error else known}


def fill_sentence(report: FillReport) -> str:
    """Return how many gaps were filled, and the outcome of the others."""
    if not report.fills and not report.stopped:
        return "No gaps to fill"
    outcomes = [each.outcome for each in report.fills]
    text = f"{outcomes.count('filled'):,} of {len(outcomes):,} gaps filled ({report.credits:,} API credits)"
    outcome_words = {"empty": "without trades at the vendor", "failed": "failed"}
    text += "".join(f", {outcomes.count(name):,} {words}" for name, words in outcome_words.items() if name in outcomes)
    return f"{text}; {report.stopped}" if report.stopped else text


def export_sentence(wanted: Export, result: ExportResult) -> str:
    """Return what was written and where, on the worker's machine."""
    files = f"{len(result.files):,} files in " if len(result.files) != 1 else ""
    where = wanted.output if len(result.files) != 1 else result.files[0]
    rows = f"{counted(result.extent.rows, 'row')} of {wanted.selection.relation}, {result.size_bytes:,} bytes"
    return f"{rows}, written to {files}{where.absolute()} on {platform.node()}"


def import_state(reports: Sequence[FileReport], *, dry_run: bool) -> State[Any]:
    """Return the state of an import; the log gets a line for each file."""
    if len(reports) > 1:
        for report in reports:
            level = logging.INFO if report.result and not report.result.record.rejected else logging.WARNING
            log.log(level, "%s", import_sentence(report, dry_run=dry_run))
    message = _import_message(reports, dry_run=dry_run)
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
    """Return the same of imports that were undone."""
    sentences = [report.sentence(dry_run=dry_run) for report in reports]
    wrong = [text for text, report in zip(sentences, reports, strict=True) if report.error is not None]
    for text in sentences if len(sentences) > 1 else []:
        log.info("%s", text)
    reopened = sorted({name for report in reports if report.undone for name in report.undone.reopened})
    again = f"; the next import reads again: {', '.join(reopened)}" if reopened else ""
    if wrong:
        some = f"{len(wrong)} of {len(reports)} files could not be undone: " if len(reports) > 1 else ""
        return failed(f"{some}{wrong[0]}{again}")
    message = (
        sentences[0] if len(sentences) == 1 else f"{len(sentences)} imports {'would be ' if dry_run else ''}undone"
    )
    return completed(f"{message}{again}", DRY_RUN if dry_run else UNDONE)


def import_sentence(report: FileReport, *, dry_run: bool = False) -> str:
    """Return the outcome of a file."""
    if report.result is None:
        return str(report.error)
    if report.result.known:
        record = report.result.record
        rejected = f", {record.rejected:,} of its {record.rows:,} rows were rejected" if record.rejected else ""
        before = f"imported before as {record.path}{rejected}"
        return f"{report.path}: {before}; nothing was stored (set `again` to import it again)"
    return f"{report.path}: {_import_counts([report.result], dry_run=dry_run)}"


def _import_message(reports: Sequence[FileReport], *, dry_run: bool) -> str:
    if len(reports) == 1:
        return import_sentence(reports[0], dry_run=dry_run)
    results = [each.result for each in reports if each.result]
    known = sum(each.known for each in results)
    wrong = [str(each.error) for each in reports if each.error]
    parts = [f"{len(wrong)} of {len(reports)} files could not be imported ({wrong[0].rstrip('.')})"] if wrong else []
    parts += [f"{known} of {len(reports)} files were imported before"] if known else []
    if fresh := [each for each in results if not each.known]:
        parts.append(f"{len(fresh)} of {len(reports)} files read: {_import_counts(fresh, dry_run=dry_run)}")
    return "; ".join(parts)


def _import_counts(results: Sequence[ImportResult], *, dry_run: bool) -> str:
    records = [each.record for each in results]
    rows, stored, duplicates, rejected = (
        sum(getattr(each, name) for each in records) for name in ("rows", "stored", "duplicates", "rejected")
    )
    text = f"{stored:,} of {rows:,} rows {'would be stored' if dry_run else 'stored'}"
    text += f", {duplicates:,} duplicates" if duplicates else ""
    if rejected:
        reasons = [example for each in results for example in each.examples]
        text += f", {rejected:,} rejected" + (f": {_with_advice(reasons[0])}" if reasons else "")
    return text


def _with_advice(reason: str) -> str:
    return f"{reason}: set timezone" if "offset from UTC" in reason and "timezone" not in reason else reason


def quality_state(report: Report, settings: Settings) -> State[Any]:
    """Return a completed state even if checks failed: the run did its work, and alerts notify people."""
    for each in (*report.errors, *report.failed):
        log.warning("%s", _quality_line(each))
    markdown("check-quality", quality_page(report, settings), report.counts)
    if report.passed:
        return completed(report.sentence)
    return completed(report.sentence, CHECKS_FAILED, logging.WARNING)


def quality_page(report: Report, settings: Settings) -> str:
    """Return Markdown: links, then every result, failures first."""
    order = {"error": 0, "failed": 1}
    rows = sorted(report.results, key=lambda each: (order.get(each.status, 2), each.check, each.subject))
    grafana = settings.alerts.dashboard_url or grafana_address(settings)
    lines = [
        f"**{report.sentence}**",
        f"[Checks and alerts]({settings.page_url}/quality) · [Chart]({settings.page_url}/) · [Grafana]({grafana})",
        "| status | check | subject | severity | observed | expected |\n|---|---|---|---|---|---|\n"
        + "\n".join(_quality_row(each, settings) for each in rows[:SHOWN_ROWS]),
    ]
    if len(rows) > SHOWN_ROWS:
        lines.append(f"and {len(rows) - SHOWN_ROWS:,} more: see quality_results")
    if report.idle:
        lines.append(f"No new data for {', '.join(report.idle)}")
    return "\n\n".join(lines)


def _quality_row(each: CheckResult, settings: Settings) -> str:
    check = f"[{each.check}]({check_url(settings, each.check)})"
    cells = (each.status, check, each.subject, each.severity, each.observed or "", each.expected or "")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"


def _quality_line(each: CheckResult) -> str:
    expected = f" (expected: {each.expected})" if each.expected else ""
    return f"{each.severity} {each.status}: {each.check} of {each.subject}: {each.observed}{expected}"
