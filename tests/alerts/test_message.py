"""The text of notifications, and their addresses."""

import re
import socket
import time
from datetime import UTC, datetime, timedelta

import pytest

from candleworks.alerts.message import compose, duration, readable_times
from candleworks.alerts.recipients import recipients
from candleworks.alerts.runbook import CHECK_RUNBOOK, WATCHDOG_RUNBOOK
from candleworks.errors import ConfigurationError
from candleworks.model.alerts import Alert, Notification
from candleworks.quality.registry import CHECKS
from candleworks.quality.run import CHECK_RUN
from candleworks.settings import Settings, load_settings
from tests.alerts.receivers import Web
from tests.cli.conftest import Invoke
from tests.quality.test_pages import DOCS

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
LONG = (250, 32_768)


def event(subject: str = "AAPL", *, name: str = "opened", at: datetime = NOON, **fields: object) -> Notification:
    facts: dict[str, object] = {"check": "freshness", "severity": "warning", "result": "failed", "opened_at": NOON}
    facts |= {"last_seen_at": NOON, "checked_at": NOON, "observed": "312 s", "expected": "at most 120 s"}
    alert = Alert(subject=subject, **(facts | fields))  # type: ignore[arg-type]
    return Notification(event=name, alert=alert, at=at)  # type: ignore[arg-type]


@pytest.fixture
def plain() -> Settings:
    return load_settings({})


def test_one_alert_is_read_on_a_phone(plain: Settings) -> None:
    """The subject names check, subject, severity and state; the body what, since when, what to do first and a link."""
    silent = event("feed/ticks", check="watch-feed", severity="critical", observed="no tick for 101,962,167 s", count=3)
    message = compose([silent], plain, LONG, NOON + timedelta(seconds=64))
    assert (message.title, message.level) == ("CRITICAL firing: watch-feed feed/ticks [candleworks]", "critical")
    assert message.body.splitlines() == [
        "CRITICAL firing: watch-feed",
        "feed/ticks: no tick for 3 years",
        "Firing since 2026-01-05 12:00:00 UTC (64 s ago), failed 3 times",
        "Expected: at most 2 min",
        "First step: Check the status of the vendor, your API key, and feed_symbols for refused symbols.",
        "",
        "http://127.0.0.1:8050/quality/watch-feed",
    ]


def test_resolved_shows_the_value_now(plain: Settings) -> None:
    """Not the last one that failed; where the check has none, it is back to normal."""
    ended = {"name": "resolved", "at": NOON + timedelta(minutes=12)}
    body = compose([event(observed="3 s", **ended)], plain, LONG, NOON).body
    assert body.splitlines()[:4] == [
        "WARNING resolved: freshness",
        "AAPL now: 3 s",
        "Fired for 12 min, from 2026-01-05 12:00:00 to 2026-01-05 12:12:00 UTC",
        "Expected: at most 2 min",
    ]
    assert "First step" not in body
    assert "AAPL: back to normal\n" in compose([event(observed=None, **ended)], plain, LONG, NOON).body


