"""Acknowledging and silencing on the quality page: who is let in, what it does, and what it leaves behind."""

import re
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest
from psycopg.conninfo import make_conninfo

from candleworks import clock
from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.web.server import PageOptions
from tests.web.browser import Browser, Page, until
from tests.web.conftest import serving
from tests.web.test_quality import open_alert

WITH_ACTIONS = PageOptions(actions=True)


@pytest.fixture
def desk(dsn: str) -> Iterator[httpx.Client]:
    """A client of a server that lets its page change alerts."""
    with serving(dsn, options=WITH_ACTIONS) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture
def alert(connection: Connection) -> int:
    """The number of a firing alert."""
    open_alert(connection, "freshness", "failed")
    return number_of(connection, "freshness")


def number_of(connection: Connection, check: str) -> int:
    row = connection.execute('SELECT id FROM alerts WHERE "check" = %s', [check]).fetchone()
    assert row
    return int(row[0])


def token(client: httpx.Client) -> str:
    found = re.search(r'<meta name="actions" content="([^"]*)">', client.get("/quality").text)
    assert found
    return found[1]


def headers(client: httpx.Client, **others: str | None) -> dict[str, str]:
    """What the page's own requests carry, with differences; None leaves a header out."""
    own = {
        "Origin": str(client.base_url).rstrip("/"),
        "Sec-Fetch-Site": "same-origin",
        "X-Candleworks-Token": token(client),
    }
    given = {name.replace("_", "-"): value for name, value in others.items()}
    return {name: value for name, value in (own | given).items() if value is not None}


def history(connection: Connection, number: int) -> list[tuple[str, str | None]]:
    rows = connection.execute("SELECT event, note FROM alert_events WHERE alert_id = %s ORDER BY id", [number])
    return [(event, note) for event, note in rows.fetchall() if event != "opened"]


def test_an_alert_is_acknowledged_by_the_chart_page(desk: httpx.Client, connection: Connection, alert: int) -> None:
    """The alert says so, and so does its history."""
    answer = desk.post(f"/alerts/{alert}/acknowledge", headers=headers(desk))
    assert (answer.status_code, answer.json()) == (200, {"id": alert, "status": "acknowledged", "silenced_until": None})
    assert history(connection, alert) == [("acknowledged", "by chart page")]
    assert "acknowledged by chart page" in desk.get("/quality").text


def test_an_alert_is_silenced_for_a_time_and_a_reason(desk: httpx.Client, connection: Connection, alert: int) -> None:
    """And heard of again when the silence is ended."""
    body = {"until": "4h", "reason": " the exchange\n is being moved "}
    answer = desk.post(f"/alerts/{alert}/silence", headers=headers(desk), json=body)
    assert answer.status_code == 200
    row = connection.execute("SELECT silenced_until, silence_reason FROM alerts WHERE id = %s", [alert]).fetchone()
    assert row
    assert abs(row[0] - clock.now() - timedelta(hours=4)) < timedelta(minutes=1)
    assert row[1] == "the exchange is being moved"
    assert desk.post(f"/alerts/{alert}/unsilence", headers=headers(desk)).json()["silenced_until"] is None
    (silenced, note), unsilenced = history(connection, alert)
    assert silenced == "silenced"
    assert re.fullmatch(r"until \S+ \S+ by chart page: the exchange is being moved", note or "")
    assert unsilenced == ("unsilenced", "by chart page")


@pytest.mark.parametrize(
    "others",
    [
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost.evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
    ],
)
def test_a_request_of_another_origin_is_refused(
    desk: httpx.Client, connection: Connection, alert: int, others: dict[str, str | None]
) -> None:
    """Another port of this machine is another origin; a request without one does not come from a page."""
    answer = desk.post(f"/alerts/{alert}/acknowledge", headers=headers(desk, **others))
    assert answer.status_code == 403
    assert answer.json()["error"] == "Alerts can only be changed from this server's own pages: open /quality."
    assert history(connection, alert) == []


@pytest.mark.parametrize("wrong", [None, "", "x", "ü"])
def test_a_request_without_the_token_is_refused(
    desk: httpx.Client, connection: Connection, alert: int, wrong: str | None
) -> None:
    """It is in the pages of the running server only."""
    given = headers(desk, X_Candleworks_Token=None)
    given |= {} if wrong is None else {"X-Candleworks-Token": wrong}
    encoded = [(name.encode(), value.encode()) for name, value in given.items()]
    answer = desk.post(f"/alerts/{alert}/acknowledge", headers=encoded)
    assert answer.status_code == 403
    assert answer.json()["error"] == "The page was loaded before the server was started: load it again."
    assert history(connection, alert) == []


