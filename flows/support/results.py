"""Results of the library as rows of table artifacts."""

from typing import Any

from candleworks.history.gap_fill import GapFill
from candleworks.history.reports import FileReport
from candleworks.model.quality import QualityResult
from candleworks.storage.candles import Difference
from candleworks.storage.maintenance import Work


def difference_row(found: Difference) -> dict[str, Any]:
    return {
        "level": found.level,
        "symbol": found.symbol,
        "bucket": f"{found.bucket:%Y-%m-%d %H:%M}",
        "difference": found.kind,
        "stored": str(found.stored),
        "expected": str(found.expected),
    }


def work_row(work: Work) -> dict[str, Any]:
    return {
        "relation": work.relation,
        "work": f"{work.action} {work.units:,} {work.unit}s",
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


def quality_row(result: QualityResult) -> dict[str, Any]:
    return {
        "check": result.check,
        "subject": result.subject,
        "severity": result.severity,
        "status": result.status,
        "observed": result.observed or "",
        "expected": result.expected or "",
    }
