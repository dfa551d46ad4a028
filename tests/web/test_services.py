"""The states of the linked services, looked at by the server."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest

from candleworks.database.connection import Connection
from candleworks.web import services
from candleworks.web.server import PageOptions
from candleworks.web.services import ServiceLink
from tests.web.browser import until
from tests.web.conftest import serving
from tests.web.test_quality import keep, result


@contextmanager
def service(status: int) -> Iterator[str]:
    """A service whose health has that status."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a service that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def states(url: str) -> dict[str, str]:
    return {row["name"]: row["state"] for row in httpx.get(f"{url}services.json").json()}


def looked(url: str) -> list[dict[str, str]]:
    """What is known once the server has looked."""

    def known() -> list[dict[str, str]] | None:
        rows: list[dict[str, str]] = httpx.get(f"{url}services.json").json()
        return rows if rows[-1]["state"] != "unknown" else None

    return list(until(known, 30, "a look"))


def test_each_service_is_linked_with_its_state(dsn: str) -> None:
    """One that answers is up; one that refuses connections or fails is not reachable."""
    with service(200) as up, service(503) as failing, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        absent = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        links = [ServiceLink(name, url, "api/health") for name, url in (("A", up), ("B", failing), ("C", absent))]
        with serving(dsn, options=PageOptions(services=links)) as url:
            assert looked(url) == [
                {"name": "Quality", "url": "/quality", "state": "unknown", "detail": "No check has run yet."},
                {"name": "A", "url": up, "state": "up", "detail": "A is up."},
                {"name": "B", "url": failing, "state": "unreachable", "detail": f"B does not answer at {failing}"},
                {"name": "C", "url": absent, "state": "unreachable", "detail": f"C does not answer at {absent}"},
            ]


def test_nobody_waits_for_a_service_that_does_not_answer(
    dsn: str, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests are answered with what is known while the server still waits, which it does not do for long."""
    monkeypatch.setattr(services, "PATIENCE_SECONDS", 3.0)
    with serving(dsn, options=PageOptions(services=[ServiceLink("A", silent, "api/health")])) as url:
        assert [states(url)["A"] for _ in range(20)] == ["unknown"] * 20
        assert looked(url)[-1]["state"] == "unreachable"


def test_the_quality_page_is_linked_with_what_fails(
    dsn: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passing, failing with the number of checks, and passing again."""
    monkeypatch.setattr(services, "KEPT_SECONDS", 0.0)
    with serving(dsn) as url:
        for minutes, status, state, detail in (
            (3, "passed", "up", "No check fails."),
            (2, "failed", "failing", "2 failing checks"),
            (1, "passed", "up", "No check fails."),
        ):
            keep(connection, *(result(check, "AAPL", status, minutes) for check in ("freshness", "tick-rate")))
            wanted = {"name": "Quality", "url": "/quality", "state": state, "detail": detail}
            until(lambda wanted=wanted: httpx.get(f"{url}services.json").json() == [wanted], 30, detail)
