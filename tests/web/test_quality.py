"""The page of checks, asked over HTTP."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from candleworks.alerts import CheckResult, update
from candleworks.database.connection import Connection
from candleworks.settings import load_settings
from candleworks.storage.quality import save_results
from tests.storage.reads import counted
from tests.web.conftest import serving

NOW = datetime.now(UTC).replace(microsecond=0)


def result(check: str, subject: str, status: Any, minutes_ago: int = 0, **columns: Any) -> CheckResult:
    at = NOW - timedelta(minutes=minutes_ago)
    facts: dict[str, Any] = {"suite": "ticks", "severity": "warning", "observed": None, "expected": None}
    facts |= {"sample": None, "window_from": at, "window_until": at, "seconds": 0.1, "at": at}
    return CheckResult(check=check, subject=subject, status=status, **facts | columns)


def rows(page: str) -> list[list[str]]:
    """The texts of the cells of all rows."""
    bodies = re.findall(r"<tr class.*?</tr>", page)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in bodies]
    return [[re.sub(r"<title>.*?</title>|<[^>]*>", "", cell) for cell in row] for row in cells]


def keep(connection: Connection, *results: CheckResult) -> None:
    save_results(connection, results, {})


def test_a_fresh_database_says_that_no_check_has_run(client: httpx.Client) -> None:
    """Nothing is known, and nothing is claimed."""
    page = client.get("/quality")
    assert page.status_code == 200
    assert "No check has run yet" in page.text
    assert client.get("/quality.json").json() == []


def test_trouble_stands_first_with_what_was_seen_and_since_when(client: httpx.Client, connection: Connection) -> None:
    """The newest result counts; a failure is told since its first time in a row."""
    keep(
        connection,
        result("freshness", "AAPL", "passed", 30),
        result("freshness", "AAPL", "failed", 20),
        result("freshness", "AAPL", "failed", 1, observed="no tick for 900 s", expected="one within 600 s"),
        result("price-jump", "stocks_real_time", "passed", 1),
        result("tick-rate", "stocks_real_time", "error", 1, observed="(psycopg) boom"),
    )
    page = client.get("/quality").text
    assert "1 failed, 1 error" in page
    (broke_cells, failed_cells, passed_cells) = rows(page)
    broke, failed = (f"{NOW - timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S}" for minutes in (1, 20))
    assert broke_cells[:6] == ["error", "tick-rate", "stocks_real_time", "warning", broke, "(psycopg) boom"]
    assert failed_cells[:5] == ["failed", "freshness", "AAPL", "warning", failed]
    assert failed_cells[5:7] == ["no tick for 900 s", "one within 600 s"]
    assert passed_cells[5:7] == ["as expected", "no price is far from the recent median; names likely splits"]
    assert page.index("Failures") < page.index("Passed: ticks")
    states = client.get("/quality.json").json()
    assert [(state["check"], state["status"]) for state in states] == [
        ("tick-rate", "error"), ("freshness", "failed"), ("price-jump", "passed"),
    ]  # fmt: skip


def test_a_strip_shows_the_last_day_of_each_check(client: httpx.Client, connection: Connection) -> None:
    """The worst status of each half-hour by height and colour, and in words; what is older is not there."""
    keep(
        connection,
        result("freshness", "AAPL", "failed", 60 * 25),
        result("freshness", "AAPL", "error", 60 * 3),
        result("freshness", "MSFT", "passed", 60 * 3),
        result("freshness", "AAPL", "passed", 60 * 5),
        result("freshness", "AAPL", "failed"),
    )
    page = client.get("/quality/freshness").text
    strips = re.findall(r'<svg class="strip" role="img" aria-label="([^"]*)".*?</svg>', page)
    assert set(strips) == {
        f"Last 24 hours: 2 of 48 half-hours not passed, the newest at {half_hour(NOW):%H:%M}",
    }
    bars = re.findall(r'<rect class="(\w+)" x="\d+" y="\d+" width="3" height="(\d+)">', page.partition("</svg>")[0])
    assert len(bars) == 48
    assert [bar for bar in bars if bar[0] != "none"] == [("passed", "5"), ("error", "11"), ("failed", "16")]


def half_hour(at: datetime) -> datetime:
    return at.replace(minute=30 * (at.minute // 30))


def test_what_a_check_said_before_it_failed_is_not_shown_as_present(
    client: httpx.Client, connection: Connection
) -> None:
    """It passed as a whole earlier; that symbols pass besides is as new as the failure."""
    keep(connection, result("freshness", "stocks_real_time", "passed", 10, observed="old"))
    keep(connection, result("freshness", "AAPL", "failed", 1), result("freshness", "MSFT", "passed", 1))
    assert "Passed: ticks" in client.get("/quality").text
    for path in ("/quality", "/quality/freshness"):
        page = client.get(path).text.partition("Recent results")[0]
        assert "stocks_real_time" not in page
        assert page.count("MSFT") == 1


def test_a_check_has_a_page_with_the_rows_that_offend(client: httpx.Client, connection: Connection) -> None:
    """Alerts lead here."""
    keep(connection, result("price-jump", "AAPL", "failed", sample=[{"price": 1.5, "median": 100}]))
    page = client.get("/quality/price-jump").text
    assert "Rows of AAPL" in page
    assert "&quot;price&quot;: 1.5" in page
    assert "There are no results of x" in client.get("/quality/x").text


def test_what_came_in_is_shown_as_text(client: httpx.Client, connection: Connection) -> None:
    """Reasons and symbols are the vendor's words; none of them becomes markup."""
    words = "<script>alert(1)</script>"
    keep(connection, result("never-seen", "<b>X", "failed", observed=words, sample=[{"a": "</pre><b>"}]))
    for path in ("/quality", "/quality/never-seen", "/quality/%3Cscript%3E"):
        page = client.get(path).text
        assert "<script>" not in page
        assert "<b>" not in page


