"""Alerts on the pages of checks."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from candleworks import clock
from candleworks.web.html import line, second, table

_HEADS = ("check", "alert", "subject", "severity", "state", "since", "last seen", "times", "observed", "expected")


def alert_table(caption: str, alerts: Iterable[Mapping[str, Any]]) -> str:
    """Return rows of `alerts`, those that ended in the colour of what is well."""
    return table(caption, _HEADS, (_line(alert) for alert in alerts))


def _line(alert: Mapping[str, Any]) -> str:
    status = "passed" if alert["resolved_at"] else alert["result"]
    return line(
        alert["check"],
        str(alert["id"]),
        alert["subject"],
        alert["severity"],
        _state(alert),
        second(alert["opened_at"]),
        second(alert["last_seen_at"]),
        f"{alert['count']:,}",
        alert["observed"],
        alert["expected"],
        status=status,
        link=f"/quality/{quote(alert['check'], safe='')}",
    )


def _state(alert: Mapping[str, Any]) -> str:
    if alert["resolved_at"]:
        return f"resolved {second(alert['resolved_at'])}"
    parts = ["firing" if alert["status"] == "open" else f"acknowledged by {alert['acknowledged_by']}"]
    if alert["result"] == "error":
        parts.append("check error")
    if alert["silenced_until"] and alert["silenced_until"] > clock.now():
        parts.append(f"silenced until {second(alert['silenced_until'])}")
    elif alert["notified_at"] is None:
        parts.append("inhibited")
    return ", ".join(parts)