def test_a_foreign_host_name_is_refused(desk: httpx.Client, connection: Connection, alert: int) -> None:
    """Even where the origin agrees with it, as after DNS rebinding."""
    given = headers(desk, Origin="http://evil.example", Host="evil.example")
    assert desk.post(f"/alerts/{alert}/acknowledge", headers=given).status_code == 400
    assert history(connection, alert) == []


def test_nothing_changes_by_get(desk: httpx.Client, connection: Connection, alert: int) -> None:
    """Whatever it carries."""
    for action in ("acknowledge", "silence", "unsilence"):
        assert desk.get(f"/alerts/{alert}/{action}", headers=headers(desk)).status_code == 405
    assert history(connection, alert) == []


def test_without_actions_there_are_neither_buttons_nor_changes(
    client: httpx.Client, connection: Connection, alert: int
) -> None:
    """As on an address that other machines reach."""
    page = client.get("/quality").text
    assert "data-action" not in page
    assert token(client) == ""
    answer = client.post(f"/alerts/{alert}/acknowledge", headers=headers(client))
    assert answer.status_code == 403
    assert answer.json()["error"] == "Alerts cannot be changed here: start `candleworks serve` with --actions."
    assert history(connection, alert) == []


def test_a_role_that_may_not_change_alerts_gets_no_buttons(
    dsn: str, connection: Connection, alert: int, server_dsn: str
) -> None:
    """And a request with the token of another time is answered with what to do."""
    role = f"page_reader_{connection.info.backend_pid}"
    connection.execute(f"CREATE ROLE {role} LOGIN")
    connection.execute(f"GRANT USAGE ON SCHEMA candleworks TO {role}")
    connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public, candleworks TO {role}")
    try:
        as_role = serving(make_conninfo(dsn, user=role), options=WITH_ACTIONS)
        with as_role as url, httpx.Client(base_url=url, timeout=30) as client:
            page = client.get("/quality").text
            assert "firing" in page
            assert "data-action" not in page
            connection.execute(f"GRANT UPDATE ON alerts TO {role}")
            connection.execute(f"GRANT INSERT ON alert_events TO {role}")
            allowed = headers(client)
            assert "data-action" in client.get("/quality").text
            assert client.post(f"/alerts/{alert}/acknowledge", headers=allowed).status_code == 200
            connection.execute(f"REVOKE UPDATE ON alerts FROM {role}")
            refused = client.post(f"/alerts/{alert}/unsilence", headers=allowed)
        assert refused.status_code == 409
        assert refused.json()["error"].startswith(f"The role {role} may not change alerts in ")
    finally:
        connection.execute(f"DROP OWNED BY {role}")
        with connect(server_dsn) as admin:
            admin.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("999/acknowledge", None, 409, "There is no unresolved alert 999: choose one from `candleworks alerts list`."),
        (
            "{}/resolve",
            None,
            400,
            "The parameter action is 'resolve', expected one of acknowledge, silence, unsilence.",
        ),
        ("{}/silence", b"", 400, "The parameter body is '', expected until and reason (Input data was truncated)."),
        ("9223372036854775808/acknowledge", None, 400, None),
        ("{}/silence", b'{"until": "4h", "reason": "a\\u0000b"}', 400, None),
        ("{}/silence", b'{"until": "999999999d", "reason": "x"}', 400, None),
        ("{}/silence", b'{"until": "4h"}', 400, None),
        (
            "{}/silence",
            b'{"until": "4h", "reason": " "}',
            400,
            "The parameter reason is '', expected 1 to 200 printable characters.",
        ),
        ("{}/silence", b'{"until": "4h", "reason": "x", "by": "me"}', 400, None),
        (
            "{}/silence",
            b'{"until": "soon", "reason": "x"}',
            400,
            "The parameter until is 'soon', expected a time, or a duration such as 4h or 7d.",
        ),
        ("{}/silence", b'{"until": "2020-01-01", "reason": "x"}', 409, None),
        ("{}/silence", b'"' + b"x" * 3_000, 400, None),
        ("{}/silence", b"\xff\xfe", 400, None),
    ],
)
def test_a_wrong_request_is_explained(
    desk: httpx.Client, connection: Connection, alert: int, path: str, body: bytes | None, status: int, sentence: str
) -> None:
    """In one sentence, and nothing is changed."""
    answer = desk.post(f"/alerts/{path.format(alert)}", headers=headers(desk), content=body)
    assert answer.status_code == status
    assert answer.json()["error"] == (sentence or answer.json()["error"])
    assert history(connection, alert) == []


