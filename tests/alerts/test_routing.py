"""Which process delivers and to which recipients: those of the installation, whichever shell runs a check."""

import logging
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from candleworks.alerts import DeliveryCounts, deliver, update
from candleworks.alerts.routing import START, WATCH, deliverer_name, own_recipients
from candleworks.alerts.watchdog import Watchdog
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.settings import Settings
from tests.alerts.conftest import results, settings_for
from tests.alerts.receivers import SECRET, Mail, Web
from tests.alerts.test_watchdog import few_sessions  # noqa: F401 - the fixture
from tests.cli.conftest import Invoke

on_one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
ROUND = timedelta(minutes=1)


def at_home(settings: Settings, home: Path) -> Settings:
    return settings.model_copy(update={"home": home})


def opened(connection: Connection, settings: Settings, *symbols: str) -> None:
    update(connection, settings, results("failed", *symbols))


def two_days_later(connection: Connection) -> None:
    """Nothing has delivered for two days."""
    connection.execute(
        "UPDATE candleworks.alert_deliverers SET seen_at = now() - '2 days'::interval, runs_until = now()"
    )


def a_failing_check(connection: Connection) -> None:
    """A gap that nobody has filled for two days: `unfilled-gaps` fails."""
    connection.execute(
        "INSERT INTO feed_gaps (feed, started_at, ended_at, reason)"
        " VALUES ('twelvedata', now() - interval '3 days', now() - interval '2 days', 'test')"
    )


def test_a_check_from_another_shell_loses_no_notification(
    invoke: Invoke, dsn: str, connection: Connection, web: Web, mail: Mail, tmp_path: Path
) -> None:
    """It has no addresses, and an empty home: the watchdog of the installation delivers to its recipients, once."""
    settings = at_home(settings_for(dsn, web.url, mail.url), tmp_path)
    watch = Watchdog(settings, dsn)
    watch.run_once()
    a_failing_check(connection)
    found = invoke("check", "system", CANDLEWORKS_DSN=dsn)
    assert "failed: unfilled-gaps of feed/twelvedata: " in found.output
    names = ", ".join(sorted(own_recipients(settings)))
    assert f"1 notification pending: {deliverer_name(settings, WATCH)} delivers to {names}.\n" in found.output
    assert found.errors == ""
    assert (web.messages, mail.mails) == ([], [])
    delivered = invoke("alerts", "deliver", CANDLEWORKS_DSN=dsn)
    assert delivered.output == (
        "0 notifications sent with 0 alerts, 0 failed\n"
        f"{names}: delivered by {deliverer_name(settings, WATCH)}, not by this process.\n"
    )
    for _ in range(2):
        watch.run_once()
    assert [message.title for message in web.messages] == [
        "WARNING firing: unfilled-gaps feed/twelvedata [candleworks]"
    ]
    assert [sent["Subject"] for sent in mail.mails] == [web.messages[0].title]


@on_one_engine
def test_what_waits_before_anything_delivers_is_sent_then(
    invoke: Invoke, dsn: str, connection: Connection, web: Web, tmp_path: Path
) -> None:
    """A check says that nothing delivers; the first watchdog delivers everything."""
    a_failing_check(connection)
    found = invoke("check", "system", CANDLEWORKS_DSN=dsn, CANDLEWORKS_ALERT_URLS=web.url)
    assert f"1 notification pending, but nothing delivers: {START}" in found.output
    assert web.requests == 0
    Watchdog(at_home(settings_for(dsn, web.url), tmp_path), dsn).run_once()
    assert len(web.messages) == 1


@on_one_engine
def test_an_address_that_is_added_later_gets_no_old_events(dsn: str, connection: Connection, web: Web) -> None:
    """Only what happens from then on; one that is removed gets nothing more."""
    with Web().listening() as later:
        opened(connection, settings_for(dsn, web.url), "AAPL")
        deliver(settings_for(dsn, web.url), dsn)
        both = settings_for(dsn, web.url, later.url)
        assert deliver(both, dsn) == DeliveryCounts()
        opened(connection, both, "MSFT")
        assert deliver(both, dsn) == DeliveryCounts(notifications=2, alerts=2)
        opened(connection, both, "TSLA")
        deliver(settings_for(dsn, later.url), dsn)
    assert [message.title.split()[3] for message in web.messages] == ["AAPL", "MSFT"]
    assert [message.title.split()[3] for message in later.messages] == ["MSFT", "TSLA"]


