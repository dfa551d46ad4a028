"""`alerts list`, `show`, `ack`, `silence`, `unsilence`, `resolve`, `deliver` and `watch`."""

import getpass
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from candleworks.alerts import CheckResult, deliver, update
from candleworks.alerts.routing import START
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.settings import Settings
from tests.alerts.conftest import NOW, results, settings_for
from tests.alerts.receivers import Web
from tests.cli.commands import ended, started
from tests.cli.conftest import Invoke
from tests.test_times import INVALID_TIME

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
PATIENCE_SECONDS = 60


@pytest.fixture
def failing(connection: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Alert 1 about AAPL, on a terminal that is wide enough."""
    monkeypatch.setenv("COLUMNS", "200")
    update(connection, settings, results("failed", "AAPL"))
    return connection


def test_alerts_are_listed(invoke: Invoke, dsn: str, failing: Connection) -> None:  # noqa: ARG001
    """With what was observed and expected, since when, and how many notifications were not delivered."""
    found = invoke("alerts", "list", CANDLEWORKS_DSN=dsn)
    assert (found.status, found.errors) == (0, "")
    row = next(line for line in found.output.splitlines() if "AAPL" in line)
    assert re.split(" {2,}", row.strip()) == [
        *(
            "1",
            "warning, firing, unsent",
            "freshness",
            "AAPL",
            "312 s, expected at most 120 s",
            "2026-01-05 15:00:00",
            "1",
        )
    ]
    assert found.output.endswith(
        f"1 notification pending, but nothing delivers: {START}, with CANDLEWORKS_ALERT_URLS set.\n"
    )
    (alert,) = json.loads(invoke("alerts", "list", "--json", CANDLEWORKS_DSN=dsn).output)["alerts"]
    assert (alert["id"], alert["status"], alert["count"]) == (1, "open", 1)


def test_an_alert_that_is_inhibited_says_so(
    invoke: Invoke, dsn: str, connection: Connection, settings: Settings
) -> None:
    """`show` says by which check."""
    connection.execute("INSERT INTO feed_symbols VALUES ('a', 'AAPL', 'streaming', NULL, %s)", [NOW])
    for check, subject in (("watch-feed", "feed/a"), ("freshness", "AAPL")):
        update(connection, settings, [CheckResult(check, subject, "critical", "failed", None, None, NOW)])
    listed = invoke("alerts", "list", CANDLEWORKS_DSN=dsn).output
    (line,) = [line for line in listed.splitlines() if "inhibited" in line]
    assert "freshness" in line
    assert "inhibited by watch-feed" in invoke("alerts", "show", "2", CANDLEWORKS_DSN=dsn).output


def test_resolved_alerts_are_listed_on_request(invoke: Invoke, dsn: str, failing: Connection) -> None:
    """As far back as requested."""
    failing.execute("UPDATE alerts SET status = 'resolved', resolved_at = now() - interval '2 hours'")
    failing.execute("UPDATE alert_events SET pending = false")
    assert invoke("alerts", "list", CANDLEWORKS_DSN=dsn) == (0, "no alerts\n", "")
    assert invoke("alerts", "list", "--resolved", "1h", CANDLEWORKS_DSN=dsn).output == "no alerts\n"
    assert "resolved" in invoke("alerts", "list", "--resolved", "3h", CANDLEWORKS_DSN=dsn).output


def test_an_alert_is_acknowledged_and_silenced(invoke: Invoke, dsn: str, failing: Connection) -> None:  # noqa: ARG001
    """By a given name or the current user; its events show who did what."""
    sentence = "alert 1 (freshness, AAPL) is acknowledged by ada\n"
    assert invoke("alerts", "ack", "1", "--by", "ada", CANDLEWORKS_DSN=dsn) == (0, sentence, "")
    silenced = invoke("alerts", "silence", "1", "--until", "2030-01-31T08:00", "--reason", "known", CANDLEWORKS_DSN=dsn)
    assert silenced == (0, "alert 1 (freshness, AAPL) is silenced until 2030-01-31 08:00 UTC\n", "")
    assert "acknowledged, silenced" in invoke("alerts", "list", CANDLEWORKS_DSN=dsn).output
    shown = invoke("alerts", "show", "1", CANDLEWORKS_DSN=dsn).output
    for words in ("acknowledged_by", "ada", "by ada", "known", "until 2030-01-31"):
        assert words in shown
    unsilenced = invoke("alerts", "unsilence", "1", CANDLEWORKS_DSN=dsn)
    assert unsilenced == (0, "alert 1 (freshness, AAPL) is no longer silenced\n", "")
    shown_json = json.loads(invoke("alerts", "show", "1", "--json", CANDLEWORKS_DSN=dsn).output)
    assert [event["event"] for event in shown_json["history"]] == ["opened", "acknowledged", "silenced", "unsilenced"]


def test_resolving_by_hand_is_notified(invoke: Invoke, dsn: str, failing: Connection, web: Web) -> None:
    """To whoever was notified that it fires, and with who did it: nobody has looked what is observed now."""
    settings = settings_for(dsn, web.url)
    deliver(settings, dsn)
    done = invoke("alerts", "resolve", "1", CANDLEWORKS_DSN=dsn)
    assert done.output.startswith("alert 1 (freshness, AAPL) is resolved\n")
    assert invoke("alerts", "list", CANDLEWORKS_DSN=dsn).output.startswith("no alerts\n1 notification pending")
    deliver(settings, dsn)
    assert [message.title for message in web.messages[1:]] == ["WARNING resolved: freshness AAPL [candleworks]"]
    assert f"AAPL: resolved by {getpass.getuser()}\n" in web.messages[1].text
    assert "312 s" not in web.messages[1].text
    assert failing.execute("SELECT status FROM alerts").fetchone() == ("resolved",)


@pytest.mark.parametrize("silenced", [True, False], ids=["silenced", "never notified"])
def test_resolving_by_hand_what_nobody_was_notified_of_is_silent(
    dsn: str, failing: Connection, web: Web, silenced: bool
) -> None:
    """Nor what is silenced; and an alert is resolved in SQL as by the command."""
    settings = settings_for(dsn, web.url)
    if silenced:
        deliver(settings, dsn)
        failing.execute("SELECT silence_alert(1, now() + interval '1 hour', 'known')")
    else:
        failing.execute("UPDATE alert_events SET pending = false")
        failing.execute("UPDATE alerts SET notified_at = NULL")
    failing.execute("SELECT resolve_alert(1, 'ada')")
    failing.execute("UPDATE alerts SET silenced_until = NULL")
    deliver(settings, dsn)
    assert len(web.messages) == silenced


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ack", "7"), "There is no unresolved alert 7: choose one from `candleworks alerts list`."),
        (("show", "7"), "There is no alert 7: choose one from `candleworks alerts list`."),
        (
            ("silence", "1", "--reason", "x", "--until", "soon"),
            INVALID_TIME.format("soon"),
        ),
        (
            ("silence", "1", "--reason", "x", "--until", "2020-01-01"),
            "An alert cannot be silenced until 2020-01-01 00:00:00+00, which is in the past: give a later time.",
        ),
        (("list", "--resolved", "x"), INVALID_TIME.format("x")),
    ],
)
def test_mistakes_are_explained(
    invoke: Invoke,
    dsn: str,
    failing: Connection,  # noqa: ARG001
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    """In one line, with status 2."""
    assert invoke("alerts", *arguments, CANDLEWORKS_DSN=dsn) == (2, "", f"{sentence}\n")


def test_notifications_are_delivered_by_hand(invoke: Invoke, dsn: str, connection: Connection, web: Web) -> None:
    """Status 1 while a recipient does not accept one."""
    update(connection, settings_for(dsn, web.url), results("failed", "AAPL"))
    web.status = 500
    failed = invoke("alerts", "deliver", CANDLEWORKS_DSN=dsn, CANDLEWORKS_ALERT_URLS=web.url)
    assert (failed.status, failed.output) == (1, "0 notifications sent with 0 alerts, 1 failed\n")
    listed = invoke("alerts", "list", CANDLEWORKS_DSN=dsn).output
    assert re.search(r"^not delivered yet: 1 to json-[0-9a-f]{10} \(HTTP status 500\)$", listed, re.MULTILINE)
    connection.execute("UPDATE alert_deliveries SET next_attempt_at = now()")
    web.status = 200
    done = invoke("alerts", "deliver", CANDLEWORKS_DSN=dsn, CANDLEWORKS_ALERT_URLS=web.url)
    assert (done.status, done.output) == (0, "1 notification sent with 1 alert, 0 failed\n")
    assert len(web.messages) == 1


def test_the_watchdog_runs_until_it_is_stopped_by_a_signal(
    dsn: str, connection: Connection, web: Web, tmp_path: Path
) -> None:
    """It delivers what others put into the outbox; there is one per home."""
    (tmp_path / "candleworks.yaml").write_text("alerts: {watch: {interval_seconds: 0.1}}")
    variables = {"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_ALERT_URLS": web.url}
    with started("alerts", "watch", directory=tmp_path, **variables) as watchdog:
        update(connection, settings_for(dsn, web.url), results("failed", "AAPL"))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not web.messages:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with started("alerts", "watch", directory=tmp_path, **variables) as other:
            sentence = f"candleworks alerts watch is already running in {tmp_path / 'home'}: run one per database.\n"
            assert ended(other) == (2, "", sentence)
        os.kill(watchdog.pid, signal.SIGHUP)  # its terminal was closed
        assert ended(watchdog).status == 0
    assert [message.title for message in web.messages] == ["WARNING firing: freshness AAPL [candleworks]"]
