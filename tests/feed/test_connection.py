"""The connection to the vendor: subscribed, kept alive, lost and made again."""

import json
import logging
import re
import socket
import ssl
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import pytest
from pydantic import SecretStr
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.errors import TerminalError
from candleworks.feed import connection as connection_module
from candleworks.feed import reconnection
from candleworks.settings import Settings
from candleworks.simulate import running_simulator
from candleworks.vendor import protocol
from tests.feed.streaming import (
    PATIENCE_SECONDS,
    Trade,
    count,
    counted,
    price,
    read_journal,
    rejected,
    stored,
    streaming,
    trades_of,
    until,
)
from tests.feed.vendor import ACCEPTED, Vendor

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)  # nothing here depends on it
NOW = int(time.time())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log of the feed, without that of gaps."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("candleworks") and record.name != "candleworks.feed.gaps"
    ]


def test_one_message_subscribes_to_everything(settings: Settings, vendor: Vendor) -> None:
    """The key is in the URL, and all symbols are in one message."""
    with streaming(settings, vendor.url, "AAPL", "BTC/USD"):
        until(lambda: vendor.received)
    assert vendor.paths == ["/v1/quotes/price?apikey=demo"]
    assert [json.loads(message) for message in vendor.received] == [
        {"action": "subscribe", "params": {"symbols": "AAPL,BTC/USD"}}
    ]


def test_heartbeats_keep_the_connection_alive(
    settings: Settings, vendor: Vendor, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One every ten seconds (here fewer), and the vendor's answers are not mistaken for ticks."""
    assert protocol.HEARTBEAT_INTERVAL_SECONDS == 10
    monkeypatch.setattr(protocol, "HEARTBEAT_INTERVAL_SECONDS", 0.05)
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received.count('{"action":"heartbeat"}') >= 3)
        vendor.send(b'{"event":"heartbeat","status":"ok"}', b'{ "status": "ok", "event": "heartbeat" }')
    assert (count(connection), rejected(connection)) == (0, [])


