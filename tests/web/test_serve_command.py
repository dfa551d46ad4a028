"""`candleworks serve` as a process: start, port, signals, and a database that comes and goes."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.engine import Engine
from candleworks.database.migrations import migrate
from candleworks.database.profiles import WEB
from candleworks.settings import load_settings
from candleworks.storage import read_pool
from tests.web.browser import until
from tests.web.conftest import MONDAY, Store, every_minute, serving

on_one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
PATIENCE_SECONDS = 30


class Served:
    """A running `candleworks serve`."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "candleworks", "serve", *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def url(self) -> str:
        """Read the address from the line that the command prints when it listens."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        found = re.fullmatch(r"chart page (http://127\.0\.0\.1:[0-9]+/)\n", line)
        assert found, line
        return found[1]

    def end(self) -> tuple[int, str]:
        """Wait for the end and return the exit status and the rest of the output."""
        output, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, output


@contextlib.contextmanager
def serve(*arguments: str, **environment: str) -> Iterator[Served]:
    served = Served(*arguments, **environment)
    try:
        yield served
    finally:
        served.process.kill()
        served.process.communicate()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@on_one_engine
def test_a_port_in_use_is_said_in_one_line(dsn: str) -> None:
    """The line names the port and the setting, and the database is not even started."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with serve(CANDLEWORKS_DSN=dsn, CANDLEWORKS_WEB_PORT=str(port)) as served:
            status, output = served.end()
    assert status == 1
    assert output == (
        f"The port {port} of the chart page is in use: set CANDLEWORKS_WEB_PORT to a free port, or give --port.\n"
    )


@on_one_engine
def test_a_duration_ends_by_itself(dsn: str, free_port: int) -> None:
    """`--duration` counts from the start of serving, and ends with 0."""
    with serve("--port", str(free_port), "--duration", "0.5", CANDLEWORKS_DSN=dsn) as served:
        assert served.url() == f"http://127.0.0.1:{free_port}/"
        assert served.end() == (0, "")


@on_one_engine
@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ([], True),
        (["--no-actions"], False),
        (["--host", "localhost"], True),
        (["--host", "0.0.0.0"], False),  # noqa: S104 - what is tested
        (["--host", "0.0.0.0", "--actions"], True),  # noqa: S104 - what is tested
    ],
)
def test_alerts_can_be_changed_where_only_this_machine_gets_in(
    dsn: str, free_port: int, arguments: list[str], allowed: bool
) -> None:
    """On loopback addresses, unless it is chosen otherwise: the page has a token or none."""
    with serve("--port", str(free_port), *arguments, CANDLEWORKS_DSN=dsn) as served:
        page = httpx.get(f"{served.url()}quality").text
    assert ('<meta name="actions" content="">' not in page) is allowed


@on_one_engine
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_it_cleanly(
    dsn: str, free_port: int, connection: Connection, store: Store, number: signal.Signals
) -> None:
    """With a kept-alive connection, a half-sent request and a query that waits for a lock, it still ends with 0."""
    store("AAPL", every_minute(MONDAY, 1))
    with (
        serve("--port", str(free_port), CANDLEWORKS_DSN=dsn) as served,
        httpx.Client(base_url=served.url()) as idle,
        socket.create_connection(("127.0.0.1", free_port)) as half,
        socket.create_connection(("127.0.0.1", free_port)) as blocked,
    ):
        assert idle.get("/healthz").status_code == 200
        half.send(b"GET / HTTP/1.1\r\nHost: local")
        connection.execute("BEGIN; LOCK TABLE company")
        blocked.send(b"GET /symbols HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with connect(connection.info.dsn) as watcher:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            until(lambda: watcher.execute(waiting).fetchone() == (1,), PATIENCE_SECONDS, "a query waits for the lock")
        served.process.send_signal(number)
        status, output = served.end()
    assert status == 0
    assert "Traceback" not in output


def test_a_lost_database_is_said_and_found_again(tmp_path: Path, free_port: int) -> None:
    """503 with one sentence while the database is away, then data again without a restart."""
    server = EmbeddedServer(tmp_path / "home")
    with server.use() as dsn:
        migrate(dsn, load_settings({}))
    with server.use() as dsn, serve("--port", str(free_port), CANDLEWORKS_DSN=dsn) as served:
        client = httpx.Client(base_url=served.url(), timeout=PATIENCE_SECONDS)
        assert client.get("/healthz").json()["database"] == "ok"
        server.stop()
        lost = client.get("/ohlc.csv", params={"symbol": "AAPL"})
        assert lost.status_code == 503
        assert re.fullmatch(r"The database candleworks on \S+ cannot be reached \(.+\): start it, .+\.\n", lost.text)
        health = client.get("/healthz")
        assert (health.status_code, health.json()["status"]) == (503, "down")
        assert client.get("/").status_code == 200
        with EmbeddedServer(tmp_path / "home").use():
            until(lambda: client.get("/healthz").status_code == 200, PATIENCE_SECONDS, "healthy again")
            assert client.get("/symbols").json() == []
            served.process.send_signal(signal.SIGTERM)
            status, output = served.end()
    assert status == 0
    assert output.count("cannot be reached") == 1
    assert output.count("The database is available again.") == 1


def test_it_starts_while_the_database_is_away(tmp_path: Path, free_port: int) -> None:
    """The page says so; once the database is there, it says what is missing, then shows it."""
    dsn = EmbeddedServer(tmp_path / "home").dsn
    with serve("--port", str(free_port), CANDLEWORKS_DSN=dsn) as served:
        assert "cannot be reached" in (served.process.stdout.readline() if served.process.stdout else "")
        client = httpx.Client(base_url=served.url(), timeout=PATIENCE_SECONDS)
        assert client.get("/symbols").status_code == 503
        with EmbeddedServer(tmp_path / "home").use():
            answer = until(lambda: (a := client.get("/symbols")) and "reached" not in a.text and a, 30, "an answer")
            assert answer.status_code == 503
            assert answer.json()["error"].endswith("has no candles of candleworks: run `candleworks migrate`.")
            migrate(dsn, load_settings({}))
            assert client.get("/symbols").json() == []


@on_one_engine
def test_a_slow_query_is_given_up(
    dsn: str, connection: Connection, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query that takes too long becomes 503 with a sentence instead of a client that waits for ever."""
    monkeypatch.setattr(read_pool, "WEB", replace(WEB, statement_timeout_seconds=1))
    store("AAPL", every_minute(MONDAY, 1))
    with serving(dsn) as url:
        connection.execute("BEGIN; LOCK TABLE company")
        answer = httpx.get(f"{url}symbols", timeout=PATIENCE_SECONDS)
        assert answer.status_code == 503
        assert "took longer than 1 s to answer: ask for less, or try again later." in answer.json()["error"]
        connection.execute("ROLLBACK")
        assert httpx.get(f"{url}symbols").status_code == 200
