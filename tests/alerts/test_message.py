"""What notifications say, and to whom they go."""

import socket
from datetime import UTC, datetime, timedelta

import pytest

from candleworks.alerts.durations import in_words, with_words
from candleworks.alerts.first_steps import FIRST_STEPS
from candleworks.alerts.message import compose
from candleworks.alerts.recipients import recipients
from candleworks.alerts.watchdog import MEANINGS
from candleworks.errors import ConfigurationError
from candleworks.model.alerts import Told
from candleworks.quality.registry import CHECKS
from candleworks.quality.run import WHOLE_RUN
from candleworks.settings import Settings, load_settings
from tests.alerts.receivers import Web
from tests.cli.conftest import Invoke
from tests.quality.test_pages import DOCS

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
LONG = (250, 32_768)


def told(subject: str = "AAPL", **fields: object) -> Told:
    facts = {"event": "opened", "check": "freshness", "severity": "warning", "result": "failed", "count": 1}
    facts |= {"observed": "312 s", "expected": "at most 120 s", "opened_at": NOON, "at": NOON}
    return Told(subject=subject, **(facts | fields))  # type: ignore[arg-type]


@pytest.fixture
def plain() -> Settings:
    return load_settings({})


def test_one_alert_is_read_on_a_phone(plain: Settings) -> None:
    """The subject names check, subject, severity and state; the body what, since when, what to do first and a link."""
    silent = told("feed/ticks", check="feed-silent", severity="critical", observed="no tick for 101,962,167 s", count=3)
    message = compose([silent], plain, LONG, NOON + timedelta(seconds=64))
    assert (message.title, message.level) == ("CRITICAL firing: feed-silent feed/ticks [candleworks]", "critical")
    assert message.body.splitlines() == [
        "CRITICAL firing: feed-silent",
        "feed/ticks: no tick for 3 years",
        "Firing since 2026-01-05 12:00:00 UTC (64 s ago), failed 3 times",
        "Expected: at most 2 min",
        "Do first: Run candleworks status: does the ingest run, and what does its log say?",
        "",
        "http://127.0.0.1:8050/quality/feed-silent",
    ]


def test_resolved_shows_the_value_now(plain: Settings) -> None:
    """Not the last one that failed; where the check has none, it is back to normal."""
    ended = {"event": "resolved", "at": NOON + timedelta(minutes=12)}
    body = compose([told(observed="3 s", **ended)], plain, LONG, NOON).body
    assert body.splitlines()[:4] == [
        "WARNING resolved: freshness",
        "AAPL now: 3 s",
        "Fired for 12 min, from 2026-01-05 12:00:00 to 2026-01-05 12:12:00 UTC",
        "Expected: at most 2 min",
    ]
    assert "Do first" not in body
    assert "AAPL: back to normal\n" in compose([told(observed=None, **ended)], plain, LONG, NOON).body


def test_several_alerts_are_sorted_by_what_is_worst(plain: Settings) -> None:
    """First what is critical, last what is resolved; what fired and was resolved meanwhile is resolved."""
    ended = {"event": "resolved", "at": NOON + timedelta(minutes=12), "count": 3}
    events = [
        told("A", observed="3 s", **ended),
        told("ticks", check="volume-back", result="error", observed="division by zero\nHINT: none", expected=None),
        told("TSLA", alert_id=1),
        told("NVDA", alert_id=2),
        told("NVDA", alert_id=2, **ended | {"at": NOON + timedelta(minutes=11)}),
        told("BTC/USD", expected="at most 900 s"),
        told("AAPL", severity="critical"),
        told("ETH/USD", event="escalated", count=7),
    ]
    message = compose(events, plain, LONG, NOON + timedelta(hours=3))
    assert message.title == "CRITICAL firing: freshness AAPL, 4 more firing, 2 resolved [candleworks]"
    assert message.level == "critical"
    step = "Do first: Check whether the symbol is halted; many symbols at once mean that their feed is silent."
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
        "WARNING check error: volume-back",
        "ticks: not checked, because the check failed: division by zero HINT: none",
        f"F{since}",
        "Do first: Look whether the vendor restarted its total: then there is nothing to mend.",
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
    events = [told(f"S{number:03}", observed="x" * 500) for number in range(500)]
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
    sentence = f"This link opens only on {socket.gethostname()}. Set alerts.page_url in candleworks.yaml"
    assert sentence in compose([told()], plain, LONG, NOON, first=True).body
    assert sentence not in compose([told()], plain, LONG, NOON).body
    linked = plain.model_copy(update={"alerts": plain.alerts.model_copy(update={"page_url": "https://c.example"})})
    assert "This link" not in compose([told()], linked, LONG, NOON, first=True).body


def test_every_check_says_what_to_do_first() -> None:
    """In one place; its page begins its advice with the same sentence."""
    assert set(FIRST_STEPS) == {check.name for check in CHECKS} | set(MEANINGS) | {WHOLE_RUN}
    for check in CHECKS:
        page = (DOCS / "checks" / f"{check.name}.md").read_text()
        assert f"\n## What to do\n\n{FIRST_STEPS[check.name]}\n" in page
    page = (DOCS / "reference" / "checks.md").read_text()
    for name in (*MEANINGS, WHOLE_RUN):
        assert FIRST_STEPS[name] in page


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
def test_lengths_of_time_are_said_in_words(seconds: float, words: str) -> None:
    """In two units at most."""
    assert in_words(seconds) == words


def test_times_in_an_observation_are_said_in_words() -> None:
    """How long they are ago, and seconds; other numbers are left alone, and a time to come."""
    text = "stored until 2026-01-05 10:00 UTC, 101,962,167 s before the newest tick, 4.5 s, 30 symbols, 300 ms"
    words = text.replace("101,962,167 s", "3 years").replace("UTC", "UTC (2 h ago)")
    assert with_words(text, NOON) == words
    assert with_words("closed until 2026-01-06 09:30:00 UTC", NOON) == "closed until 2026-01-06 09:30:00 UTC"


def test_addresses_are_told_apart() -> None:
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
def test_what_is_no_address_is_refused(text: str) -> None:
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
    assert compose([told()], settings, LONG, NOON).body.endswith("\n\nhttp://127.0.0.1:8051/quality/freshness")
    linked = {"page_url": "https://candles.example/", "dashboard_url": "https://grafana.example/d/quality"}
    settings = settings.model_copy(update={"alerts": settings.alerts.model_copy(update=linked)})
    assert compose([told()], settings, LONG, NOON).body.splitlines()[-2:] == [
        "https://candles.example/quality/freshness",
        "Dashboard: https://grafana.example/d/quality",
    ]


def test_receivers_are_tried_out(invoke: Invoke, web: Web) -> None:
    """Without a database, and with what each said."""
    done = invoke("alerts", "test", CANDLEWORKS_ALERT_URLS=f"{web.url},json://127.0.0.1:1/x")
    assert done.status == 1
    said = [line.partition(": ")[2] for line in done.output.splitlines()]
    assert said == ["taken", "not taken (it refused the connection)"]
    assert [message.title for message in web.messages] == ["candleworks: a test"]