def test_the_page_needs_nothing_from_elsewhere(client: httpx.Client, connection: Connection) -> None:
    """Every address in it is of this server, and is served."""
    keep(connection, result("price-jump", "AAPL", "failed"))
    page = client.get("/quality").text
    addresses = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert addresses
    assert all(address.startswith("/") and not address.startswith("//") for address in addresses)
    assert {client.get(address).status_code for address in addresses} == {200}


def test_a_database_that_is_away_is_told(tmp_path: Any) -> None:
    """As for every other page: status 503 and one sentence."""
    with serving(f"postgresql://localhost/x?host={tmp_path}") as url:
        assert httpx.get(f"{url}quality", timeout=30).status_code == 503


@pytest.mark.parametrize("symbols", [50])
def test_the_present_state_is_read_without_the_history(connection: Connection, symbols: int) -> None:
    """A month of results costs index probes, not a scan."""
    connection.execute(
        'INSERT INTO quality_results ("check", subject, suite, severity, status, at)'
        " SELECT 'c', 's' || n %% %s, 'ticks', 'info', 'passed', now() - n * interval '1 minute'"
        " FROM generate_series(1, 20000) n", [symbols],
    )  # fmt: skip
    connection.execute("VACUUM ANALYZE quality_results")
    before = scans(connection)
    assert len(connection.execute("SELECT * FROM candleworks.quality_now()").fetchall()) == symbols
    assert scans(connection) == before
    connection.execute("SELECT max(observed) FROM quality_results")
    assert scans(connection) > before


def scans(connection: Connection) -> int:
    """Count the sequential scans of the table so far."""
    return counted(connection, "seq_scan", "SELECT 'quality_results'::regclass")


def open_alert(connection: Connection, check: str, *statuses: Any, until: datetime = NOW) -> None:
    """A result a minute, the last one a minute before `until`."""
    at = until - timedelta(minutes=len(statuses))
    for minute, status in enumerate(statuses):
        moment = at + timedelta(minutes=minute)
        result = CheckResult(
            check, "feed/<b>", "critical", status, "0 ticks in the last 120 s", "at least 1 tick", moment
        )
        update(connection, load_settings({}), [result])


def test_the_link_of_a_watchdogs_alert_leads_to_the_alert(client: httpx.Client, connection: Connection) -> None:
    """It keeps no results: the page says what its alert means, since when it is open, and what was observed."""
    page = client.get("/quality/watch-feed").text
    assert "of its symbols is open.</p><p>First step when it fails: Check the status of the vendor" in page
    assert "no active alerts" in page
    open_alert(connection, "watch-feed", "failed", "failed", "passed")
    page = client.get("/quality/watch-feed").text
    (cells,) = rows(page)
    assert cells[0] == "firing"
    assert cells[3:6] == ["feed/&lt;b&gt;", "critical", f"{NOW - timedelta(minutes=3):%Y-%m-%d %H:%M:%S}"]
    assert cells[7:10] == ["2", "0 ticks in the last 120 s", "at least 1 tick"]
    assert "1 failed" in page
    assert "<b>" not in page
    open_alert(connection, "watch-feed", "passed", until=NOW + timedelta(minutes=1))
    page = client.get("/quality/watch-feed").text
    assert "no active alerts" in page
    assert ">resolved " in page


def test_open_alerts_stand_on_the_overview(client: httpx.Client, connection: Connection) -> None:
    """Also those of the watchdog, so that it does not say that all checks passed; those that ended do not."""
    keep(connection, result("price-jump", "stocks_real_time", "passed", 1))
    open_alert(connection, "price-jump", "failed", "passed", until=NOW - timedelta(minutes=1))
    assert "no failures; active alerts are resolved by the next passes" in client.get("/quality").text
    open_alert(connection, "price-jump", "passed")
    open_alert(connection, "watch-spool", "failed", "passed", "passed")
    page = client.get("/quality").text
    assert "all checks passed" in page
    assert "watch-spool" not in page
    open_alert(connection, "watch-feed", "failed")
    page = client.get("/quality").text
    assert "1 failed" in page
    assert "all checks passed" not in page
    assert '<a href="/quality/watch-feed">watch-feed</a>' in page
