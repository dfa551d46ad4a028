"""What messages say, and to whom they go."""

from datetime import UTC, datetime, timedelta

import pytest

from candleworks.alerts.destinations import destinations
from candleworks.alerts.message import compose
from candleworks.errors import ConfigurationError
from candleworks.model.alerts import Told
from candleworks.settings import Settings, load_settings
from tests.alerts.receivers import Web
from tests.cli.conftest import Invoke

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
LONG = (250, 32_768)


def told(subject: str = "AAPL", **fields: object) -> Told:
    facts = {"event": "opened", "check": "freshness", "severity": "warning", "result": "failed", "count": 1}
    facts |= {"observed": "312 s", "expected": "at most 120 s", "opened_at": NOON, "at": NOON}
    return Told(subject=subject, **(facts | fields))  # type: ignore[arg-type]


@pytest.fixture
def plain() -> Settings:
    return load_settings({})


def test_what_happened_is_sorted_by_what_is_worst(plain: Settings) -> None:
    """First what failed, last what is well again, each with its check and its page."""
    events = [
        told("A", event="resolved", at=NOON + timedelta(minutes=12), count=3),
        told("ticks", check="volume-back", result="error", observed="division by zero\nHINT: none", expected=None),
        told("AAPL", severity="critical"),
        told("TSLA"),
        told("ETH/USD", event="escalated", count=7),
    ]
    message = compose(events, plain, LONG)
    assert message.title == "candleworks: 2 failed, 1 broke, 1 still failing, 1 well again"
    assert message.body.splitlines() == [
        "freshness failed: 2 subjects (critical, warning)",
        "- AAPL: observed 312 s, expected at most 120 s, since 2026-01-05 12:00:00 UTC",
        "- TSLA: observed 312 s, expected at most 120 s, since 2026-01-05 12:00:00 UTC",
        "  http://127.0.0.1:8050/quality/freshness",
        "volume-back broke: 1 subject (warning)",
        "- ticks: the check itself broke: division by zero HINT: none, since 2026-01-05 12:00:00 UTC",
        "  http://127.0.0.1:8050/quality/volume-back",
        "freshness still failing: 1 subject (warning)",
        "- ETH/USD: observed 312 s, expected at most 120 s, since 2026-01-05 12:00:00 UTC, 7 times",
        "  http://127.0.0.1:8050/quality/freshness",
        "freshness well again: 1 subject (warning)",
        "- A: observed 312 s, expected at most 120 s, since 2026-01-05 12:00:00 until 2026-01-05 12:12:00 UTC, 3 times",
        "  http://127.0.0.1:8050/quality/freshness",
    ]
    assert not message.good
    assert compose([events[0]], plain, LONG).good


@pytest.mark.parametrize("length", [30_000, 4_096, 1_000, 280, 40])
def test_a_message_is_as_long_as_its_receiver_takes(plain: Settings, length: int) -> None:
    """Fewer subjects are named, and how many there are is still said."""
    events = [told(f"S{number:03}", observed="x" * 500) for number in range(500)]
    message = compose(events, plain, (30, length))
    assert len(message.body) <= length
    assert message.title == "candleworks: 500 failed"
    assert message.body.startswith("freshness failed: 500 subjects"[:37])
    if length > 1_000:
        assert "more\n" in message.body


def test_addresses_are_told_apart() -> None:
    """By commas or spaces between them, not by commas inside one; each has a name of its own, without its secrets."""
    text = "mailto://me:s3cret@example.org?to=a@example.org,b@example.org, json://host/s3cret,  slack://s3cret/x/y ,"
    settings = load_settings({"CANDLEWORKS_ALERT_URLS": text})
    assert [url.get_secret_value() for url in settings.alert_urls] == [
        "mailto://me:s3cret@example.org?to=a@example.org,b@example.org",
        "json://host/s3cret",
        "slack://s3cret/x/y",
    ]
    names = [destination.name for destination in destinations(settings)]
    assert [name.partition("-")[0] for name in names] == ["mailto", "json", "slack"]
    assert len(set(names)) == 3
    assert "s3cret" not in f"{settings!r}{names}{settings.model_dump_json()}"


@pytest.mark.parametrize("text", ["s3cret", "json://host s3cret", "s3cret, json://host", "://s3cret"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """At the start, without repeating it."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"CANDLEWORKS_ALERT_URLS": text})
    assert str(caught.value) == (
        "the environment: CANDLEWORKS_ALERT_URLS is (secret), allowed is addresses of apprise such as json://host/path,"
        " separated by commas."
    )


def test_links_lead_where_they_are_configured() -> None:
    """The page may be known by another address than the one on this machine."""
    settings = load_settings({"CANDLEWORKS_WEB_PORT": "8051"})
    assert "  http://127.0.0.1:8051/quality/freshness" in compose([told()], settings, LONG).body
    linked = {"page_url": "https://candles.example/", "dashboard_url": "https://grafana.example/d/quality"}
    settings = settings.model_copy(update={"alerts": settings.alerts.model_copy(update=linked)})
    assert compose([told()], settings, LONG).body.splitlines()[2:] == [
        "  https://candles.example/quality/freshness",
        "Dashboard: https://grafana.example/d/quality",
    ]


def test_receivers_are_tried_out(invoke: Invoke, web: Web) -> None:
    """Without a database, and with what each said."""
    done = invoke("alerts", "test", CANDLEWORKS_ALERT_URLS=f"{web.url},json://127.0.0.1:1/x")
    assert done.status == 1
    said = [line.partition(": ")[2] for line in done.output.splitlines()]
    assert said == ["taken", "not taken (it refused the connection)"]
    assert [message.title for message in web.messages] == ["candleworks: a test"]
