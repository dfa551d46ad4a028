"""`/quality`: what the checks say now; `/quality/CHECK`: one check with its rows and recent results.

Plain HTML that reloads itself: nothing comes from elsewhere, and no script is needed. `/quality.json` says the same.
"""

import html
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Response

from candleworks.model.quality import QualityResult, QualityState
from candleworks.storage.market import Market
from candleworks.web.page import asset_version

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


def quality_routes(market: Market) -> APIRouter:
    router = APIRouter()

    @router.api_route("/quality", methods=["GET", "HEAD"])
    def quality() -> Response:
        states = market.quality()
        back = '<a href="/">candleworks</a> quality'
        return _page("candleworks quality", back, states, _sections(states) if states else _NOTHING)

    @router.api_route("/quality.json", methods=["GET", "HEAD"])
    def quality_json() -> Response:
        return Response(orjson.dumps([asdict(state) for state in market.quality()]), media_type="application/json")

    @router.api_route("/quality/{check}", methods=["GET", "HEAD"])
    def one_check(check: str) -> Response:
        states = [state for state in market.quality() if state.check == check]
        history = market.quality_history(check)
        back = f'<a href="/">candleworks</a> <a href="/quality">quality</a> {html.escape(check)}'
        body = _details(states, history) if history else f"<p>Nothing is stored about {html.escape(check)}.</p>"
        return _page(f"{check} - candleworks quality", back, states, body)

    return router


def _page(title: str, heading: str, states: Sequence[QualityState], body: str) -> Response:
    state, summary = _summary(states)
    text = _PAGE.format(
        title=html.escape(title), version=asset_version(), heading=heading, state=state, summary=summary, body=body
    )
    return Response(text, media_type="text/html; charset=utf-8", headers={"Cache-Control": "no-cache"})


def _summary(states: Sequence[QualityState]) -> tuple[str, str]:
    """Return the worst status and one line about all."""
    if not states:
        return "unknown", "nothing known"
    count = Counter(state.status for state in states)
    troubles = [
        f"{count[status]} {_TOLD[status][count[status] != 1]}" for status in ("failed", "error") if count[status]
    ]
    newest = max(state.at for state in states)
    text = ", ".join(troubles) if troubles else "all is well"
    return states[0].status, f"{text} <small>checked {_moment(newest)}</small>"


def _sections(states: Sequence[QualityState]) -> str:
    trouble = [state for state in states if state.status != "passed"]
    parts = [_table("Trouble", trouble)] if trouble else []
    passed = sorted((s for s in states if s.status == "passed"), key=lambda s: (s.suite, s.check, s.subject))
    for suite, members in itertools.groupby(passed, key=lambda state: state.suite):
        parts.append(_table(f"Passed: {suite}", list(members)))
    return "".join(parts)


def _details(states: Sequence[QualityState], history: Sequence[QualityResult]) -> str:
    rows = "".join(
        f"<h2>Rows of {html.escape(state.subject)}</h2><pre>{html.escape(json.dumps(state.sample, indent=1))}</pre>"
        for state in states
        if state.sample and state.status != "passed"
    )
    lines = (_cells(_moment(r.at), r.subject, r.status, r.observed, r.expected, status=r.status) for r in history)
    heads = ("at", "subject", "status", "observed", "expected")
    return _table("Now", states) + rows + _rows("Recent results", heads, lines)


def _table(caption: str, states: Iterable[QualityState]) -> str:
    heads = ("check", "subject", "severity", "status", "since", "observed", "expected")
    lines = (
        _cells(
            state.check,
            state.subject,
            state.severity,
            state.status,
            _moment(state.since),
            state.observed,
            state.expected,
            status=state.status,
            link=f"/quality/{quote(state.check, safe='')}",
        )
        for state in states
    )
    return _rows(caption, heads, lines)


def _rows(caption: str, heads: Iterable[str], lines: Iterable[str]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<h2>{caption}</h2><table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _cells(*values: str | None, status: str, link: str | None = None) -> str:
    texts = [html.escape(value or "") for value in values]
    if link:
        texts[0] = f'<a href="{link}">{texts[0]}</a>'
    return f'<tr class="{status}">{"".join(f"<td>{text}</td>" for text in texts)}</tr>'


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
