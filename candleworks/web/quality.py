"""`/quality`: what the checks say now, and open alerts; `/quality/CHECK`: one check with its rows and recent results.

Plain HTML that reloads itself: nothing comes from elsewhere, and no script is needed. `/quality.json` says the same.
"""

import html
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Response

from candleworks.alerts.first_steps import first_step
from candleworks.alerts.watchdog import MEANINGS
from candleworks.candles.reads import CandleReader
from candleworks.model.quality import QualityResult, QualityState
from candleworks.storage.alert_list import alerts_of_check, list_alerts
from candleworks.web.alert_table import alert_table
from candleworks.web.html import line, second, table
from candleworks.web.page import asset_version
from candleworks.web.responses import json_answer

Alert = Mapping[str, Any]

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
_NOTHING = "<p>No check has run yet. <code>candleworks check</code> runs them all.</p>"
_TOLD = {"failed": ("failure", "failures"), "error": ("check broke", "checks broke")}


def quality_routes(market: CandleReader) -> APIRouter:
    router = APIRouter()

    @router.api_route("/quality", methods=["GET", "HEAD"])
    def quality() -> Response:
        states = _present(market.quality())
        alerts = market.read(lambda connection: list_alerts(connection, None, SHOWN_ALERTS))
        back = '<a href="/">candleworks</a> quality'
        body = (alert_table("Open alerts", alerts) if alerts else "") + (_sections(states) if states else _NOTHING)
        return _page("candleworks quality", back, _summary(states, alerts), body)

    @router.api_route("/quality.json", methods=["GET", "HEAD"])
    def quality_json() -> Response:
        return json_answer(market.quality())

    @router.api_route("/quality/{check}", methods=["GET", "HEAD"])
    def one_check(check: str) -> Response:
        states = _present([state for state in market.quality() if state.check == check])
        history = market.quality_history(check)
        alerts = market.read(lambda connection: alerts_of_check(connection, check))
        back = f'<a href="/">candleworks</a> <a href="/quality">quality</a> {html.escape(check)}'
        body = _explained(check, known=bool(history or alerts))
        body += _details(states, history) if history else ""
        body += alert_table("Alerts", alerts) if alerts else ""
        unresolved = [alert for alert in alerts if alert["resolved_at"] is None]
        return _page(
            f"{check} - candleworks quality", back, _summary(states, unresolved, looked=check in MEANINGS), body
        )

    return router


def _present(states: Sequence[QualityState]) -> list[QualityState]:
    """Leave out what a check said as a whole before it failed."""
    failed: dict[str, datetime] = {}
    for state in states:
        if state.status != "passed":
            failed[state.check] = max(state.at, failed.get(state.check, state.at))
    return [
        state
        for state in states
        if state.status != "passed" or state.check not in failed or state.at >= failed[state.check]
    ]


def _explained(check: str, *, known: bool) -> str:
    """Say what to do when it fails, and where what is shown comes from, unless it is a check with results."""
    step = first_step(check)
    advice = f"<p>When it fails, do first: {html.escape(step)}</p>" if step else ""
    if check in MEANINGS:
        return (
            f"<p>{html.escape(MEANINGS[check])}</p>{advice}"
            "<p><code>candleworks alerts watch</code> looks every few seconds and keeps alerts, but no results.</p>"
        )
    return advice if known else f"<p>Nothing is stored about {html.escape(check)}.</p>"


def _page(title: str, heading: str, status: tuple[str, str], body: str) -> Response:
    state, summary = status
    text = _PAGE.format(
        title=html.escape(title), version=asset_version(), heading=heading, state=state, summary=summary, body=body
    )
    return Response(text, media_type="text/html; charset=utf-8", headers={"Cache-Control": "no-cache"})


def _summary(states: Sequence[QualityState], alerts: Sequence[Alert], *, looked: bool = False) -> tuple[str, str]:
    """Return the worst status and one line about all; `looked` where no result is needed to know that all is well."""
    checked = {state.check for state in states}
    watched = [alert["result"] for alert in alerts if alert["check"] not in checked]  # they have no results
    statuses = [*(state.status for state in states), *watched]
    if not statuses:
        return ("passed", "no alert is open") if looked else ("unknown", "nothing known")
    count = Counter(statuses)
    troubles = [
        f"{count[status]} {_TOLD[status][count[status] != 1]}" for status in ("failed", "error") if count[status]
    ]
    newest = max((state.at for state in states), default=None)
    text = ", ".join(troubles) or ("no failure, alerts end when it passes again" if alerts else "all is well")
    worst = next(status for status in ("error", "failed", "passed") if count[status])
    return worst, f"{text} <small>checked {second(newest)}</small>" if newest else text


def _sections(states: Sequence[QualityState]) -> str:
    trouble = [state for state in states if state.status != "passed"]
    parts = [_states("Trouble", trouble)] if trouble else []
    passed = sorted((s for s in states if s.status == "passed"), key=lambda s: (s.suite, s.check, s.subject))
    for suite, members in itertools.groupby(passed, key=lambda state: state.suite):
        parts.append(_states(f"Passed: {suite}", list(members)))
    return "".join(parts)


def _details(states: Sequence[QualityState], history: Sequence[QualityResult]) -> str:
    rows = "".join(
        f"<h2>Rows of {html.escape(state.subject)}</h2><pre>{html.escape(json.dumps(state.sample, indent=1))}</pre>"
        for state in states
        if state.sample and state.status != "passed"
    )
    lines = (line(second(r.at), r.subject, r.status, r.observed, r.expected, status=r.status) for r in history)
    heads = ("at", "subject", "status", "observed", "expected")
    return _states("Now", states) + rows + table("Recent results", heads, lines)


def _states(caption: str, states: Iterable[QualityState]) -> str:
    heads = ("check", "subject", "severity", "status", "since", "observed", "expected")
    lines = (
        line(
            state.check,
            state.subject,
            state.severity,
            state.status,
            second(state.since),
            state.observed,
            state.expected,
            status=state.status,
            link=f"/quality/{quote(state.check, safe='')}",
        )
        for state in states
    )
    return table(caption, heads, lines)
