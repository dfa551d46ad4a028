"""Requests that no honest client sends: too long, with control characters, malformed, or never complete."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from candleworks.database.connection import Connection
from candleworks.web import connections, security
from candleworks.web.parameters import CSV_CANDLES, STREAM, BadParameterError, Parameters
from candleworks.web.security import MAX_PATH_LENGTH, MAX_QUERY_LENGTH
from tests.web.browser import until
from tests.web.conftest import MONDAY, Store, every_minute, serving
from tests.web.events import streaming

TIMEOUT_SECONDS = 1.0
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LONG = 6_000  # shorter than what a request may have, longer than any parameter


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests must be complete within TIMEOUT_SECONDS; before the server of the test starts."""
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT_SECONDS", TIMEOUT_SECONDS)


def exchange(site: str, request: bytes) -> bytes:
    """Send bytes, and read until the server closes the connection."""
    with connected(site) as client:
        client.sendall(request)
        return read_all(client)


@contextlib.contextmanager
def connected(site: str) -> Iterator[socket.socket]:
    url = httpx.URL(site)
    with socket.create_connection((url.host, url.port), 20) as client:
        yield client


def read_all(client: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65_536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "query", ["symbol=A&from=" + ":" * 25_000, "symbol=" + "A" * 25_000, "x" * 25_000 + "=1", "&" * 25_000]
)
def test_a_long_query_is_refused_at_once(client: httpx.Client, query: str) -> None:
    """Whatever it has, before anything reads it, and the answer does not repeat it."""
    began = time.monotonic()
    answer = client.get(f"/ohlc.csv?{query}")
    assert time.monotonic() - began < 1
    assert answer.status_code == 414
    assert answer.text == f"The query has {len(query)} characters: send at most {MAX_QUERY_LENGTH}.\n"


def test_a_long_path_is_refused(client: httpx.Client) -> None:
    """None of ours is that long."""
    path = "/quality/" + "x" * MAX_PATH_LENGTH
    answer = client.get(path)
    assert answer.status_code == 414
    assert answer.text == f"The path has {len(path)} characters: send at most {MAX_PATH_LENGTH}.\n"


@pytest.mark.parametrize(
    "query",
    [
        f"symbol=A&from={':' * LONG}",
        f"symbol=A&from={'2026-01-01T00:00:00.' + '0' * LONG}&to=2025-01-01",
        f"symbol=A&{'x' * LONG}=1",
        f"symbol=A&x={'y' * LONG}",
        f"symbol=A&symbol={'y' * LONG}",
        f"symbol=A&zone={'y' * LONG}",
        f"symbol=A&limit={'1' * LONG}",
    ],
)
def test_a_refusal_repeats_no_long_value(client: httpx.Client, query: str) -> None:
    """Names and values are cut."""
    answer = client.get(f"/ohlc.csv?{query}")
    assert answer.status_code == 400
    assert len(answer.text) < 500


def test_a_long_host_is_not_repeated(client: httpx.Client) -> None:
    """The sentence names its beginning."""
    answer = client.get("/healthz", headers={"Host": "x" * 9_000})
    assert (answer.status_code, len(answer.text) < 300) == (400, True)


@pytest.mark.parametrize("table", [CSV_CANDLES, STREAM])
def test_every_parameter_has_a_bound(table: Parameters) -> None:
    """A value that is longer than any that can be valid is not even looked at."""
    for parameter in table.parameters:
        with pytest.raises(BadParameterError, match=f"at most {parameter.max_length} characters"):
            parameter.value("0" * (parameter.max_length + 1))


def test_a_stream_takes_as_many_symbols_as_it_promises() -> None:
    """The bound of a list is that of all its values."""
    symbols = ",".join(f"{number:0100d}" for number in range(50))
    assert len(STREAM.read([("symbols", symbols), ("periods", "1s")]).text(STREAM.parameters[0])) < MAX_QUERY_LENGTH


@pytest.mark.parametrize(
    "target",
    [
        "/quality/%00",
        "/quality/a%0Ab",
        "/assets/%00/page.js",
        "/%7F",
        "/%C2%85",
        "/ohlc.csv?symbol=A%00",
        "/ohlc.csv?symbol=A&%00=1",
        "/ohlc.json?symbol=A&from=%00",
        "/stream?symbols=%00&ticks=1",
        "/indicators.json?symbol=A&name=%1F",
        "/gaps.json?symbol=A%0d%0aB",
        "/alerts/1/%00",
    ],
)
def test_control_characters_are_refused(client: httpx.Client, target: str) -> None:
    """In a path and in a query alike: PostgreSQL takes no NUL, and no name has others."""
    answer = client.get(target)
    assert answer.status_code == 400
    assert "control character" in answer.text
    assert_secure(answer.headers)


def test_a_header_with_a_long_number_is_refused(client: httpx.Client) -> None:
    """Last-Event-ID is read as the parameter is."""
    answer = client.get("/stream?symbols=A&ticks=1", headers={"Last-Event-ID": "1" * LONG})
    assert (answer.status_code, len(answer.text) < 500) == (400, True)


