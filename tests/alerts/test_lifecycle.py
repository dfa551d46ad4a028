"""The life of an alert, without a database."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from candleworks.alerts.lifecycle import transition
from candleworks.model.alerts import Alert, AlertSilence, CheckResult
from candleworks.settings import Alerts

START = datetime(2026, 1, 5, 15, tzinfo=UTC)
RULES = Alerts(escalate_after_failures=3, escalate_after_seconds=300, resolve_after_passes=2)


def result(status: str, minute: float, observed: str = "312 s") -> CheckResult:
    at = START + timedelta(minutes=minute)
    return CheckResult("freshness", "AAPL", "warning", status, observed, "at most 120 s", at)  # type: ignore[arg-type]


def history(statuses: Iterable[str], alert: Alert | None = None, first: int = 0) -> tuple[Alert | None, list[str]]:
    """The alert after a result every five minutes, and the events that were notified."""
    notified = []
    for number, status in enumerate(statuses, first):
        alert, event = transition(alert, result(status, 5 * number), RULES)
        if event is not None and event.due:
            notified.append(event.event)
    return alert, notified


def present(alert: Alert | None) -> Alert:
    assert alert is not None
    return alert


def test_a_pass_without_an_alert_is_nothing() -> None:
    """There is nothing to store."""
    assert transition(None, result("passed", 0), RULES) == (None, None)


def test_a_failure_opens_an_alert() -> None:
    """With what was observed, and a notification."""
    alert, event = transition(None, result("failed", 0), RULES)
    alert = present(alert)
    assert (alert.status, alert.result, alert.count, alert.opened_at) == ("open", "failed", 1, START)
    assert (alert.observed, alert.expected) == ("312 s", "at most 120 s")
    assert event is not None
    assert (event.event, event.due, event.alert) == ("opened", True, alert)


@pytest.mark.parametrize(
    ("statuses", "events"),
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
def test_each_change_is_one_event(statuses: list[str], events: list[str]) -> None:
    """At the first failure, at the third, and after two passes in a row; a check error resolves nothing."""
    alert: Alert | None = None
    found = []
    for number, status in enumerate(statuses):
        alert, event = transition(alert, result(status, 5 * number), RULES)
        found += [event.event] if event else []
        if alert is not None and alert.status == "resolved":
            alert = None
    assert found == events


def test_failures_in_quick_succession_do_not_escalate() -> None:
    """The watchdog counts sixty failures in five minutes."""
    alert: Alert | None = None
    for second in range(0, 300, 5):
        alert, event = transition(alert, result("failed", second / 60), RULES)
        assert event is None or event.event == "opened"
    _, event = transition(alert, result("failed", 5), RULES)
    assert event is not None
    assert event.event == "escalated"


def test_an_acknowledged_alert_does_not_escalate() -> None:
    """Somebody works on it. That it is resolved is notified."""
    alert, _ = history(["failed"])
    acknowledged = replace(present(alert), status="acknowledged")
    assert history(["failed"] * 5 + ["passed"] * 2, acknowledged, 1)[1] == ["resolved"]


def test_failures_are_counted() -> None:
    """With the newest observation; passes between them do not count."""
    alert, _ = history(["failed", "passed", "failed"])
    alert, _ = transition(alert, result("failed", 20, "400 s"), RULES)
    alert = present(alert)
    assert (alert.count, alert.observed, alert.passes) == (3, "400 s", 0)
    assert (alert.opened_at, alert.last_seen_at) == (START, START + timedelta(minutes=20))


@pytest.mark.parametrize("status", ["passed", "failed", "error"])
def test_a_result_that_comes_again_changes_nothing(status: str) -> None:
    """Nor does one that is older than what is known."""
    alert, _ = history(["failed", "failed", "passed"])
    for minute in (10, 9, 0):
        assert transition(alert, result(status, minute), RULES) == (alert, None)


def test_a_silenced_alert_is_stored_and_not_notified() -> None:
    """Neither its opening, which the silence of the alert before it covers, nor its escalation, nor its resolution."""
    silence = AlertSilence(START + timedelta(hours=1), "known")
    alert, event = transition(None, result("failed", 0), RULES, silence)
    assert event is not None
    assert (event.event, event.due) == ("opened", False)
    assert (present(alert).silenced_until, present(alert).silence_reason) == silence
    assert history(["failed"] * 5 + ["passed"] * 2, alert, 1)[1] == []


def test_what_still_fails_after_its_silence_is_notified() -> None:
    """Its opening, once, and its resolution."""
    alert, _ = transition(None, result("failed", 0), RULES, AlertSilence(START + timedelta(minutes=12), "known"))
    alert, notified = history(["failed"] * 2, alert, 1)
    assert notified == []
    alert, notified = history(["failed", "failed", "passed", "passed"], alert, 3)
    assert notified == ["opened", "escalated", "resolved"]
    assert present(alert).status == "resolved"


def test_an_escalation_waits_for_the_end_of_a_silence() -> None:
    """Whoever was notified of the opening before the silence is notified then how long it lasts."""
    alert, _ = history(["failed"])
    silenced = replace(present(alert), silenced_until=START + timedelta(minutes=22))
    alert, notified = history(["failed"] * 4, silenced, 1)
    assert notified == []
    assert history(["failed"], alert, 5)[1] == ["escalated"]


@pytest.mark.parametrize(
    ("notified", "silenced", "due"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_a_resolution_is_notified_to_those_who_know_of_the_alert(notified: bool, silenced: bool, due: bool) -> None:
    """Not while it is silenced, and not when it was inhibited from the first result to the last."""
    alert = present(transition(None, result("failed", 0), RULES, inhibited_by=None if notified else "watch-feed").alert)
    if silenced:
        alert = replace(alert, silenced_until=START + timedelta(hours=1))
    alert = present(transition(alert, result("passed", 5), RULES).alert)
    event = transition(alert, result("passed", 10), RULES).event
    assert event is not None
    assert (event.event, event.due) == ("resolved", due)


def test_the_newest_failure_says_how_severe_it_is_and_what_was_expected() -> None:
    """Thresholds and severities may change while an alert fires; a result that comes late changes nothing."""
    alert = present(transition(None, result("failed", 0), RULES).alert)
    newest = replace(result("failed", 10), severity="critical", expected="at most 60 s")
    alert = present(transition(alert, newest, RULES).alert)
    assert (alert.severity, alert.expected, alert.count) == ("critical", "at most 60 s", 2)
    assert transition(alert, result("failed", 5), RULES) == (alert, None)


def test_a_check_that_could_not_run_and_then_fails_escalates_at_once() -> None:
    """So far people only know that it could not be run."""
    alert = present(transition(None, result("error", 0), RULES).alert)
    alert, event = transition(alert, result("failed", 5), RULES)
    assert present(alert).result == "failed"
    assert event is not None
    assert (event.event, event.due) == ("escalated", True)


def test_an_inhibited_alert_is_stored_with_what_inhibits_it() -> None:
    """Its opening is an event that is not due."""
    alert, event = transition(None, result("failed", 0), RULES, inhibited_by="watch-feed")
    assert present(alert).notified_at is None
    assert event is not None
    assert (event.event, event.due, event.note) == ("opened", False, "inhibited by watch-feed")


def test_a_resolution_says_what_is_observed_now() -> None:
    """The stored alert keeps what was observed when it failed last; an expectation that the check omits stays."""
    alert = present(transition(None, result("failed", 0), RULES).alert)
    alert = present(transition(alert, result("passed", 5), RULES).alert)
    passed = replace(result("passed", 10, "3 s"), expected=None)
    resolved, event = transition(alert, passed, RULES)
    assert present(resolved).resolved_at == passed.at
    assert present(resolved).observed == "312 s"
    assert event is not None
    assert (event.alert.observed, event.alert.expected) == ("3 s", "at most 120 s")


def test_an_alert_of_severity_info_does_not_escalate() -> None:
    """However often it fails."""
    alert: Alert | None = None
    for minute in range(0, 60, 5):
        alert, event = transition(alert, replace(result("failed", minute), severity="info"), RULES)
        assert event is None or event.event == "opened"


def test_a_resolution_says_what_is_expected_now() -> None:
    """A threshold may have changed since the failure."""
    alert = present(transition(None, result("failed", 0), RULES).alert)
    alert = present(transition(alert, result("passed", 5), RULES).alert)
    event = transition(alert, replace(result("passed", 10), expected="at most 500 s"), RULES).event
    assert event is not None
    assert event.alert.expected == "at most 500 s"
