"""`/stream`: what a client gets, how it comes back, and what ends it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from psycopg.conninfo import make_conninfo

from candleworks import clock
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.database.reader_role import READER, set_up_reader
from candleworks.web import stream
from tests.stream.conftest import insert
from tests.web.browser import until
from tests.web.conftest import MONDAY, Store, every_minute, serving
from tests.web.events import EventReader, streaming
from tests.web.test_serve_command import free_port, serve

__all__ = ["free_port"]  # a fixture
MICROSECOND = timedelta(microseconds=1)
on_one_engine = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def begun(reader: EventReader, snapshots: int = 1) -> EventReader:
    reader.until(lambda: len(reader.named("snapshot")) == snapshots, "the snapshot")
    return reader


def test_a_stream_has_snapshots_ticks_and_candles(site: str, store: Store, connection: Connection) -> None:
    """The last event of a commit has its position as the id."""
    store("A", every_minute(MONDAY, 2))
    with streaming(site, symbols="A", periods="1s,1m", ticks=1) as reader:
        begun(reader, 2)
        moment = clock.now()
        insert(connection, [(moment, "A", 5.0, 1.0), (moment + MICROSECOND, "A", 6.0, 1.0)])
        reader.until(lambda: len(reader.named("candle")) >= 2, "the candles")
    first, second = reader.named("tick")
    assert (first["price"], second["price"], "late" in second) == (5.0, 6.0, False)
    assert {candle["period"]: candle["close"] for candle in reader.named("candle")} == {"1s": 6.0, "1m": 6.0}
    ids = [event.id for event in reader.events[:6]]
    assert [number is not None for number in ids] == [False, True, False, False, False, True]
    assert reader.retry == str(stream.RETRY_MS)


def test_answers_are_for_proxies_and_nobody_keeps_them(site: str, store: Store) -> None:
    """Not buffered, not compressed, even when the client offers to accept that."""
    store("A", every_minute(MONDAY, 2))
    with streaming(site, {"Accept-Encoding": "gzip, br"}, symbols="A", ticks=1) as reader:
        headers = reader.response.headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in headers
    assert "default-src 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("", 400, "The parameter symbols is '', expected symbols that /symbols lists, such as AAPL,BTC/USD."),
        ("symbols=A", 400, "The parameter periods is '', expected periods such as 1s,1m, or the parameter ticks=1."),
        ("symbols=A&periods=1x", 400,
         ("The parameter periods is '1x', expected a number and a unit of s (up to 59), m, h, d, w or mo, such as 5s,"
          " 1m, 90m, 1h, 1d, 1w or 1mo, up to 10 years.")),
        ("symbols=A&ticks=2", 400, "The parameter ticks is '2', expected 0 or 1."),
        ("symbols=A&ticks=1&price=last", 400, "The parameter price is 'last', expected trade, bid, ask or mid."),
        ("symbols=A&ticks=1&last_event_id=x", 400,
         "The parameter last_event_id is 'x', expected the id of an event of the stream."),
        ("symbols=A&ticks=1&depth=2", 400,
         ("The parameter depth is '2', expected one of the parameters symbols, periods, price, ticks, prices,"
          " last_event_id instead.")),
        ("symbols=" + ",".join(f"S{n}" for n in range(51)) + "&ticks=1", 400,
         "The parameter symbols is '51 values', expected at most 50."),
        ("symbols=A&periods=1m,2m,3m,4m,5m,6m", 400, "The parameter periods is '6 values', expected at most 5."),
        ("symbols=A,NONE&ticks=1", 404, "The symbol 'NONE' is not stored: /symbols lists those that are."),
        ("symbols=NONE&ticks=1&price=bid", 404, "The symbol 'NONE' is not stored: /symbols lists those that are."),
    ],
)  # fmt: skip
@on_one_engine
def test_bad_requests_get_one_sentence(
    client: httpx.Client, store: Store, query: str, status: int, sentence: str
) -> None:
    """As those of the other endpoints."""
    store("A", every_minute(MONDAY, 2))
    answer = client.get(f"/stream?{query}")
    assert (answer.status_code, answer.json()) == (status, {"error": sentence})


@on_one_engine
def test_foreign_hosts_are_not_served(client: httpx.Client, store: Store) -> None:
    """As by the rest of the server."""
    store("A", every_minute(MONDAY, 2))
    assert client.get("/stream?symbols=A&ticks=1", headers={"Host": "evil.example"}).status_code == 400


@on_one_engine
def test_there_is_room_for_so_many_clients(dsn: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is told when to try again; one that leaves makes room; metrics count them."""
    store("A", every_minute(MONDAY, 2))
    monkeypatch.setattr("candleworks.stream.hub.Hub.__init__.__defaults__", (1,))
    with serving(dsn) as site, httpx.Client(base_url=site) as client:
        with streaming(site, symbols="A", ticks=1) as reader:
            begun(reader)
            answer = client.get("/stream?symbols=A&ticks=1")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert answer.json()["error"].startswith("1 clients follow the stream, which is as many as are allowed")
            assert "candleworks_stream_clients 1.0" in client.get("/metrics").text
            assert "candleworks_stream_events_total 1.0" in client.get("/metrics").text
            assert "candleworks_stream_lagged_total 0.0" in client.get("/metrics").text
        until(lambda: "candleworks_stream_clients 0.0" in client.get("/metrics").text, 20, "nobody")
        with streaming(site, symbols="A", ticks=1) as reader:
            begun(reader)