def test_a_fault_of_the_server_has_headers_and_no_traceback(
    client: httpx.Client, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the traceback; the client gets one sentence."""
    connection.execute("ALTER TABLE company RENAME COLUMN symbol TO renamed")
    answer = client.get("/symbols")
    assert answer.status_code == 500
    assert answer.json() == {"error": "The server failed to answer this request: its log says why."}
    assert_secure(answer.headers)
    until(lambda: "UndefinedColumn" in caplog.text, 10, "the traceback")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/", 405),
        ("TRACE", "/quality", 405),
        ("POST", "/alerts/1/silence", 403),
        ("GET", "/alerts/x/silence", 404),
        ("GET", "/ohlc.csv", 400),
        ("GET", "/" + "x" * 2_000, 414),
    ],
)
def test_refusals_have_the_security_headers(client: httpx.Client, method: str, path: str, status: int) -> None:
    """Whatever the reason."""
    answer = client.request(method, path)
    assert answer.status_code == status
    assert_secure(answer.headers)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000,
        b"POST /alerts/1/silence HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nnonsense",
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
    ],
)
def test_a_malformed_request_gets_the_security_headers(site: str, request_bytes: bytes) -> None:
    """The server answers it without the application."""
    head, _, body = exchange(site, request_bytes + b"\r\n\r\n").partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    assert status.startswith("HTTP/1.1 4")
    assert_secure(httpx.Headers([tuple(line.split(": ", 1)) for line in lines]))
    assert len(body) < 300


def assert_secure(headers: httpx.Headers) -> None:
    for name, value in security.HEADERS.items():
        assert headers[name] == value
    assert headers["cache-control"] == "no-store"


@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /alerts/1/silence HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        b"POST /alerts/1/silence HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        HEALTH + b"GET /",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
        HEALTH + b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
    ],
)
def test_a_request_that_never_ends_is_closed(site: str, beginning: bytes) -> None:
    """Headers, body or nothing at all: the connection is not kept for it."""
    with connected(site) as client:
        client.sendall(beginning)
        began = time.monotonic()
        read_all(client)
        assert time.monotonic() - began < TIMEOUT_SECONDS + 8  # 5 s of them are uvicorn's, after an answer


@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("beginning", [b"", HEALTH])
def test_a_request_that_drips_is_closed(site: str, beginning: bytes) -> None:
    """A byte now and then does not prolong it (Slowloris), on a new connection and on one that was used."""
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1_000
    began = time.monotonic()
    with connected(site) as client, pytest.raises(ConnectionError):
        drip(client, beginning, request)
    assert time.monotonic() - began < TIMEOUT_SECONDS + 8


def drip(client: socket.socket, whole: bytes, request: bytes) -> None:
    client.sendall(whole)
    for number in range(len(request)):
        client.sendall(request[number : number + 1])
        time.sleep(0.05)


@pytest.mark.usefixtures("short_timeouts")
def test_a_late_request_is_told_so(site: str) -> None:
    """A program that is merely slow learns the reason."""
    answer = exchange(site, b"GET / HTTP/1.1\r\nHost: localhost\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b"The request was not complete after 1 s.\n")


@pytest.mark.usefixtures("short_timeouts")
def test_half_open_requests_keep_nobody_waiting(site: str, client: httpx.Client) -> None:
    """Hundreds of them are gone after the timeout, and others are answered in the meantime."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(site)) for _ in range(300)]
        for half_open in clients:
            half_open.sendall(b"GET / HTTP/1.1\r\n")
        assert client.get("/healthz").status_code == 200
        for half_open in clients:
            assert read_all(half_open).startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("short_timeouts")
def test_a_client_that_leaves_its_body_unfinished_is_no_fault(
    site: str, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of it is in the log as an error of the application."""
    head = f"POST /alerts/1/silence HTTP/1.1\r\nHost: {httpx.URL(site).netloc.decode()}\r\nContent-Length: 9\r\n\r\n"
    for _ in range(3):
        with connected(site) as leaving:
            leaving.sendall(head.encode() + b"{")
    assert client.get("/healthz").status_code == 200
    assert "Exception in ASGI application" not in caplog.text


@pytest.mark.usefixtures("short_timeouts")
def test_a_stream_outlives_the_timeout(site: str, store: Store) -> None:
    """The limit is on the request; its answer may last for days."""
    store("AAPL", every_minute(MONDAY, 2))
    with streaming(site, symbols="AAPL", ticks=1) as events:
        time.sleep(3 * TIMEOUT_SECONDS)
        assert not events.ended.is_set()
        store("AAPL", every_minute(MONDAY.replace(hour=15), 1))


@pytest.mark.usefixtures("short_timeouts")
def test_a_connection_is_used_again_and_again(client: httpx.Client) -> None:
    """Each request has its own limit, so a connection in use is kept for longer than one."""
    sources = set()
    for _ in range(8):
        answer = client.get("/healthz")
        sources.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
        time.sleep(TIMEOUT_SECONDS / 4)
    assert len(sources) == 1


def test_a_client_that_does_not_read_is_dropped(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that nobody takes does not hold its connection and memory for ever."""
    monkeypatch.setattr(connections, "READER_TIMEOUT_SECONDS", 1)
    with serving(dsn) as site, connected(site) as client:
        script = re.search(r"/assets/[0-9a-f]+/lightweight-charts\.js", httpx.get(site).text)
        assert script
        client.sendall(f"GET {script[0]} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 100)
        time.sleep(5)
        assert read_all(client).count(b"HTTP/1.1 200 OK") < 100
