"""`/quality`: the present results of all checks, and active alerts; `/quality/CHECK`: one check with its history.

Plain HTML that reloads itself, without scripts and without requests to other servers. `/quality.json` is for programs.
"""

import html
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from urllib.parse import quote

from fastapi import APIRouter, Response

from candleworks import clock
from candleworks.alerts.runbook import CHECK_RUNBOOK, WATCHDOG_RUNBOOK
from candleworks.candles.reads import CandleReader
from candleworks.model.alerts import CheckResult
from candleworks.storage.alerts import AlertRow, alerts_of_check, list_alerts
from candleworks.web.alert_desk import AlertDesk
from candleworks.web.page import asset_version
from candleworks.web.responses import json_answer

SHOWN_ALERTS = 200

_PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta http-equiv="refresh" content="30">
  <title>{title}</title>
  <link rel="icon" href="/assets/{version}/icon.svg">
  <link rel="stylesheet" href="/assets/{version}/quality.css">
</head>
<body>
  <header><h1>{heading}</h1><p class="{state}">{summary}</p></header>
  <main>{body}</main>
  <footer>Times in UTC. This page reloads every 30 seconds.</footer>
</body>
</html>
"""
_NO_RESULTS = "<p>No check has run yet. Run <code>candleworks check</code>.</p>"
_NOT_STORED = "<p><code>candleworks alerts watch</code> evaluates it every few seconds; only its alerts are stored.</p>"


def quality_routes(market: CandleReader, desk: AlertDesk) -> APIRouter:
    router = APIRouter()

    @router.api_route("/quality", methods=["GET", "HEAD"])
    def quality() -> Response:
        results = _present(market.quality())
        alerts = market.read(lambda connection: list_alerts(connection, None, SHOWN_ALERTS))
        heading = '<a href="/">candleworks</a> quality'
        body = _alerts("Active alerts", alerts) if alerts else ""
        body += _sections(results) if results else _NO_RESULTS
        return _page("candleworks quality", heading, _summary(results, alerts), body)

    @router.api_route("/quality.json", methods=["GET", "HEAD"])
    def quality_json() -> Response:
        return json_answer(market.quality())

    @router.api_route("/quality/{check}", methods=["GET", "HEAD"])
    def one_check(check: str) -> Response:
        results = _present([result for result in market.quality() if result.check == check])
        history = market.quality_history(check)
        alerts = market.read(lambda connection: alerts_of_check(connection, check))
        heading = f'<a href="/">candleworks</a> <a href="/quality">quality</a> {html.escape(check)}'
        body = _description(check, stored=bool(history or alerts))
        body += _details(results, history) if history else ""
        body += _alerts("Alerts", alerts) if alerts else ""
        active = [alert for alert in alerts if alert["resolved_at"] is None]
        summary = _summary(results, active, watched=check in WATCHDOG_RUNBOOK)
        return _page(f"{check} - candleworks quality", heading, summary, body)

    return router


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
    text = f"<p>Expects that {_code(entry.expects)}.</p><p>First step when it fails: {_code(entry.first_step)}</p>"
    return text + (_NOT_STORED if check in WATCHDOG_RUNBOOK else "")


def _code(markdown: str) -> str:
    """Return text as HTML, with what is in backquotes as code."""
    parts = html.escape(markdown).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def _page(title: str, heading: str, status: tuple[str, str], body: str) -> Response:
    state, summary = status
    text = _PAGE.format(
        title=html.escape(title), version=asset_version(), heading=heading, state=state, summary=summary, body=body
    )
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
    return worst, f"{text} <small>checked {_second(newest)}</small>" if newest else text


def _sections(results: Sequence[CheckResult]) -> str:
    failures = [result for result in results if result.status != "passed"]
    parts = [_results("Failures", failures)] if failures else []
    passed = sorted((r for r in results if r.status == "passed"), key=lambda r: (r.suite or "", r.check, r.subject))
    for suite, members in itertools.groupby(passed, key=lambda result: result.suite):
        parts.append(_results(f"Passed: {suite}", members))
    return "".join(parts)


def _details(results: Sequence[CheckResult], history: Sequence[CheckResult]) -> str:
    rows = "".join(
        f"<h2>Rows of {html.escape(each.subject)}</h2><pre>{html.escape(json.dumps(each.sample, indent=1))}</pre>"
        for each in results
        if each.sample and each.status != "passed"
    )
    names = ("time", "subject", "status", "observed", "expected")
    lines = (
        _line(names, (_second(each.at), each.subject, each.status, each.observed, each.expected), each.status)
        for each in history
    )
    return _results("Now", results) + rows + _table("Recent results", names, lines)


def _results(caption: str, results: Iterable[CheckResult]) -> str:
    names = ("check", "subject", "severity", "status", "since", "observed", "expected")
    lines = (
        _line(
            names,
            (each.check, each.subject, each.severity, each.status, _second(each.since), each.observed, each.expected),
            each.status,
            link=_address(each.check),
        )
        for each in results
    )
    return _table(caption, names, lines)


def _alerts(caption: str, alerts: Iterable[AlertRow]) -> str:
    names = ("check", "alert", "subject", "severity", "state", "since", "last seen", "count", "observed", "expected")
    return _table(caption, names, (_alert(names, alert) for alert in alerts))


def _alert(names: Sequence[str], alert: AlertRow) -> str:
    values = (
        alert["check"],
        str(alert["id"]),
        alert["subject"],
        alert["severity"],
        _state(alert),
        _second(alert["opened_at"]),
        _second(alert["last_seen_at"]),
        f"{alert['count']:,}",
        alert["observed"],
        alert["expected"],
    )
    status = "passed" if alert["resolved_at"] else alert["result"]
    return _line(names, values, status, link=_address(alert["check"]))


def _state(alert: AlertRow) -> str:
    if alert["resolved_at"]:
        return f"resolved {_second(alert['resolved_at'])}"
    parts = ["firing" if alert["status"] == "open" else f"acknowledged by {alert['acknowledged_by']}"]
    if alert["result"] == "error":
        parts.append("check error")
    if alert["silenced_until"] and alert["silenced_until"] > clock.now():
        parts.append(f"silenced until {_second(alert['silenced_until'])}")
    elif alert["notified_at"] is None:
        parts.append("inhibited")
    return ", ".join(parts)


def _address(check: str) -> str:
    return f"/quality/{quote(check, safe='')}"


def _table(caption: str, names: Iterable[str], lines: Iterable[str]) -> str:
    """Return a table with a caption; `lines` come from `_line`."""
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<h2>{caption}</h2><table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _line(names: Sequence[str], values: Sequence[str | None], status: str, link: str | None = None) -> str:
    """Return a row of escaped values; `link` is the address behind the first. Narrow screens show the names."""
    texts = [html.escape(value or "") for value in values]
    if link:
        texts[0] = f'<a href="{link}">{texts[0]}</a>'
    cells = (f'<td data-name="{name}">{text}</td>' for name, text in zip(names, texts, strict=True))
    return f'<tr class="{status}">{"".join(cells)}</tr>'


def _second(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""