def test_refused_symbols_are_named_while_the_others_stream(
    settings: Settings, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Each with the vendor's words."""
    caplog.set_level(logging.INFO)
    with (
        running_simulator(rate=100, symbols=["AAPL"]) as simulator,
        streaming(settings, simulator.feed_url, "AAPL", "NOPE"),
    ):
        until(lambda: count(connection) > 10)
    assert "Feed twelvedata streams 1 of 2 symbols." in messages(caplog)
    assert (
        "Feed twelvedata: the vendor refused NOPE (**symbol** not found: NOPE. Please specify it correctly according"
        " to API Documentation.)."
    ) in messages(caplog)


def test_a_symbol_can_be_asked_for_by_its_exchange(settings: Settings, connection: Connection) -> None:
    """The vendor streams it under its plain name; it is stored under the one that was asked for."""
    with (
        running_simulator(rate=100, symbols=["RY:TSX"]) as simulator,
        streaming(settings, simulator.feed_url, "RY:TSX"),
    ):
        until(lambda: count(connection) > 10)
    assert connection.execute("SELECT DISTINCT symbol FROM stocks_real_time").fetchall() == [("RY:TSX",)]
    assert rejected(connection) == []


def test_messages_of_the_vendor_are_logged(
    settings: Settings, vendor: Vendor, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """They are logged, whatever frame they come in, and prices are taken all the same."""
    caplog.set_level(logging.INFO)
    vendor.answers = (
        b'{"event":"subscribe-status","status":"error","success":null,"fails":null,"messages":["No such plan"]}',
        b'{"event":"error","status":"error","messages":["Cant parse message"]}',
        b'{"event":"subscribe-status","status":"warning","success":[],"fails":[{"symbol":"AAPL"}]}',
    )
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        vendor.send(price(NOW))
        until(lambda: count(connection) == 1)
    assert messages(caplog) == [
        "Feed twelvedata streams 0 of 1 symbols.",
        "Feed twelvedata: message from the vendor: 'No such plan'.",
        "Feed twelvedata: message from the vendor: 'Cant parse message'.",
        "Feed twelvedata streams 0 of 1 symbols.",
        "Feed twelvedata: the vendor refused AAPL (no reason given).",
    ]
    assert rejected(connection) == []


def test_frames_of_unknown_shape_are_kept(settings: Settings, vendor: Vendor, connection: Connection) -> None:
    """A known event with undocumented contents is kept in `rejected_ticks` like an unknown one."""
    odd = [
        b'{"event":"subscribe-status","fails":"all"}',
        b'{"event":"error","messages":{"code":1}}',
        b'{"code":418,"message":"teapot"}',
    ]
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        vendor.send(*odd)
        until(lambda: len(rejected(connection)) == len(odd))
    reasons = [
        'unknown event "subscribe-status"',
        'unknown event "error"',
        "event type is missing",
    ]
    assert rejected(connection) == list(zip(reasons, (frame.decode() for frame in odd), strict=True))


def test_the_spelling_of_a_frame_does_not_matter(settings: Settings, vendor: Vendor, connection: Connection) -> None:
    """Other key orders and whitespace are prices like any other, in the order of their arrival."""
    spelled = b'{\n "price": 2.5, "timestamp": %d, "symbol": "AAPL", "event": "price" }' % NOW
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        vendor.send(price(NOW, 1.0), spelled, price(NOW, 3.0))
        until(lambda: count(connection) == 3)
    found = connection.execute("SELECT price FROM stocks_real_time ORDER BY time").fetchall()
    assert found == [(1.0,), (2.5,), (3.0,)]


def test_a_rejected_key_ends_the_feed(settings: Settings) -> None:
    """Trying again cannot help; the sentence names the setting, and not the key."""
    keyed = settings.model_copy(update={"api_key": SecretStr("s3cret")})
    with (
        running_simulator(refused_keys=("s3cret",)) as simulator,
        pytest.raises(TerminalError) as caught,
        streaming(keyed, simulator.feed_url, "AAPL") as running,
    ):
        running.wait()
    assert str(caught.value) == (
        f"Feed twelvedata: {simulator.feed_url} rejected the API key (HTTP 401): correct TWELVEDATA_API_KEY."
    )


@pytest.mark.usefixtures("quick_reconnect")
def test_a_refusal_of_a_key_that_has_worked_is_reported_until_it_is_accepted(
    settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog reads it from the database; ticks flow again when the page is gone."""
    monkeypatch.setattr(reconnection, "FIRST_REFUSED_WAIT_SECONDS", 0.05)
    page: list[Response] = []
    refusals = "SELECT observed FROM candleworks.feed_refusals"
    connection.execute("INSERT INTO candleworks.feed_refusals VALUES ('twelvedata', 'of an earlier run')")

    with (
        Vendor().listening(lambda _, __: page[0] if page else None) as vendor,
        streaming(settings, vendor.url, "AAPL"),
    ):
        until(lambda: vendor.received)
        until(lambda: not connection.execute(refusals).fetchall())
        page.append(Response(403, "Forbidden", Headers(), b"Sorry, you have been blocked"))
        vendor.close()
        until(lambda: connection.execute(refusals).fetchall() == [("HTTP 403: Sorry, you have been blocked",)])
        page.clear()
        until(lambda: vendor.send(price(NOW)))
        until(lambda: count(connection) == 1)
        until(lambda: not connection.execute(refusals).fetchall())


def test_two_clean_closes_within_a_minute_cost_a_second_each(settings: Settings, connection: Connection) -> None:
    """The vendor closes connections as it pleases; the next one streams at once."""
    with (
        running_simulator(rate=200, symbols=["BTC/USD"]) as simulator,
        streaming(settings, simulator.feed_url, "BTC/USD"),
    ):
        for closed in range(1, 4):
            until(lambda closed=closed: simulator.stats()["accepted_connections"] == closed)
            before = count(connection)
            until(lambda before=before: count(connection) > before)
            began = time.monotonic()
            assert simulator.close_clients(1001) == 1
            until(lambda closed=closed: simulator.stats()["accepted_connections"] == closed + 1)
            assert time.monotonic() - began < 2


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "ws://", "ws://127.0.0.1:99999/", "example.com/feed"])
def test_an_invalid_url_ends_the_feed(settings: Settings, url: str) -> None:
    """Trying again cannot help."""
    with pytest.raises(TerminalError) as caught, streaming(settings, url, "AAPL") as running:
        running.wait()
    assert str(caught.value) == (
        f"Feed twelvedata: {url} is not a valid WebSocket URL: correct CANDLEWORKS_FEED_URL, for example"
        " ws://127.0.0.1:8765/v1/quotes/price."
    )


@pytest.mark.usefixtures("quick_reconnect")
def test_the_feed_waits_for_a_server_that_is_not_there_yet(
    settings: Settings, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """It tries again until there is one, and says so."""
    port = free_port()
    with streaming(settings, f"ws://127.0.0.1:{port}/v1/quotes/price", "AAPL"):
        until(lambda: sum("cannot be reached" in message for message in messages(caplog)) >= 2)
        with running_simulator(port=port, rate=100, symbols=["AAPL"]):
            until(lambda: count(connection) > 10)
    assert messages(caplog)[0].startswith(f"Feed twelvedata: ws://127.0.0.1:{port}/v1/quotes/price cannot be reached (")
    assert counted(connection, "reconnects") >= 2


@pytest.mark.usefixtures("quick_reconnect")
def test_a_failing_vendor_is_tried_again(
    settings: Settings, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """An HTTP status that says nothing about the key is no reason to end."""
    troubled = iter([HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS])

    def answer(_: ServerConnection, __: Request) -> Response | None:
        status = next(troubled, None)
        return None if status is None else Response(status, status.phrase, Headers())

    with Vendor().listening(answer) as vendor, streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        vendor.send(price(NOW))
        until(lambda: count(connection) == 1)
    refusals = [message.split(" Retrying")[0] for message in messages(caplog) if "Retrying" in message]
    assert refusals == [
        f"Feed twelvedata: {vendor.url} responded to the handshake with HTTP 503.",
        f"Feed twelvedata: {vendor.url} responded to the handshake with HTTP 429.",
    ]


@pytest.mark.usefixtures("quick_reconnect")
def test_after_a_clean_close_the_feed_continues(
    settings: Settings, connection: Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The vendor's 1001 costs nothing: everything it sent is stored once."""
    journal = tmp_path / "journal"
    symbols = ["AAPL", "MSFT", "BTC/USD"]
    with (
        running_simulator(rate=200, symbols=symbols, journal=journal) as simulator,
        streaming(settings, simulator.feed_url, *symbols),
    ):
        for connected in (1, 2, 3):
            until(lambda connected=connected: simulator.stats()["accepted_connections"] == connected)
            before = count(connection)
            until(lambda before=before: count(connection) > before + 20)
            if connected < 3:
                assert simulator.close_clients(1001) == 1
    sent = read_journal(journal)
    assert stored(connection) == trades_of(sent)
    assert counted(connection, "duplicates") == len(sent) - trades_of(sent).total()
    assert counted(connection, "reconnects") == 2
    assert "ended (the vendor closed it with code 1001)." in "".join(messages(caplog))


@pytest.mark.usefixtures("quick_reconnect")
def test_the_vendors_repetition_after_a_reconnect_is_dropped(
    settings: Settings, vendor: Vendor, connection: Connection
) -> None:
    """Even when the database was away from before the connection ended until after the next one began."""
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        vendor.send(price(NOW - 1), price(NOW))
        until(lambda: count(connection) == 2)
        with connection.transaction():
            connection.execute("LOCK TABLE stocks_real_time")
            vendor.send(price(NOW + 1), price(NOW + 2))
            vendor.answers = (ACCEPTED, price(NOW + 2))
            vendor.close()
            until(lambda: len(vendor.received) == 2)
            vendor.send(price(NOW + 2), price(NOW + 3))
        until(lambda: count(connection) == 6)
    assert stored(connection) == Counter(Trade("AAPL", NOW + second, 1.0, None) for second in (-1, 0, 1, 2, 2, 3))
    assert counted(connection, "duplicates") == 1


@pytest.mark.usefixtures("quick_reconnect")
def test_after_an_abrupt_end_the_feed_continues(settings: Settings, connection: Connection, tmp_path: Path) -> None:
    """Nothing is doubled, and of each connection everything that was received is stored."""
    journal = tmp_path / "journal"
    with (
        running_simulator(rate=200, symbols=["AAPL", "BTC/USD"], journal=journal) as simulator,
        streaming(settings, simulator.feed_url, "AAPL", "BTC/USD"),
    ):
        until(lambda: count(connection) > 20)
        assert simulator.drop_clients() == 1
        until(lambda: simulator.stats()["accepted_connections"] == 2)
        before = count(connection)
        until(lambda: count(connection) > before + 20)
    sent = read_journal(journal)
    rows = stored(connection)
    assert rows <= trades_of(sent)
    assert Counter(event.trade for event in sent if event.connection == 2 and not event.snapshot) <= rows


@pytest.mark.usefixtures("quick_reconnect")
def test_a_frame_above_the_vendors_limit_costs_a_reconnect(
    settings: Settings, vendor: Vendor, connection: Connection
) -> None:
    """Memory stays bounded: the connection is closed, and the next one streams."""
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: len(vendor.paths) == 1 and vendor.received)
        vendor.send(b"x" * 2**20 + b"x")
        until(lambda: len(vendor.received) == 2)
        vendor.send(price(NOW))
        until(lambda: count(connection) == 1)


def test_a_vendor_behind_tls_is_read(
    settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the real one is, with the certificates that the machine trusts."""
    certificate = Path(__file__).with_name("untrusted.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with Vendor().listening(tls=tls) as vendor, streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        vendor.send(*(price(NOW, 1.0 + number) for number in range(1_000)))
        until(lambda: count(connection) == 1_000)


def test_a_message_in_pieces_is_read(settings: Settings, vendor: Vendor, connection: Connection) -> None:
    """The websocket protocol lets a sender split a message; the next ones come whole."""
    frame = price(NOW)
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        vendor.send_in_pieces(frame[:20], frame[20:50], frame[50:])
        vendor.send(price(NOW, 2.0))
        until(lambda: count(connection) == 2)
    assert not rejected(connection)


def test_a_short_pause_is_not_a_gap(settings: Settings, vendor: Vendor, connection: Connection) -> None:
    """What the socket's buffers hold for a short time is not lost, so no gap is recorded."""
    total = 5_000
    with streaming(settings, vendor.url, "AAPL", max_buffered_ticks=1_000, max_batch_rows=100, max_spool_bytes=1):
        until(lambda: vendor.received)
        vendor.send(*(price(NOW, 1.0 + number) for number in range(total)))
        until(lambda: count(connection) == total)
    assert connection.execute("SELECT count(*) FROM feed_gaps WHERE reason = 'overflow'").fetchone() == (0,)


def most_waiting(connection: Connection) -> int:
    row = connection.execute("SELECT coalesce(max(spool_depth), 0) FROM ingest_stats").fetchone()
    assert row
    return int(row[0])


@pytest.mark.parametrize("opening", [b'{"event":"price"', b'{ "event":"price"'], ids=["usual", "unusual"])
def test_reading_pauses_while_the_database_accepts_no_more(
    settings: Settings, vendor: Vendor, connection: Connection, monkeypatch: pytest.MonkeyPatch, opening: bytes
) -> None:
    """With a full disk no more than the limit gathers in memory, however a frame is spelled; nothing is lost.

    The pause is recorded as a gap: the vendor may have dropped what it could not send.
    """
    monkeypatch.setattr(connection_module, "SHORT_PAUSE_SECONDS", 0.1)
    limit, total = 1_000, 10_000
    overflow = "SELECT count(*), count(ended_at) FROM feed_gaps WHERE reason = 'overflow' AND started_at <= now()"
    frames = [price(NOW, 1.0 + number).replace(b'{"event":"price"', opening) for number in range(total)]
    with streaming(settings, vendor.url, "AAPL", max_buffered_ticks=limit, max_batch_rows=100, max_spool_bytes=1):
        until(lambda: vendor.received)
        with ThreadPoolExecutor() as threads:
            with connection.transaction():
                connection.execute("LOCK TABLE stocks_real_time")
                sending = threads.submit(vendor.send, *frames)
                until(lambda: most_waiting(connection) >= limit)
                assert most_waiting(connection) < limit + 100
            sending.result(PATIENCE_SECONDS)
        until(lambda: count(connection) == total)
        until(lambda: connection.execute(overflow).fetchone() == (1, 1))
    assert stored(connection) == {Trade("AAPL", NOW, 1.0 + number, None): 1 for number in range(total)}


@pytest.mark.usefixtures("quick_reconnect")
@pytest.mark.parametrize("pieces", [1, 3])
def test_an_oversized_message_is_one_line_that_blames_the_right_side(
    settings: Settings, vendor: Vendor, caplog: pytest.LogCaptureFixture, pieces: int
) -> None:
    """We close the connection and the vendor only confirms it, whether the message comes whole or in pieces."""
    piece = b"x" * (2**21 // pieces)
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        with suppress(ConnectionClosed):  # it may be closed before the last piece is sent
            vendor.send_in_pieces(*[piece] * pieces)
        until(lambda: len(vendor.received) == 2)
    complaints = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(complaints) == 1, complaints
    assert re.search(r"ended \(candleworks closed it with code 1009, .+\)\. Retrying in", complaints[0])
