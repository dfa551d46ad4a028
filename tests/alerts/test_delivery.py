"""The outbox with real recipients: everything arrives, once."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from candleworks.alerts import CheckResult, DeliveryCounts, deliver, update
from candleworks.alerts.runbook import first_step
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.settings import Settings
from tests.alerts.conftest import NOW, results, settings_for
from tests.alerts.receivers import SECRET, Mail, Web
from tests.cli.commands import environment

PATIENCE_SECONDS = 60
on_one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def eventually(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def deliver_until(settings: Settings, dsn: str, happened: Callable[[], object]) -> DeliveryCounts:
    """Deliver again and again, as the watchdog does; the sum of it."""
    total = DeliveryCounts()

    def more() -> object:
        nonlocal total
        total = DeliveryCounts(*map(sum, zip(total, deliver(settings, dsn), strict=True)))
        return happened()

    eventually(more)
    return total


def deliveries(connection: Connection) -> list[tuple[str, str, int, bool]]:
    return connection.execute(
        "SELECT e.event, d.state, d.attempts, d.possible_repeat FROM alert_deliveries d"
        " JOIN alert_events e ON e.id = d.event_id ORDER BY e.id, d.recipient"
    ).fetchall()


def test_an_alert_is_notified_when_it_fires_escalates_and_is_resolved(
    dsn: str, connection: Connection, web: Web, mail: Mail
) -> None:
    """Three notifications to each recipient for ten results; the last one says what is observed then."""
    settings = settings_for(dsn, web.url, mail.url, page_url="https://candles.example")
    for minute in range(0, 50, 5):
        status = "failed" if minute < 30 else "passed"
        update(connection, settings, results(status, "AAPL", minute=minute, observed=f"{minute} s"))
        deliver(settings, dsn)
    assert [message.title for message in web.messages] == [
        "WARNING firing: freshness AAPL [candleworks]",
        "WARNING still firing: freshness AAPL [candleworks]",
        "WARNING resolved: freshness AAPL [candleworks]",
    ]
    assert re.sub(r"\(.* ago\)", "(... ago)", web.messages[0].text).splitlines() == [
        "WARNING firing: freshness",
        "AAPL: 0 s",
        "Firing since 2026-01-05 15:00:00 UTC (... ago)",
        "Expected: at most 2 min",
        f"First step: {first_step('freshness')}",
        "",
        "https://candles.example/quality/freshness",
    ]
    assert "AAPL: 10 s\nFiring since 2026-01-05 15:00:00 UTC" in web.messages[1].text
    assert "ago), failed 3 times\n" in web.messages[1].text
    assert "AAPL now: 35 s\nFired for 35 min, from 2026-01-05 15:00:00 to" in web.messages[2].text
    assert [sent["Subject"] for sent in mail.mails] == [message.title for message in web.messages]
    body = mail.mails[0].get_body(("plain",))
    assert body is not None
    assert body.get_content().splitlines() == web.messages[0].text.splitlines()
    markup = mail.mails[0].get_body(("html",))
    assert markup is not None
    assert markup.get_content().startswith("WARNING firing: freshness<br/>AAPL: 0 s<br/>Firing since 2026-01-05 15:")


@on_one_engine
def test_a_webhook_is_given_the_severity(dsn: str, connection: Connection, web: Web) -> None:
    """As the type that apprise has for it: critical is not warning, and what is resolved is a success."""
    settings = settings_for(dsn, web.url)
    severities = ("critical", "warning", "info")
    for minute, status in enumerate(("failed", "passed", "passed")):
        for severity in severities:
            at = NOW + timedelta(minutes=minute)
            update(connection, settings, [CheckResult("disk", severity, severity, status, None, None, at)])  # type: ignore[arg-type]
            deliver(settings, dsn)
    assert [message.type for message in web.messages] == ["failure", "warning", "info", *["success"] * 3]


@on_one_engine
def test_a_flood_is_one_notification(dsn: str, connection: Connection, web: Web, mail: Mail) -> None:
    """A hundred symbols that go stale at once, and come back at once: two notifications per recipient."""
    settings = settings_for(dsn, web.url, mail.url)
    symbols = [f"S{number:03}" for number in range(100)]
    update(connection, settings, results("failed", *symbols))
    assert deliver(settings, dsn) == DeliveryCounts(notifications=2, alerts=200)
    for minute in (5, 10):
        update(connection, settings, results("passed", *symbols, minute=minute))
    assert deliver(settings, dsn) == DeliveryCounts(notifications=2, alerts=200)
    assert deliver(settings, dsn) == DeliveryCounts()
    assert [message.title for message in web.messages] == [
        "WARNING firing: freshness S000, 99 more firing [candleworks]",
        "WARNING resolved: freshness S000, 99 more resolved [candleworks]",
    ]
    assert "WARNING firing: freshness, 100 subjects\n- S000: 5 min 12 s\n- S001: " in web.messages[0].text
    assert "\n- and 80 more\nFiring since 2026-01-05 15:00:00 UTC (" in web.messages[0].text
    assert (len(web.messages), len(mail.mails)) == (2, 2)


@on_one_engine
def test_what_a_recipient_does_not_accept_is_kept(dsn: str, connection: Connection, web: Web, other_web: Web) -> None:
    """It is tried again until it is accepted; other recipients get nothing twice."""
    settings = settings_for(dsn, web.url, other_web.url)
    web.status = 503
    update(connection, settings, results("failed", "AAPL"))
    deliver_until(settings, dsn, lambda: web.requests >= 3)
    (reason,) = connection.execute("SELECT reason FROM alert_deliveries WHERE state = 'waiting'").fetchone() or ("",)
    assert reason == "HTTP status 503"
    web.status = 200
    deliver_until(settings, dsn, lambda: web.messages)
    assert (len(web.messages), len(other_web.messages), other_web.requests) == (1, 1, 1)
    assert {(event, state, repeat) for event, state, _, repeat in deliveries(connection)} == {("opened", "sent", False)}


@on_one_engine
def test_notifications_wait_for_a_recipient_that_is_down(dsn: str, connection: Connection) -> None:
    """Fired and resolved while it was away: that is one alert, as it is when the recipient is back."""
    web = Web()
    with web.listening():
        settings = settings_for(dsn, web.url)
    update(connection, settings, results("failed", "AAPL"))
    assert deliver(settings, dsn) == DeliveryCounts(failures=1)
    for minute in (5, 10):
        update(connection, settings, results("passed", "AAPL", minute=minute))
    with web.listening():
        total = deliver_until(settings, dsn, lambda: web.messages)
    assert total.notifications == 1
    assert [message.title for message in web.messages] == ["WARNING resolved: freshness AAPL [candleworks]"]
    assert "Fired for 10 min, from 2026-01-05 15:00:00 to 2026-01-05 15:10:00 UTC" in web.messages[0].text


@on_one_engine
def test_a_mail_server_that_is_busy_is_tried_again(dsn: str, connection: Connection, mail: Mail) -> None:
    """Its status code is stored as the reason."""
    settings = settings_for(dsn, mail.url)
    mail.busy = True
    update(connection, settings, results("failed", "AAPL"))
    assert deliver(settings, dsn).failures == 1
    assert connection.execute("SELECT reason FROM alert_deliveries").fetchone() == ("SMTP status 451",)
    mail.busy = False
    deliver_until(settings, dsn, lambda: mail.mails)
    assert len(mail.mails) == 1


@on_one_engine
def test_a_recipient_that_fails_is_tried_again_later(dsn: str, connection: Connection, web: Web) -> None:
    """Also for what opens meanwhile; later after each attempt."""
    settings = settings_for(dsn, web.url, retry_first_seconds=50.0, retry_longest_seconds=150.0)
    web.status = 500
    update(connection, settings, results("failed", "AAPL"))
    waits = []
    for _ in range(4):
        deliver(settings, dsn)
        update(connection, settings, results("failed", f"S{len(waits)}"))
        assert deliver(settings, dsn) == DeliveryCounts()
        (wait,) = connection.execute(
            "SELECT max(extract(epoch FROM next_attempt_at - now()))::float8 FROM alert_deliveries"
        ).fetchone() or (0,)
        waits.append(wait)
        connection.execute("UPDATE alert_deliveries SET next_attempt_at = now()")
    assert web.requests == 4
    for wait, longest in zip(waits, (50, 100, 150, 150), strict=True):
        assert 0.75 * longest - 10 < wait <= longest


def test_two_deliverers_send_each_event_once(dsn: str, connection: Connection, web: Web) -> None:
    """While one waits for the response of the recipient, the other finds nothing to do."""
    settings = settings_for(dsn, web.url)
    arrived, finish = threading.Event(), threading.Event()

    def wait() -> None:
        arrived.set()
        finish.wait(PATIENCE_SECONDS)

    web.meanwhile = wait
    update(connection, settings, results("failed", "AAPL"))
    first = threading.Thread(target=deliver, args=[settings, dsn])
    first.start()
    assert arrived.wait(PATIENCE_SECONDS)
    assert [deliver(settings, dsn) for _ in range(3)] == [DeliveryCounts()] * 3
    finish.set()
    first.join()
    assert deliver(settings, dsn) == DeliveryCounts()
    assert web.requests == 1
    assert deliveries(connection) == [("opened", "sent", 1, False)]


def test_many_deliverers_share_many_events(dsn: str, connection: Connection, web: Web) -> None:
    """Four at once, while alerts open: nothing is lost, nothing is sent twice."""
    settings = settings_for(dsn, web.url)
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            deliver(settings, dsn)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    symbols = [f"S{number:02}" for number in range(20)]
    for symbol in symbols:
        update(connection, settings, results("failed", symbol))
    eventually(lambda: {state for _, state, *_ in deliveries(connection)} == {"sent"})
    ended.set()
    for worker in workers:
        worker.join()
    text = "\n".join(message.text for message in web.messages)
    assert sorted(re.findall(r"^(?:- )?(S\d\d):", text, re.MULTILINE)) == symbols


def test_a_deliverer_that_is_killed_before_it_stores_the_result(dsn: str, connection: Connection, web: Web) -> None:
    """The next one sends once more, and says so; after that nothing more."""
    settings = settings_for(dsn, web.url)
    update(connection, settings, results("failed", "AAPL"))
    web.meanwhile = lambda: os.kill(sender.pid, signal.SIGKILL)
    code = "import sys; from candleworks.alerts import deliver; from candleworks.settings import load_settings as l;"
    code += "s = l(); deliver(s, s.dsn.get_secret_value())"
    variables = environment(CANDLEWORKS_DSN=dsn, CANDLEWORKS_ALERT_URLS=web.url)
    with subprocess.Popen([sys.executable, "-c", code], env=variables) as sender:
        pass
    assert sender.returncode == -signal.SIGKILL
    assert deliveries(connection) == [("opened", "sending", 1, False)]
    web.meanwhile = lambda: None
    deliver_until(settings, dsn, lambda: len(web.messages) > 1)
    assert deliver(settings, dsn) == DeliveryCounts()
    first, second = (message.text for message in web.messages)
    assert "may be a repeat" not in first
    assert "AAPL: 5 min 12 s" in second
    assert "This may be a repeat: an earlier attempt to send it was interrupted." in second
    assert deliveries(connection) == [("opened", "sent", 2, True)]


@on_one_engine
def test_a_recipient_that_closes_the_connection_may_have_accepted_it(
    dsn: str, connection: Connection, web: Web
) -> None:
    """Nobody knows: it is sent once more, and says so."""
    settings = settings_for(dsn, web.url)
    update(connection, settings, results("failed", "AAPL"))
    web.status = 0
    assert deliver(settings, dsn).failures == 1
    assert connection.execute("SELECT reason FROM alert_deliveries").fetchone() == ("connection closed",)
    web.status = 200
    deliver_until(settings, dsn, lambda: len(web.messages) > 1)
    assert ["may be a repeat" in message.text for message in web.messages] == [False, True]


@on_one_engine
def test_a_database_that_is_lost_while_a_message_is_sent(dsn: str, connection: Connection, web: Web) -> None:
    """The sender stores the result over a new connection: nothing is sent again."""
    settings = settings_for(dsn, web.url)
    update(connection, settings, results("failed", "AAPL"))
    web.meanwhile = lambda: connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'candleworks alerts deliver'"
    )
    assert deliver(settings, dsn).notifications == 1
    assert deliver(settings, dsn) == DeliveryCounts()
    assert web.requests == 1
    assert deliveries(connection) == [("opened", "sent", 1, False)]


@on_one_engine
def test_no_secret_is_logged_or_stored(
    dsn: str, connection: Connection, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    """Addresses hold tokens: neither failures nor successes write them anywhere, also where everything is logged."""
    settings = settings_for(dsn, web.url, f"json://127.0.0.1:1/{SECRET}", f"slck://{SECRET}/{SECRET}")
    with caplog.at_level(logging.DEBUG):
        update(connection, settings, results("failed", "AAPL"))
        deliver(settings, dsn)
    assert len(web.messages) == 1
    reasons = {reason for (reason,) in connection.execute("SELECT reason FROM alert_deliveries").fetchall()}
    assert reasons == {
        None,
        "connection refused",
        "invalid apprise URL: correct CANDLEWORKS_ALERT_URLS",
    }
    everything = connection.execute("SELECT string_agg(d::text, ' ') FROM alert_deliveries d").fetchone()
    assert "did not accept a notification: connection refused." in caplog.text
    assert SECRET not in f"{caplog.text}{everything}{settings!r}"


@on_one_engine
def test_without_an_address_notifications_are_logged(
    dsn: str, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, as a warning."""
    settings = settings_for(dsn)
    update(connection, settings, results("failed", "AAPL"))
    assert deliver(settings, dsn) == DeliveryCounts(notifications=1, alerts=1)
    assert deliver(settings, dsn) == DeliveryCounts()
    assert "WARNING firing: freshness AAPL [candleworks]\nWARNING firing: freshness\nAAPL: 5 min 12 s" in caplog.text