class _Elsewhere(BaseHTTPRequestHandler):
    """A page of another origin that posts to the address in its query, by a form and by a script."""

    def do_GET(self) -> None:
        target = self.path.partition("?")[2]
        body = (
            f'<form method="post" action="{target}" enctype="text/plain"><button id="go">go</button></form>'
            f"""<script>window.done = fetch("{target}", {{
                method: "POST", mode: "no-cors", body: '{{"until": "4h", "reason": "x"}}'
            }}).then((r) => r.type, String)</script>"""
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The address of a server of another origin on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(browser: Browser, desk: httpx.Client) -> Iterator[Page]:  # noqa: ARG001 - closed before the server stops
    with browser.page() as page:
        yield page


on_one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


@on_one_engine
def test_a_form_of_another_origin_changes_nothing(
    page: Page, desk: httpx.Client, connection: Connection, alert: int, elsewhere: str
) -> None:
    """A real browser posts it from a page of another port and gets the refusal; a script there does no better."""
    for action in ("acknowledge", "silence"):
        target = f"{desk.base_url}alerts/{alert}/{action}"
        page.goto(f"{elsewhere}?{target}")
        assert page.evaluate("window.done") == "TypeError: Failed to fetch"
        page.click("#go")
        page.wait_for(f"location.href === '{target}' && document.readyState === 'complete'")
        assert "Alerts can only be changed from this server" in page.evaluate("document.body.textContent")
    assert history(connection, alert) == []


@on_one_engine
def test_the_buttons_of_the_page_work(page: Page, desk: httpx.Client, connection: Connection, alert: int) -> None:
    """Acknowledge at once; silence after a dialog with a time and a reason, which is required; end the silence."""
    page.goto(f"{desk.base_url}quality")
    page.click("[data-action=acknowledge]")
    until(lambda: history(connection, alert) == [("acknowledged", "by chart page")], 30, "the acknowledgement")
    page.wait_for("document.querySelector('[data-action=acknowledge]') === null")
    page.click("[data-action=silence]")
    page.click("dialog [value=silence]")
    assert page.evaluate("document.querySelector('#silence').open") is True
    page.click("dialog [name=reason]")
    page.type("known")
    page.press("Enter", 13, "\r")
    page.wait_for("document.querySelector('[data-action=unsilence]') !== null")
    assert "silenced until" in page.text("td.state")
    page.click("[data-action=unsilence]")
    page.wait_for("document.querySelector('[data-action=silence]') !== null")
    assert [event for event, _ in history(connection, alert)] == ["acknowledged", "silenced", "unsilenced"]
    assert page.evaluate("document.activeElement.dataset.action") == "silence"


@on_one_engine
def test_an_open_dialog_is_left_by_escape(page: Page, desk: httpx.Client, connection: Connection, alert: int) -> None:
    """Nothing is silenced then, nor by its button Cancel."""
    page.goto(f"{desk.base_url}quality")
    for leave in (lambda: page.press("Escape", 27), lambda: page.click("#cancel")):
        page.click("[data-action=silence]")
        leave()
        page.wait_for("!document.querySelector('#silence').open")
    page.settle()
    assert history(connection, alert) == []


@on_one_engine
def test_a_page_from_before_a_restart_says_so(browser: Browser, dsn: str, connection: Connection, alert: int) -> None:
    """Its token is not known any more; it says what to do."""
    with browser.page() as page:
        with serving(dsn, options=WITH_ACTIONS) as url:
            page.goto(f"{url}quality")
        with serving(dsn, httpx.URL(url).port or 0, WITH_ACTIONS):
            page.click("[data-action=acknowledge]")
            page.wait_for("!document.querySelector('#message').hidden")
            assert page.text("#message") == "The page was loaded before the server was started: load it again."
    assert history(connection, alert) == []