def test_several_alerts_are_sorted_by_what_is_worst(plain: Settings) -> None:
    """First what is critical, last what is resolved; what fired and was resolved meanwhile is resolved."""
    ended = {"name": "resolved", "at": NOON + timedelta(minutes=12), "count": 3}
    events = [
        event("A", observed="3 s", **ended),
        event("ticks", check="volume-decrease", result="error", observed="division by zero\nHINT: none", expected=None),
        event("TSLA", id=1),
        event("NVDA", id=2),
        event("NVDA", id=2, **ended | {"at": NOON + timedelta(minutes=11)}),
        event("BTC/USD", expected="at most 900 s"),
        event("AAPL", severity="critical"),
        event("ETH/USD", name="escalated", count=7),
    ]
    message = compose(events, plain, LONG, NOON + timedelta(hours=3))
    assert message.title == "CRITICAL firing: freshness AAPL, 4 more firing, 2 resolved [candleworks]"
    assert message.level == "critical"
    step = "First step: Check whether trading in the symbol is halted."
    since = "iring since 2026-01-05 12:00:00 UTC (3 h ago)"
    assert message.body.splitlines() == [
        "CRITICAL firing: freshness",
        "AAPL: 5 min 12 s",
        f"F{since}",
        "Expected: at most 2 min",
        step,
        "",
        "WARNING firing: freshness, 2 subjects",
        "- TSLA: 5 min 12 s; expected at most 2 min",
        "- BTC/USD: 5 min 12 s; expected at most 15 min",
        f"F{since}",
        step,
        "",
        "WARNING check error: volume-decrease",
        "ticks: the check could not be run: division by zero HINT: none",
        f"F{since}",
        "First step: Run candleworks check: it prints the reason.",
        "",
        "WARNING still firing: freshness",
        "ETH/USD: 5 min 12 s",
        f"F{since}, failed 7 times",
        "Expected: at most 2 min",
        step,
        "",
        "WARNING resolved: freshness, 2 subjects",
        "- A now: 3 s; fired for 12 min, from 2026-01-05 12:00:00 to 2026-01-05 12:12:00 UTC",
        "- NVDA now: 5 min 12 s; fired for 11 min, from 2026-01-05 12:00:00 to 2026-01-05 12:11:00 UTC",
        "Expected: at most 2 min",
        "",
        "http://127.0.0.1:8050/quality",
    ]
    assert compose([events[0]], plain, LONG, NOON).level == "resolved"


@pytest.mark.parametrize("length", [30_000, 4_096, 1_000, 280, 40])
def test_a_notification_is_as_long_as_its_recipient_takes(plain: Settings, length: int) -> None:
    """Fewer subjects are named, and how many there are is still said; the link is kept while there is room."""
    events = [event(f"S{number:03}", observed="x" * 500) for number in range(500)]
    message = compose(events, plain, (30, length), NOON)
    assert len(message.body) <= length
    assert message.title == "WARNING firing: freshness S..."
    assert message.body.startswith("WARNING firing: freshness, 500 subjects"[:37])
    if length > 40:
        assert message.body.endswith("\nhttp://127.0.0.1:8050/quality/freshness")
    if length > 1_000:
        assert "more\n" in message.body


def test_the_first_notification_says_when_its_link_does_not_open_elsewhere(plain: Settings) -> None:
    """As long as alerts.page_url is not set, and only the first."""
    sentence = f"This link opens only on {socket.gethostname()}: set alerts.page_url in candleworks.yaml"
    assert sentence in compose([event()], plain, LONG, NOON, first=True).body
    assert sentence not in compose([event()], plain, LONG, NOON).body
    linked = plain.model_copy(update={"alerts": plain.alerts.model_copy(update={"page_url": "https://c.example"})})
    assert "This link" not in compose([event()], linked, LONG, NOON, first=True).body


def test_every_check_has_a_runbook_entry() -> None:
    """Its page, the overview and the notification say the same."""
    assert set(CHECK_RUNBOOK) == {check.name for check in CHECKS} | {CHECK_RUN}
    overview = (DOCS / "reference" / "checks.md").read_text()
    for check in CHECKS:
        entry = CHECK_RUNBOOK[check.name]
        page = (DOCS / "checks" / f"{check.name}.md").read_text()
        assert f"\n## What to do\n\n{entry.first_step}\n" in page
        assert f"(../checks/{check.name}.md) | {check.suite} | {check.severity} | {entry.expects} |" in overview
    for name, entry in {**WATCHDOG_RUNBOOK, CHECK_RUN: CHECK_RUNBOOK[CHECK_RUN]}.items():
        assert re.search(rf"^\| `{name}` \| .* \| {re.escape(entry.first_step)} \|$", overview, re.MULTILINE)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (64.4, "64 s"),
        (120, "2 min"),
        (312, "5 min 12 s"),
        (7_199, "119 min 59 s"),
        (12_059, "3 h 20 min"),
        (172_800, "2 days"),
        (86_400 * 100, "3 months"),
        (101_962_167, "3 years"),
    ],
)
def test_lengths_of_time_are_said_duration(seconds: float, words: str) -> None:
    """In at most two units."""
    assert duration(seconds) == words


