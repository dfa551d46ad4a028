"""update() on the database: one alert per check and subject, whoever reports it, and what people do to it in SQL."""

import threading
from datetime import timedelta

import pytest
from psycopg import errors

from candleworks.alerts import CheckResult, deliver, update
from candleworks.clock import now
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.model.notices import Notice
from candleworks.settings import Settings
from tests.alerts.conftest import NOW, results, settings_for
from tests.alerts.receivers import Web

on_one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def alert(connection: Connection, *columns: str) -> tuple[object, ...]:
    """Those columns of the one alert."""
    (row,) = connection.execute(f"SELECT {', '.join(columns)} FROM alerts").fetchall()
    return row


def test_a_check_and_subject_have_one_unresolved_alert(connection: Connection, settings: Settings) -> None:
    """Failures are counted in it, a second pass resolves it, and the next failure opens a new one."""
    for minute, status in enumerate(["failed", "failed", "passed", "passed", "failed"]):
        update(connection, settings, results(status, "AAPL", minute=minute))
    rows = connection.execute("SELECT status, count, opened_at, resolved_at FROM alerts ORDER BY id").fetchall()
    assert rows == [
        ("resolved", 2, NOW, NOW + timedelta(minutes=3)),
        ("open", 1, NOW + timedelta(minutes=4), None),
    ]
    with pytest.raises(errors.UniqueViolation):
        connection.execute("UPDATE alerts SET status = 'open', resolved_at = NULL")


@on_one_engine
def test_what_changed_is_returned_and_noticed(dsn: str, settings: Settings) -> None:
    """By check and subject, with facts that can be written as JSON."""
    notices: list[Notice] = []
    changed = update(dsn, settings, results("failed", "AAPL", "MSFT"), notices.append)
    assert [found.subject for found in changed.opened] == ["AAPL", "MSFT"]
    update(dsn, settings, results("passed", "AAPL", minute=5), notices.append)
    changed = update(dsn, settings, results("passed", "AAPL", minute=10), notices.append)
    assert [found.subject for found in changed.resolved] == ["AAPL"]
    assert [(notice.name, notice.subject) for notice in notices] == [
        ("quality.failed", "freshness/AAPL"),
        ("quality.failed", "freshness/MSFT"),
        ("quality.resolved", "freshness/AAPL"),
    ]
    facts = notices[0].facts
    assert (facts["event"], facts["severity"], facts["observed"]) == ("opened", "warning", "312 s")
    assert (facts["since"], facts["count"]) == (NOW.isoformat(), 1)


@on_one_engine
def test_a_check_error_resolves_nothing(connection: Connection, settings: Settings) -> None:
    """It is an alert itself, and passes before and after it do not count as two in a row."""
    update(connection, settings, results("failed", "AAPL"))
    for minute, status in enumerate(["passed", "error", "passed"], 1):
        update(connection, settings, results(status, "AAPL", minute=minute, observed="division by zero"))
    assert alert(connection, "status", "result", "observed") == ("open", "error", "division by zero")
    update(connection, settings, results("passed", "AAPL", minute=9))
    assert alert(connection, "status") == ("resolved",)


@on_one_engine
def test_the_worst_of_several_results_counts(connection: Connection, settings: Settings) -> None:
    """A check can find several things about a subject."""
    both = [*results("failed", "AAPL"), *results("passed", "AAPL"), *results("error", "AAPL")]
    for order in (both, both[::-1]):
        update(connection, settings, order)
    assert alert(connection, "result", "count") == ("failed", 1)