@on_one_engine
def test_a_deliverer_without_addresses_takes_nothing_from_those_that_have_some(
    dsn: str, connection: Connection, web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even when those were not seen for days: notifications wait for them. Its log says where they go."""
    settings, silent = at_home(settings_for(dsn, web.url), tmp_path / "a"), at_home(settings_for(dsn), tmp_path / "b")
    deliver(settings, dsn, ROUND)
    for wait in (lambda: None, lambda: two_days_later(connection)):
        wait()
        opened(connection, silent, f"S{len(web.messages)}")
        assert deliver(silent, dsn, ROUND) == deliver(silent, dsn) == DeliveryCounts()
        assert deliver(settings, dsn, ROUND).notifications == 1
    (name,) = own_recipients(settings)
    with caplog.at_level(logging.WARNING):
        watch = Watchdog(silent, dsn)
        for _ in range(3):
            watch.run_once()
    sentence = f"CANDLEWORKS_ALERT_URLS is not set here: notifications go to {name}, delivered by"
    assert [record.getMessage().startswith(sentence) for record in caplog.records].count(True) == 1


@on_one_engine
def test_only_an_installation_without_addresses_logs(
    invoke: Invoke, dsn: str, connection: Connection, web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When a watchdog is restarted without addresses, the log is its recipient from then on."""
    deliver(at_home(settings_for(dsn, web.url), tmp_path), dsn, ROUND)
    silent = at_home(settings_for(dsn), tmp_path)
    deliver(silent, dsn, ROUND)
    opened(connection, silent, "AAPL")
    other = invoke("alerts", "deliver", CANDLEWORKS_DSN=dsn, CANDLEWORKS_ALERT_URLS=web.url)
    assert other.output.endswith(f"log: delivered by {deliverer_name(silent, WATCH)}, not by this process.\n")
    assert deliver(silent, dsn, ROUND) == DeliveryCounts(notifications=1, alerts=1)
    assert "WARNING firing: freshness AAPL" in caplog.text
    assert web.requests == 0


def test_two_installations_with_different_recipients_are_a_warning(
    invoke: Invoke, dsn: str, connection: Connection, web: Web, other_web: Web, tmp_path: Path
) -> None:
    """By the log of the second, by `doctor` and by `alerts list`; every recipient gets everything once."""
    first, second = (
        at_home(settings_for(dsn, each.url), tmp_path / name) for each, name in ((web, "a"), (other_web, "b"))
    )
    watches = [Watchdog(settings, dsn) for settings in (first, second)]
    for watch in watches * 2:
        watch.run_once()
    opened(connection, first, "AAPL")
    for watch in watches * 2:
        watch.run_once()
    assert [len(each.messages) for each in (web, other_web)] == [1, 1]
    each = "; ".join(
        f"{socket.gethostname()}:{settings.home} (alerts watch) to {own_recipients(settings)[0]}"
        for settings in (first, second)
    )
    sentence = f"2 installations deliver the notifications of this database to different recipients: {each}."
    for arguments in (("alerts", "list"), ("alerts", "recipients")):
        assert sentence in invoke(*arguments, CANDLEWORKS_DSN=dsn).output
    doctor = invoke("doctor", CANDLEWORKS_DSN=dsn, COLUMNS="1000").output
    assert sentence in doctor
    stored = connection.execute("SELECT string_agg(d::text, ' ') FROM candleworks.alert_deliverers d").fetchone()
    assert SECRET not in f"{stored}{doctor}"


@on_one_engine
def test_the_second_installation_says_once_that_there_is_another(
    dsn: str, web: Web, other_web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And says it no more when they agree."""
    Watchdog(at_home(settings_for(dsn, web.url), tmp_path / "a"), dsn).run_once()
    second = Watchdog(at_home(settings_for(dsn, other_web.url), tmp_path / "b"), dsn)
    for _ in range(4):
        second.run_once()
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [sentence.startswith("2 installations deliver") for sentence in said].count(True) == 1
    caplog.clear()
    same = Watchdog(at_home(settings_for(dsn, web.url), tmp_path / "b"), dsn)
    for _ in range(2):
        same.run_once()
    caplog.clear()
    same.run_once()
    assert "2 installations" not in caplog.text


@on_one_engine
def test_a_recipient_is_removed(invoke: Invoke, dsn: str, connection: Connection, web: Web) -> None:
    """With what waits for it; an unknown name is an error."""
    settings = settings_for(dsn, web.url)
    (name,) = own_recipients(settings)
    web.status = 500
    opened(connection, settings, "AAPL")
    deliver(settings, dsn)
    done = invoke("alerts", "recipients", "--remove", name, CANDLEWORKS_DSN=dsn)
    assert done.output == f"removed {name} and 1 notification waiting for it\n"
    assert connection.execute("SELECT count(*) FROM alert_deliveries").fetchone() == (0,)
    again = invoke("alerts", "recipients", "--remove", name, CANDLEWORKS_DSN=dsn)
    sentence = f"There is no recipient '{name}': choose one from `candleworks alerts recipients`.\n"
    assert (again.status, again.errors) == (2, sentence)


@on_one_engine
def test_a_watch_that_stopped_is_known_at_once(
    invoke: Invoke, dsn: str, connection: Connection, tmp_path: Path
) -> None:
    """A check does not say that it delivers; notifications wait for its recipients."""
    settings = at_home(settings_for(dsn, "json://127.0.0.1:1/x"), tmp_path)
    watch = Watchdog(settings, dsn)
    watch.run_once()
    assert "running" in invoke("alerts", "recipients", CANDLEWORKS_DSN=dsn).output
    watch.stop()
    assert "not running" in invoke("alerts", "recipients", CANDLEWORKS_DSN=dsn).output
    opened(connection, settings, "AAPL")
    listed = invoke("alerts", "list", CANDLEWORKS_DSN=dsn).output
    (name,) = own_recipients(settings)
    assert f"1 notification pending for {name}, but nothing delivers: {START}.\n" in listed
