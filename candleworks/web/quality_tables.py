"""The tables of the quality pages, as HTML: alerts with their buttons, results with their history."""

import html
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

from candleworks import clock
from candleworks.alerts.runbook import CHECK_RUNBOOK, WATCHDOG_RUNBOOK
from candleworks.model.alerts import CheckResult, CheckStatus
from candleworks.storage.alerts import AlertRow
from candleworks.web.check_strip import check_strip

_RESULT_COLUMNS = ("status", "check", "subject", "severity", "since", "observed", "expected", "last 24 hours")
_ALERT_COLUMNS = (
    "state", "check", "alert", "subject", "severity", "since", "last seen", "count", "observed", "expected",
)  # fmt: skip
_HISTORY_COLUMNS = ("status", "time", "subject", "observed", "expected")


@dataclass(frozen=True)
class CheckHistory:
    """The worst status of each check in each half-hour since `start`."""

    start: datetime
    parts: Mapping[str, Mapping[int, CheckStatus]] = field(default_factory=dict)

    def strip(self, check: str) -> str:
        return check_strip(self.parts.get(check, {}), self.start)


def alert_table(caption: str, alerts: Iterable[AlertRow], *, actions: bool) -> str:
    """Return the table of alerts; with `actions` each that is not resolved has buttons."""
    names = (*_ALERT_COLUMNS, "actions") if actions else _ALERT_COLUMNS
    return _table(caption, names, (_alert(names, alert) for alert in alerts))


def result_tables(results: Sequence[CheckResult], history: CheckHistory) -> str:
    """Return what fails first, then what passes by suite."""
    failures = [result for result in results if result.status != "passed"]
    parts = [result_table("Failures", failures, history)] if failures else []
    passed = sorted((r for r in results if r.status == "passed"), key=lambda r: (r.suite or "", r.check, r.subject))
    for suite, members in itertools.groupby(passed, key=lambda result: result.suite):
        parts.append(result_table(f"Passed: {suite}", members, history))
    return "".join(parts)


def result_table(caption: str, results: Iterable[CheckResult], history: CheckHistory) -> str:
    return _table(caption, _RESULT_COLUMNS, (_result(each, history) for each in results))


def history_table(history: Iterable[CheckResult]) -> str:
    return _table("Recent results", _HISTORY_COLUMNS, map(_past_result, history))


def failing_rows(results: Iterable[CheckResult]) -> str:
    """Return the rows that failed, as JSON, by subject."""
    return "".join(
        f"<h2>Rows of {html.escape(each.subject)}</h2><pre>{html.escape(json.dumps(each.sample, indent=1))}</pre>"
        for each in results
        if each.sample and each.status != "passed"
    )


def code(markdown: str) -> str:
    """Return text as HTML, with what is in backquotes as code."""
    parts = html.escape(markdown).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def second(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""


def _result(result: CheckResult, history: CheckHistory) -> str:
    values = (
        _badge(result.status, result.status),
        _link(result.check),
        html.escape(result.subject),
        result.severity,
        second(result.since),
        _observed(result),
        _expected(result.check, result.expected),
        history.strip(result.check),
    )
    return _line(_RESULT_COLUMNS, values, result.status)


def _observed(result: CheckResult) -> str:
    """Return what was observed; a check that passes need not say more than that it did."""
    if result.observed is None and result.status == "passed":
        return "as expected"
    return html.escape(result.observed or "")


def _expected(check: str, expected: str | None) -> str:
    """Return what was expected, in general where the result does not say it."""
    entry = CHECK_RUNBOOK.get(check) or WATCHDOG_RUNBOOK.get(check)
    return html.escape(expected) if expected else code(entry.expects) if entry else ""


def _past_result(result: CheckResult) -> str:
    values = (
        _badge(result.status, result.status),
        second(result.at),
        html.escape(result.subject),
        _observed(result),
        _expected(result.check, result.expected),
    )
    return _line(_HISTORY_COLUMNS, values, result.status)


def _alert(names: Sequence[str], alert: AlertRow) -> str:
    status = "passed" if alert["resolved_at"] else alert["result"]
    values = (
        _badge(status, _state(alert)),
        _link(alert["check"]),
        str(alert["id"]),
        html.escape(alert["subject"]),
        alert["severity"],
        second(alert["opened_at"]),
        second(alert["last_seen_at"]),
        f"{alert['count']:,}",
        html.escape(alert["observed"] or ""),
        _expected(alert["check"], alert["expected"]),
        _buttons(alert),
    )
    return _line(names, values[: len(names)], status)


def _state(alert: AlertRow) -> str:
    if alert["resolved_at"]:
        return f"resolved {second(alert['resolved_at'])}"
    parts = ["firing" if alert["status"] == "open" else f"acknowledged by {alert['acknowledged_by']}"]
    if alert["result"] == "error":
        parts.append("check error")
    if _silenced(alert):
        parts.append(f"silenced until {second(alert['silenced_until'])}")
    elif alert["notified_at"] is None:
        parts.append("inhibited")
    return ", ".join(parts)


def _silenced(alert: AlertRow) -> bool:
    return bool(alert["silenced_until"] and alert["silenced_until"] > clock.now())


def _buttons(alert: AlertRow) -> str:
    if alert["resolved_at"]:
        return ""
    named = {"unsilence": "End silence"} if _silenced(alert) else {"silence": "Silence …"}
    if alert["status"] == "open":
        named = {"acknowledge": "Acknowledge"} | named
    subject = html.escape(f"{alert['check']}, {alert['subject']}")
    return "".join(
        f'<button type="button" data-action="{action}" data-alert="{alert["id"]}" data-about="{subject}"'
        f' aria-label="{text.removesuffix(" …")} alert {alert["id"]}">{text}</button>'
        for action, text in named.items()
    )


def _badge(status: str, text: str) -> str:
    return f'<span class="badge {status}"><i aria-hidden="true"></i>{html.escape(text)}</span>'


def _link(check: str) -> str:
    return f'<a href="/quality/{quote(check, safe="")}">{html.escape(check)}</a>'


def _table(caption: str, names: Iterable[str], lines: Iterable[str]) -> str:
    """Return a table with a caption; `lines` come from `_line`."""
    head = "".join(f'<th class="{_css_class(name)}">{name}</th>' for name in names)
    body = "".join(lines)
    return f"<h2>{html.escape(caption)}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _css_class(name: str) -> str:
    return name.replace(" ", "-")


def _line(names: Sequence[str], values: Sequence[str], status: str) -> str:
    """Return a row of values that are HTML. Narrow screens show the names."""
    cells = (
        f'<td class="{_css_class(name)}" data-name="{name}">{value}</td>'
        for name, value in zip(names, values, strict=True)
    )
    return f'<tr class="{status}">{"".join(cells)}</tr>'