def test_several_processes_report_at_once(dsn: str, connection: Connection, settings: Settings) -> None:
    """Each symbol gets one alert, one event and one notification."""
    symbols = [f"S{number:02}" for number in range(30)]
    threads = [
        threading.Thread(target=update, args=[dsn, settings, results("failed", *symbols[::order])]) for order in (1, -1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = "SELECT (SELECT count(*) FROM alerts), count(*), count(*) FILTER (WHERE pending) FROM alert_events"
    assert connection.execute(counts).fetchone() == (30, 30, 30)


@on_one_engine
def test_an_alert_and_its_notification_are_kept_together(connection: Connection, settings: Settings) -> None:
    """When the notification cannot be stored, neither is the alert."""
    connection.execute("ALTER TABLE alert_events ADD CHECK (NOT pending)")
    with pytest.raises(errors.CheckViolation):
        update(connection, settings, results("failed", "AAPL"))
    assert connection.execute("SELECT (SELECT count(*) FROM alerts) + count(*) FROM alert_events").fetchone() == (0,)


def test_an_alert_is_acknowledged_in_sql(connection: Connection, settings: Settings) -> None:
    """By whom is stored; it no longer escalates, and checks still resolve it."""
    update(connection, settings, results("failed", "AAPL"))
    connection.execute("SELECT acknowledge_alert(id, 'ada') FROM alerts")
    for minute in range(5, 60, 5):
        update(connection, settings, results("failed", "AAPL", minute=minute))
    assert alert(connection, "status", "acknowledged_by", "count", "escalated_at") == ("acknowledged", "ada", 12, None)
    for minute in (60, 65):
        changed = update(connection, settings, results("passed", "AAPL", minute=minute))
    assert len(changed.resolved) == 1
    events = connection.execute("SELECT event, note FROM alert_events ORDER BY id").fetchall()
    assert events == [("opened", None), ("acknowledged", "by ada"), ("resolved", None)]


def test_a_silenced_alert_is_stored_and_not_sent(dsn: str, connection: Connection, web: Web) -> None:
    """Nor is the next one of its subject; the others are. What still fails after the silence is notified."""
    settings = settings_for(dsn, web.url)

    def run(status: str, *subjects: str) -> None:
        update(
            connection, settings, [CheckResult("freshness", s, "warning", status, "x", None, now()) for s in subjects]
        )  # type: ignore[arg-type]
        deliver(settings, dsn)

    run("failed", "AAPL")
    connection.execute("SELECT silence_alert(id, now() + interval '1 hour', 'known') FROM alerts")
    for status in ("passed", "passed", "failed", "failed"):
        run(status, "AAPL", "MSFT")
    assert [message.title for message in web.messages] == [
        "WARNING firing: freshness AAPL [candleworks]",
        "WARNING firing: freshness MSFT [candleworks]",
    ]
    rows = connection.execute("SELECT status, silence_reason FROM alerts WHERE subject = 'AAPL' ORDER BY id").fetchall()
    assert rows == [("resolved", "known"), ("open", "known")]
    connection.execute("UPDATE alerts SET silenced_until = now() WHERE silenced_until IS NOT NULL")
    run("failed", "AAPL", "MSFT")
    assert web.messages[-1].title == "WARNING firing: freshness AAPL [candleworks]"
    assert len(web.messages) == 3


@on_one_engine
def test_a_notification_of_a_silenced_alert_waits(dsn: str, connection: Connection, web: Web) -> None:
    """Until the silence ends."""
    settings = settings_for(dsn, web.url)
    update(connection, settings, results("failed", "AAPL"))
    connection.execute("SELECT silence_alert(id, now() + interval '1 hour', 'known') FROM alerts")
    deliver(settings, dsn)
    assert web.messages == []
    connection.execute("SELECT unsilence_alert(id) FROM alerts")
    deliver(settings, dsn)
    assert len(web.messages) == 1


def test_a_resolved_alert_cannot_be_changed(connection: Connection, settings: Settings) -> None:
    """The error says where to choose from; nor can a silence end in the past."""
    update(connection, settings, results("failed", "AAPL"))
    for call in ("acknowledge_alert(7)", "silence_alert(7, now() + interval '1 day', 'x')", "unsilence_alert(7)"):
        with pytest.raises(errors.NoDataFound, match="There is no unresolved alert 7: choose one from SELECT"):
            connection.execute(f"SELECT {call}")
    with pytest.raises(errors.InvalidParameterValue, match="which is in the past: give a later time"):
        connection.execute("SELECT silence_alert(id, now() - interval '1 second', 'x') FROM alerts")
