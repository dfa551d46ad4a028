"""What a run of checks found: a line per failure, a page with everything, and the state of its run."""

import logging
from typing import Any

from prefect.client.schemas.objects import State

from candleworks.alerts.message import check_address
from candleworks.model.quality import QualityResult
from candleworks.quality import Report
from candleworks.runtime.grafana import grafana_address
from candleworks.settings import Settings
from flows.support.reports import SHOWN_ROWS, markdown
from flows.support.run_states import completed

CHECKS_FAILED = "ChecksFailed"

log = logging.getLogger("candleworks.flows")


def quality_state(report: Report, settings: Settings) -> State[Any]:
    """Complete also where checks failed: the run did its work, alerts tell the rest."""
    for each in (*report.errors, *report.failed):
        log.warning("%s", _line(each))
    markdown("check-quality", page(report, settings), report.counts)
    if report.passed:
        return completed(report.sentence)
    return completed(report.sentence, CHECKS_FAILED, logging.WARNING)


def page(report: Report, settings: Settings) -> str:
    """Return Markdown: where to look, then every result, failures first."""
    order = {"error": 0, "failed": 1}
    rows = sorted(report.results, key=lambda each: (order.get(each.status, 2), each.check, each.subject))
    grafana = settings.alerts.dashboard_url or grafana_address(settings)
    lines = [
        f"**{report.sentence}**",
        f"[Checks and alerts]({settings.page_url}/quality) · [Chart]({settings.page_url}/) · [Grafana]({grafana})",
        "| status | check | subject | severity | observed | expected |\n|---|---|---|---|---|---|\n"
        + "\n".join(_row(each, settings) for each in rows[:SHOWN_ROWS]),
    ]
    if len(rows) > SHOWN_ROWS:
        lines.append(f"and {len(rows) - SHOWN_ROWS:,} more, all in quality_results")
    if report.idle:
        lines.append(f"Nothing new to look at: {', '.join(report.idle)}")
    return "\n\n".join(lines)


def _row(each: QualityResult, settings: Settings) -> str:
    check = f"[{each.check}]({check_address(settings, each.check)})"
    cells = (each.status, check, each.subject, each.severity, each.observed or "", each.expected or "")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"


def _line(each: QualityResult) -> str:
    expected = f" (expected: {each.expected})" if each.expected else ""
    return f"{each.severity} {each.status}: {each.check} of {each.subject}: {each.observed}{expected}"
