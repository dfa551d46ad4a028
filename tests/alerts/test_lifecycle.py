"""What results make of alerts, without a database."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from candleworks.alerts.lifecycle import follow
from candleworks.model.alerts import Alert, Mute, Result
from candleworks.settings import Alerts

START = datetime(2026, 1, 5, 15, tzinfo=UTC)
RULES = Alerts(escalate_after_failures=3, escalate_after_seconds=300, resolve_after_passes=2)


def result(status: str, minute: float, observed: str = "312 s") -> Result:
    at = START + timedelta(minutes=minute)
    return Result("freshness", "AAPL", "warning", status, observed, "at most 120 s", at)  # type: ignore[arg-type]


def history(statuses: Iterable[str], alert: Alert | None = None, first: int = 0) -> tuple[Alert | None, list[str]]:
    """The alert after a result every five minutes, and what was told on the way."""
    told = []
    for number, status in enumerate(statuses, first):
        alert, event = follow(alert, result(status, 5 * number), RULES)
        if event is not None and event.told:
            told.append(event.name)
    return alert, told


def present(alert: Alert | None) -> Alert:
    assert alert is not None
    return alert


def test_a_pass_without_an_alert_is_nothing() -> None:
    """There is nothing to keep."""
    assert follow(None, result("passed", 0), RULES) == (None, None)


def test_a_failure_opens_an_alert() -> None:
    """With what was observed, and a message."""
    alert, event = follow(None, result("failed", 0), RULES)
    alert = present(alert)
    assert (alert.status, alert.result, alert.count, alert.opened_at) == ("open", "failed", 1, START)
    assert (alert.observed, alert.expected) == ("312 s", "at most 120 s")
    assert event is not None
    assert (event.name, event.told, event.alert) == ("opened", True, alert)


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        (["failed", "failed"], ["opened"]),
        (["failed"] * 3, ["opened", "escalated"]),
        (["failed"] * 9, ["opened", "escalated"]),
        (["failed", "passed", "failed", "passed", "failed"], ["opened", "escalated"]),
        (["failed", "passed", "passed"], ["opened", "resolved"]),
        (["failed", "passed", "error", "passed"], ["opened"]),
        (["error"] * 3, ["opened", "escalated"]),
        (["error", "passed", "passed"], ["opened", "resolved"]),
        (["error", "failed", "failed"], ["opened", "escalated"]),
        (["failed", "error"], ["opened"]),
        (["failed", "passed", "passed", "failed"], ["opened", "resolved", "opened"]),
    ],
)
def test_each_change_is_told_once(statuses: list[str], told: list[str]) -> None:
    """At the opening, at the third failure, and after two passes in a row; what broke itself ends nothing."""
    alert: Alert | None = None
    heard = []
    for number, status in enumerate(statuses):
        alert, event = follow(alert, result(status, 5 * number), RULES)
        heard += [event.name] if event else []
        if alert is not None and alert.status == "resolved":
            alert = None
    assert heard == told


def test_failures_in_quick_succession_do_not_escalate() -> None:
    """A watchdog that looks every five seconds counts sixty failures before the five minutes are over."""
    alert: Alert | None = None
    for second in range(0, 300, 5):
        alert, event = follow(alert, result("failed", second / 60), RULES)
        assert event is None or event.name == "opened"
    _, event = follow(alert, result("failed", 5), RULES)
    assert event is not None
    assert event.name == "escalated"


def test_an_acknowledged_alert_does_not_escalate() -> None:
    """Somebody looks after it. Its end is told."""
    alert, _ = history(["failed"])
    acknowledged = replace(present(alert), status="acknowledged")
    assert history(["failed"] * 5 + ["passed"] * 2, acknowledged, 1)[1] == ["resolved"]


def test_failures_are_counted() -> None:
    """With the newest observation; passes between them do not count."""
    alert, _ = history(["failed", "passed", "failed"])
    alert, _ = follow(alert, result("failed", 20, "400 s"), RULES)
    alert = present(alert)
    assert (alert.count, alert.observed, alert.passes) == (3, "400 s", 0)
    assert (alert.opened_at, alert.last_seen_at) == (START, START + timedelta(minutes=20))


@pytest.mark.parametrize("status", ["passed", "failed", "error"])
def test_a_result_that_comes_again_changes_nothing(status: str) -> None:
    """Nor does one that is older than what is known."""
    alert, _ = history(["failed", "failed", "passed"])
    for minute in (10, 9, 0):
        assert follow(alert, result(status, minute), RULES) == (alert, None)


def test_a_muted_alert_is_kept_and_not_told() -> None:
    """Neither its opening, which a mute of the alert before it covers, nor its escalation, nor its end."""
    mute = Mute(START + timedelta(hours=1), "known")
    alert, event = follow(None, result("failed", 0), RULES, mute)
    assert event is not None
    assert (event.name, event.told) == ("opened", False)
    assert (present(alert).silenced_until, present(alert).silence_reason) == mute
    assert history(["failed"] * 5 + ["passed"] * 2, alert, 1)[1] == []


def test_what_outlives_its_mute_is_told() -> None:
    """The opening, once, and its end."""
    alert, _ = follow(None, result("failed", 0), RULES, Mute(START + timedelta(minutes=12), "known"))
    alert, told = history(["failed"] * 2, alert, 1)
    assert told == []
    alert, told = history(["failed", "failed", "passed", "passed"], alert, 3)
    assert told == ["opened", "escalated", "resolved"]
    assert present(alert).status == "resolved"


def test_an_escalation_waits_for_the_end_of_a_mute() -> None:
    """Who heard of the opening before it was muted hears then how long it lasts."""
    alert, _ = history(["failed"])
    muted = replace(present(alert), silenced_until=START + timedelta(minutes=22))
    alert, told = history(["failed"] * 4, muted, 1)
    assert told == []
    assert history(["failed"], alert, 5)[1] == ["escalated"]