def test_times_in_an_observation_are_said_duration() -> None:
    """Seconds, and how long ago a time was; other numbers and future times stay."""
    text = "stored until 2026-01-05 10:00 UTC, 101,962,167 s before the newest tick, 4.5 s, 30 symbols, 300 ms"
    words = text.replace("101,962,167 s", "3 years").replace("UTC", "UTC (2 h ago)")
    assert readable_times(text, NOON) == words
    assert readable_times("closed until 2026-01-06 09:30:00 UTC", NOON) == "closed until 2026-01-06 09:30:00 UTC"


def test_addresses_are_separated() -> None:
    """By commas or spaces between them, not by commas inside one; each has a name of its own, without its secrets."""
    text = "mailto://me:s3cret@example.org?to=a@example.org,b@example.org, json://host/s3cret,  slack://s3cret/x/y ,"
    settings = load_settings({"CANDLEWORKS_ALERT_URLS": text})
    assert [url.get_secret_value() for url in settings.alert_urls] == [
        "mailto://me:s3cret@example.org?to=a@example.org,b@example.org",
        "json://host/s3cret",
        "slack://s3cret/x/y",
    ]
    names = [recipient.name for recipient in recipients(settings)]
    assert [name.partition("-")[0] for name in names] == ["mailto", "json", "slack"]
    assert len(set(names)) == 3
    assert "s3cret" not in f"{settings!r}{names}{settings.model_dump_json()}"


@pytest.mark.parametrize("text", ["s3cret", "json://host s3cret", "s3cret, json://host", "://s3cret"])
def test_an_invalid_address_is_rejected(text: str) -> None:
    """At the start, without repeating it."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"CANDLEWORKS_ALERT_URLS": text})
    assert str(caught.value) == (
        "the environment: CANDLEWORKS_ALERT_URLS is (secret), expected comma-separated Apprise URLs such as"
        " json://host/path."
    )


def test_links_lead_where_they_are_configured() -> None:
    """The page may be known by another address than the one on this machine."""
    settings = load_settings({"CANDLEWORKS_WEB_PORT": "8051"})
    assert compose([event()], settings, LONG, NOON).body.endswith("\n\nhttp://127.0.0.1:8051/quality/freshness")
    linked = {"page_url": "https://candles.example/", "dashboard_url": "https://grafana.example/d/quality"}
    settings = settings.model_copy(update={"alerts": settings.alerts.model_copy(update=linked)})
    assert compose([event()], settings, LONG, NOON).body.splitlines()[-2:] == [
        "https://candles.example/quality/freshness",
        "Dashboard: https://grafana.example/d/quality",
    ]


def test_recipients_are_tested(invoke: Invoke, web: Web) -> None:
    """Without a database, and with what each said."""
    done = invoke("alerts", "test", CANDLEWORKS_ALERT_URLS=f"{web.url},json://127.0.0.1:1/x")
    assert done.status == 1
    said = [line.partition(": ")[2] for line in done.output.splitlines()]
    assert said == ["accepted", "not accepted (connection refused)"]
    assert [message.title for message in web.messages] == ["Test notification [candleworks]"]


def test_separators_cost_no_time() -> None:
    """However many there are between two addresses, or where an address should be."""
    began = time.monotonic()
    load_settings({"CANDLEWORKS_ALERT_URLS": f"json://host{', ' * 20_000}json://other"})
    with pytest.raises(ConfigurationError):
        load_settings({"CANDLEWORKS_ALERT_URLS": f"json://host{', ' * 20_000}s3cret"})
    assert time.monotonic() - began < 2