@on_one_engine
def test_clients_hold_no_threads(site: str, client: httpx.Client, store: Store) -> None:
    """More of them than there are threads leave the other pages alone."""
    store("A", every_minute(MONDAY, 2))
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            begun(stack.enter_context(streaming(site, symbols="A", periods="1m")))
        assert client.get("/ohlc.json?symbol=A").status_code == 200


@on_one_engine
def test_a_quiet_stream_shows_that_it_lives(
    site: str, store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By comments, which bring the position of what others got meanwhile."""
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.2)
    store("A", every_minute(MONDAY, 2))
    with streaming(site, symbols="A", ticks=1) as reader:
        begun(reader)
        before = int(reader.last_id or 0)
        insert(connection, [(clock.now(), "B", 5.0, 1.0)])
        reader.until(lambda: int(reader.last_id or 0) > before, "the position")
        assert "heartbeat" in reader.comments
        assert len(reader.events) == 1


def test_another_process_takes_over_after_a_kill(
    dsn: str, store: Store, connection: Connection, free_port: int
) -> None:
    """With the last id nothing is lost and no tick comes twice."""
    store("A", every_minute(MONDAY, 2))
    start = clock.now()
    with serve("--port", str(free_port), CANDLEWORKS_DSN=dsn) as first:  # noqa: SIM117 - its address comes first
        with streaming(first.url(), symbols="A", periods="1m", ticks=1) as reader:
            begun(reader)
            insert(connection, [(start, "A", 1.0, 1.0)])
            reader.until(lambda: reader.named("tick"), "the first tick")
            first.process.send_signal(signal.SIGKILL)
            assert reader.ended.wait(20)
    for number in range(1, 4):
        insert(connection, [(start + number * MICROSECOND, "A", 1.0 + number, 1.0)])
    with serve("--port", str(free_port), CANDLEWORKS_DSN=dsn) as second:
        url = second.url()
        with streaming(url, {"Last-Event-ID": reader.last_id or ""}, symbols="A", periods="1m", ticks=1) as again:
            again.until(lambda: len(again.named("tick")) == 3 and again.named("candle"), "the missed ticks")
            insert(connection, [(start + 9 * MICROSECOND, "A", 9.0, 1.0)])
            again.until(lambda: len(again.named("tick")) == 4, "the next tick")
            again.until(lambda: again.named("candle")[-1]["close"] == 9.0, "the candle")
        assert [tick["price"] for tick in again.named("tick")] == [2.0, 3.0, 4.0, 9.0]
        assert again.named("snapshot") == []
        with streaming(url, symbols="A", ticks=1, last_event_id=reader.last_id) as third:
            third.until(lambda: len(third.named("tick")) == 4, "the same by the parameter")


@on_one_engine
def test_the_server_ends_its_streams_at_once(dsn: str, store: Store, free_port: int) -> None:
    """A signal is not waited out by those who follow."""
    store("A", every_minute(MONDAY, 2))
    with serve("--port", str(free_port), CANDLEWORKS_DSN=dsn) as served:  # noqa: SIM117 - its address comes first
        with streaming(served.url(), symbols="A", periods="1m") as reader:
            begun(reader)
            served.process.send_signal(signal.SIGTERM)
            assert reader.ended.wait(20)
            status, output = served.end()
    assert status == 0, output
    assert "Traceback" not in output


def test_the_reader_role_is_enough(dsn: str, connection: Connection, store: Store) -> None:
    """It reads the public relations, and may listen."""
    set_up_reader(connection)
    store("A", every_minute(MONDAY, 2))
    with (
        serving(make_conninfo(dsn, user=READER)) as site,
        streaming(site, symbols="A", periods="1m", ticks=1) as reader,
    ):
        begun(reader)
        insert(connection, [(clock.now(), "A", 5.0, 1.0)])
        reader.until(lambda: reader.named("tick") and reader.named("candle"), "the tick")


@on_one_engine
def test_streams_survive_a_restart_of_the_database(dsn: str, connection: Connection, store: Store) -> None:
    """They are told, and continue with what was committed meanwhile."""
    store("A", every_minute(MONDAY, 2))
    with serving(dsn) as site, streaming(site, symbols="A", periods="1m", ticks=1) as reader:
        begun(reader)
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        insert(connection, [(clock.now(), "A", 5.0, 1.0)])
        reader.until(lambda: reader.named("tick") and reader.named("candle"), "the tick")
    assert [state["available"] for state in reader.named("database")] == [False, True]


@pytest.fixture
def nginx(tmp_path: Path, site: str) -> Iterator[str]:
    """The address of nginx in front of the server, with its usual settings."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("no nginx: install Debian's package `nginx-light`")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; gzip on; gzip_types text/event-stream; gzip_min_length 0;\n"
        f"client_body_temp_path {tmp_path}/a; proxy_temp_path {tmp_path}/b; fastcgi_temp_path {tmp_path}/c;\n"
        f"uwsgi_temp_path {tmp_path}/d; scgi_temp_path {tmp_path}/e;\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {site};\n"
        f"proxy_set_header Host localhost; }} }} }}\n"
    )
    os.chmod(tmp_path, 0o755)  # noqa: PTH101, S103 - nginx' workers are another user
    with subprocess.Popen([program, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)]) as process:
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 20, "nginx")
        yield f"http://127.0.0.1:{port}/"
        process.terminate()


@on_one_engine
def test_a_proxy_passes_events_on_at_once(nginx: str, store: Store, connection: Connection) -> None:
    """Without settings for it: nothing is buffered."""
    store("A", every_minute(MONDAY, 2))
    with streaming(nginx, symbols="A", periods="1m", ticks=1) as reader:
        begun(reader)
        insert(connection, [(clock.now(), "A", 5.0, 1.0)])
        reader.until(lambda: reader.named("tick"), "the tick")
