"""`alerts list`, `show`, `ack`, `mute`, `unmute`, `deliver` and `watch`."""

import getpass
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from candleworks.alerts import Result, deliver, update
from candleworks.alerts.routing import START
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.settings import Settings
from tests.alerts.conftest import NOW, results, told_to
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
    """With what was observed and expected, since when, and how many messages were not delivered."""
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
        f"1 notification waits, and nothing delivers: {START}, where CANDLEWORKS_ALERT_URLS is set.\n"
    )
    (alert,) = json.loads(invoke("alerts", "list", "--json", CANDLEWORKS_DSN=dsn).output)["alerts"]
    assert (alert["id"], alert["status"], alert["count"]) == (1, "open", 1)


def test_an_alert_that_is_inhibited_says_so(
    invoke: Invoke, dsn: str, connection: Connection, settings: Settings
) -> None:
    """`show` names it."""
    for check in ("watch-feed", "feed-silent"):
        update(connection, settings, [Result(check, "feed/a", "critical", "failed", None, None, NOW)])
    listed = invoke("alerts", "list", CANDLEWORKS_DSN=dsn).output
    (line,) = [line for line in listed.splitlines() if "inhibited" in line]
    assert "feed-silent" in line
    assert "inhibited by watch-feed" in invoke("alerts", "show", "2", CANDLEWORKS_DSN=dsn).output


def test_ended_alerts_are_listed_on_request(invoke: Invoke, dsn: str, failing: Connection) -> None:
    """For as long back as one asks."""
    failing.execute("UPDATE alerts SET status = 'resolved', resolved_at = now() - interval '2 hours'")
    failing.execute("UPDATE alert_events SET pending = false")
    assert invoke("alerts", "list", CANDLEWORKS_DSN=dsn) == (0, "no alerts\n", "")
    assert invoke("alerts", "list", "--resolved", "1h", CANDLEWORKS_DSN=dsn).output == "no alerts\n"
    assert "resolved" in invoke("alerts", "list", "--resolved", "3h", CANDLEWORKS_DSN=dsn).output


def test_an_alert_is_answered(invoke: Invoke, dsn: str, failing: Connection) -> None:  # noqa: ARG001
    """By a name of one's own or the user's; its history shows who did what."""
    sentence = "alert 1 (freshness, AAPL) is acknowledged by ada\n"
    assert invoke("alerts", "ack", "1", "--by", "ada", CANDLEWORKS_DSN=dsn) == (0, sentence, "")
    muted = invoke("alerts", "mute", "1", "--until", "2030-01-31T08:00", "--reason", "known", CANDLEWORKS_DSN=dsn)
    assert muted == (0, "alert 1 (freshness, AAPL) is silenced until 2030-01-31 08:00 UTC\n", "")
    assert "acknowledged, silenced" in invoke("alerts", "list", CANDLEWORKS_DSN=dsn).output
    shown = invoke("alerts", "show", "1", CANDLEWORKS_DSN=dsn).output
    for words in ("acknowledged_by", "ada", "by ada", "known", "until 2030-01-31"):
        assert words in shown
    unmuted = invoke("alerts", "unmute", "1", CANDLEWORKS_DSN=dsn)
    assert unmuted == (0, "alert 1 (freshness, AAPL) is no longer silenced\n", "")
    told = json.loads(invoke("alerts", "show", "1", "--json", CANDLEWORKS_DSN=dsn).output)
    assert [event["event"] for event in told["history"]] == ["opened", "acknowledged", "silenced", "unsilenced"]


def test_resolving_by_hand_is_notified(invoke: Invoke, dsn: str, failing: Connection, web: Web) -> None:
    """To whoever was notified that it fires, and with who did it: nobody has looked what is observed now."""
    settings = told_to(dsn, web.url)
    deliver(settings, dsn)
    done = invoke("alerts", "resolve", "1", CANDLEWORKS_DSN=dsn)
    assert done.output.startswith("alert 1 (freshness, AAPL) is resolved\n")
    assert invoke("alerts", "list", CANDLEWORKS_DSN=dsn).output.startswith("no alerts\n1 notification waits")
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
    settings = told_to(dsn, web.url)
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
        (("ack", "7"), "There is no unresolved alert 7: choose one of `candleworks alerts list`."),
        (("show", "7"), "There is no alert 7: choose one of `candleworks alerts list`."),
        (
            ("mute", "1", "--reason", "x", "--until", "soon"),
            INVALID_TIME.format("soon"),
        ),
        (
            ("mute", "1", "--reason", "x", "--until", "2020-01-01"),
            "An alert cannot be silenced until 2020-01-01 00:00:00+00, which is past: give a later time.",
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


def test_messages_are_delivered_by_hand(invoke: Invoke, dsn: str, connection: Connection, web: Web) -> None:
    """Status 1 while a receiver does not take one."""
    update(connection, told_to(dsn, web.url), results("failed", "AAPL"))
    web.status = 500
    failed = invoke("alerts", "deliver", CANDLEWORKS_DSN=dsn, CANDLEWORKS_ALERT_URLS=web.url)
    assert (failed.status, failed.output) == (1, "notifications sent: 0, alerts in them: 0, not taken: 1\n")
    listed = invoke("alerts", "list", CANDLEWORKS_DSN=dsn).output
    assert re.search(r"^not delivered yet: 1 to json-[0-9a-f]{10} \(it answered HTTP 500\)$", listed, re.MULTILINE)
    connection.execute("UPDATE alert_deliveries SET next_attempt_at = now()")
    web.status = 200
    done = invoke("alerts", "deliver", CANDLEWORKS_DSN=dsn, CANDLEWORKS_ALERT_URLS=web.url)
    assert (done.status, done.output) == (0, "notifications sent: 1, alerts in them: 1, not taken: 0\n")
    assert len(web.messages) == 1


def test_the_watchdog_runs_until_it_is_told_to_stop(dsn: str, connection: Connection, web: Web, tmp_path: Path) -> None:
    """It delivers what others put into the outbox; there is one per home."""
    (tmp_path / "candleworks.yaml").write_text("alerts: {watch: {interval_seconds: 0.1}}")
    variables = {"CANDLEWORKS_DSN": dsn, "CANDLEWORKS_ALERT_URLS": web.url}
    with started("alerts", "watch", directory=tmp_path, **variables) as watchdog:
        update(connection, told_to(dsn, web.url), results("failed", "AAPL"))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not web.messages:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with started("alerts", "watch", directory=tmp_path, **variables) as other:
            sentence = f"candleworks alerts watch is already running in {tmp_path / 'home'}: one is enough.\n"
            assert ended(other) == (2, "", sentence)
        os.kill(watchdog.pid, signal.SIGHUP)  # its terminal was closed
        assert ended(watchdog).status == 0
    assert [message.title for message in web.messages] == ["WARNING firing: freshness AAPL [candleworks]"]
