"""`/quality`: active alerts and the present results of all checks; `/quality/CHECK`: one check with its history.

They can be read without the script, which refreshes them and makes the buttons of alerts work. `/quality.json` is for
programs.
"""

import html
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response

from candleworks import clock
from candleworks.alerts.runbook import CHECK_RUNBOOK, WATCHDOG_RUNBOOK
from candleworks.candles.reads import CandleReader
from candleworks.model.alerts import CheckResult
from candleworks.storage.alerts import AlertRow, alerts_of_check, list_alerts
from candleworks.storage.quality import quality_parts
from candleworks.web.alert_desk import AlertDesk
from candleworks.web.check_strip import PART, strip_start
from candleworks.web.openapi import answers
from candleworks.web.page import asset_text, asset_version
from candleworks.web.quality_tables import (
    CheckHistory,
    alert_table,
    code,
    failing_rows,
    history_table,
    result_table,
    result_tables,
    second,
)
from candleworks.web.responses import json_answer

SHOWN_ALERTS = 200

_PAGE = answers("text/html", "<!doctype html>")
_EXAMPLE = [
    {
        "check": "freshness",
        "subject": "AAPL",
        "severity": "warning",
        "status": "passed",
        "observed": "0.8 s",
        "expected": "at most 60 s",
        "at": "2026-03-02T14:30:00Z",
    }
]
_NO_RESULTS = "<p>No check has run yet. Run <code>candleworks check</code>.</p>"
_NOT_STORED = "<p><code>candleworks alerts watch</code> evaluates it every few seconds; only its alerts are stored.</p>"


def quality_routes(market: CandleReader, desk: AlertDesk) -> APIRouter:
    router = APIRouter()

    @router.api_route("/quality", methods=["GET", "HEAD"], responses=_PAGE)
    def quality() -> Response:
        """The page of all checks."""
        results = _present(market.quality())
        alerts = market.read(lambda connection: list_alerts(connection, None, SHOWN_ALERTS))
        token = desk.token_for(market)
        body = alert_table("Active alerts", alerts, actions=token is not None) if alerts else ""
        body += result_tables(results, _history(market)) if results else _NO_RESULTS
        return _page("candleworks quality", "Quality", _summary(results, alerts), body, token)

    @router.api_route("/quality/{check}", methods=["GET", "HEAD"], responses=_PAGE)
    def one_check(check: Annotated[str, Path(description="Name of a check.", examples=["freshness"])]) -> Response:
        """The page of one check, with its history."""
        results = _present([result for result in market.quality() if result.check == check])
        past = market.quality_history(check)
        alerts = market.read(lambda connection: alerts_of_check(connection, check))
        token = desk.token_for(market)
        body = _description(check, stored=bool(past or alerts))
        body += alert_table("Alerts", alerts, actions=token is not None) if alerts else ""
        if past:
            body += result_table("Now", results, _history(market)) + failing_rows(results) + history_table(past)
        active = [alert for alert in alerts if alert["resolved_at"] is None]
        summary = _summary(results, active, watched=check in WATCHDOG_RUNBOOK)
        heading = f'<a href="/quality">Quality</a> <span>{html.escape(check)}</span>'
        return _page(f"{check} - candleworks quality", heading, summary, body, token)

    return router


def quality_data_routes(market: CandleReader) -> APIRouter:
    router = APIRouter()

    @router.api_route("/quality.json", methods=["GET", "HEAD"], responses=answers("application/json", _EXAMPLE))
    def quality_json() -> Response:
        """The newest result of every check and subject. The worst are first."""
        return json_answer(market.quality())

    return router


def _history(market: CandleReader) -> CheckHistory:
    start = strip_start(clock.now())
    return CheckHistory(start, market.read(lambda connection: quality_parts(connection, start, PART)))


def _present(results: Sequence[CheckResult]) -> list[CheckResult]:
    """Leave out the result of a check itself from before one of its subjects failed."""
    failed: dict[str, datetime] = {}
    for result in results:
        if result.status != "passed":
            failed[result.check] = max(result.at, failed.get(result.check, result.at))
    return [
        result
        for result in results
        if result.status != "passed" or result.check not in failed or result.at >= failed[result.check]
    ]


def _description(check: str, *, stored: bool) -> str:
    """Say what a check expects and the first step when it fails, and whether its results are stored."""
    entry = CHECK_RUNBOOK.get(check) or WATCHDOG_RUNBOOK.get(check)
    if entry is None:
        return "" if stored else f"<p>There are no results of {html.escape(check)}.</p>"
    text = f"<p>Expects that {code(entry.expects)}.</p><p>First step when it fails: {code(entry.first_step)}</p>"
    return text + (_NOT_STORED if check in WATCHDOG_RUNBOOK else "")


def _page(title: str, heading: str, status: tuple[str, str], body: str, token: str | None) -> Response:
    """Return the page; `token` lets its buttons change alerts."""
    state, summary = status
    values = {
        "title": html.escape(title),
        "version": asset_version(),
        "heading": heading,
        "state": state,
        "summary": summary,
        "token": token or "",
        "body": body,
    }
    text = asset_text("quality.html").format_map(values)
    return Response(text, media_type="text/html; charset=utf-8", headers={"Cache-Control": "no-cache"})


def _summary(results: Sequence[CheckResult], alerts: Sequence[AlertRow], *, watched: bool = False) -> tuple[str, str]:
    """Return the worst status and one line about all; `watched`: no alert means that the check passes."""
    checks = {result.check for result in results}
    statuses = [result.status for result in results]
    statuses += [alert["result"] for alert in alerts if alert["check"] not in checks]  # of the watchdog
    if not statuses:
        return ("passed", "no active alerts") if watched else ("unknown", "no results")
    count = Counter(statuses)
    failures = [f"{count['failed']} failed"] if count["failed"] else []
    failures += [f"{count['error']} error{'s' if count['error'] > 1 else ''}"] if count["error"] else []
    newest = max((result.at for result in results), default=None)
    passed = "no failures; active alerts are resolved by the next passes" if alerts else "all checks passed"
    text = ", ".join(failures) or passed
    worst = "error" if count["error"] else "failed" if count["failed"] else "passed"
    return worst, f"{text} <small>checked {second(newest)}</small>" if newest else text
