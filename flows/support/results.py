"""Results of the library as rows of table artifacts."""

import platform
from typing import Any

from candleworks.exports.request import Export, ExportResult
from candleworks.gapfill.fill import FillReport, GapFill
from candleworks.imports.report import FileReport
from candleworks.storage.candles import Difference
from candleworks.storage.maintenance import Work
from candleworks.wording import counted


def difference_row(found: Difference) -> dict[str, Any]:
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


def file_row(report: FileReport) -> dict[str, Any]:
    record = report.result.record if report.result else None
    counts = {name: getattr(record, name) if record else "" for name in ("rows", "stored", "duplicates", "rejected")}
    known = "imported before" if report.result and report.result.known else ""
    return {"file": report.path, **counts, "problem": str(report.error) if report.error else known}


def fill_sentence(report: FillReport) -> str:
    """Say how many gaps were filled, and what became of the others."""
    if not report.fills and not report.stopped:
        return "No gap is to be filled"
    outcomes = [each.outcome for each in report.fills]
    text = f"{outcomes.count('filled'):,} of {len(outcomes):,} gaps filled ({report.credits:,} API credits)"
    told = {"empty": "without trades at the vendor", "failed": "failed"}
    text += "".join(f", {outcomes.count(name):,} {words}" for name, words in told.items() if name in outcomes)
    return f"{text}; {report.stopped}" if report.stopped else text


def export_sentence(wanted: Export, result: ExportResult) -> str:
    """Say what was written and where, on the machine of the worker."""
    files = f"{len(result.files):,} files below " if len(result.files) != 1 else ""
    where = wanted.output if len(result.files) != 1 else result.files[0]
    rows = f"{counted(result.extent.rows, 'row')} of {wanted.selection.relation}, {result.size_bytes:,} bytes"
    return f"{rows}, written to {files}{where.absolute()} on {platform.node()}"
