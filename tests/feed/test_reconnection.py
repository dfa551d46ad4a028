"""A feed that stays connected: it reconnects after every end, unless that cannot succeed."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.sync.server import ServerConnection

from candleworks.errors import TerminalError
from candleworks.feed import reconnection
from candleworks.feed.service import FeedService
from candleworks.settings import Feed, Settings, load_settings
from tests.feed.vendor import Vendor

NOBODY = "ws://127.0.0.1:1/"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Without a database, which nothing here needs."""
    return load_settings({"CANDLEWORKS_HOME": str(tmp_path / "home")})


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have waited between tries."""
    waits: list[float] = []

    async def do_not_wait(_: asyncio.Event, seconds: float) -> bool:
        waits.append(seconds)
        return False

    monkeypatch.setattr(reconnection, "stopped_within", do_not_wait)
    return waits


def connect_until(settings: Settings, url: str, waits: list[float], tries: int) -> None:
    """Connect until so many tries ended."""

    async def run() -> None:
        service = FeedService(settings, Feed(url=url), "")
        running = asyncio.create_task(service.reconnector.run())
        try:
            async with asyncio.timeout(60):
                while len(waits) < tries and not running.done():  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0)
        finally:
            running.cancel()
            await asyncio.wait({running})
            service.spool.close()
        if not running.cancelled():
            running.result()

    asyncio.run(run())


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What it logged about connections, without the waits."""
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("candleworks")]
    return [sentence.split(" Retrying")[0] for sentence in logged if "gap" not in sentence]


class Leaving(Vendor):
    """A vendor that ends every connection as soon as it was asked for symbols."""

    def serve(self, connection: ServerConnection) -> None:
        connection.recv()
        connection.close(1001)


@contextmanager
def answering(status: int) -> Iterator[Vendor]:
    """A vendor that answers every handshake so."""
    answer = Response(status, HTTPStatus(status).phrase, Headers())
    with Vendor().listening(lambda _, __: answer) as vendor:
        yield vendor


def test_waits_grow_to_a_minute_and_differ(settings: Settings, waits: list[float]) -> None:
    """From a second on they double; each is shortened by chance, so that clients do not come all at once."""
    connect_until(settings, NOBODY, waits, 40)
    longest = [min(2**tried, 60) for tried in range(40)]
    assert all(limit / 2 <= wait <= limit for wait, limit in zip(waits, longest, strict=False))
    assert len(set(waits)) == len(waits)


def test_a_stable_connection_starts_over(
    settings: Settings, waits: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A minute makes it stable (here: any time at all)."""
    assert reconnection.STABLE_SECONDS == 60
    monkeypatch.setattr(reconnection, "STABLE_SECONDS", 0)
    with Leaving().listening() as vendor:
        connect_until(settings, vendor.url, waits, 5)
    assert max(waits[:5]) <= 1
    assert not [sentence for sentence in said(caplog) if "in a row" in sentence]


def test_a_vendor_that_closes_connection_after_connection_is_reported(
    settings: Settings, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """From the third short life on, with what usually is the cause."""
    with Leaving().listening() as vendor:
        connect_until(settings, vendor.url, waits, 4)
    rows = [sentence for sentence in said(caplog) if "in a row" in sentence]
    assert rows[:2] == [
        f"Feed twelvedata: the vendor closed {number} connections in a row soon after accepting them, which usually"
        " means that the key has too many connections: find out who else uses this key, or combine symbols in one feed."
        for number in (3, 4)
    ]
    ends = [sentence for sentence in said(caplog) if "ended (" in sentence]
    assert ends[0].startswith(
        f"Feed twelvedata: the connection to {vendor.url} ended (the vendor closed it with code 1001)."
    )


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ws://nobody.invalid/", "[Errno -"),  # a name that nobody has
        ("wss://{plain}/", ""),  # a server that does not speak TLS ends the connection, which is worded variously
        ("wss://{untrusted}/", "[SSL ROUTINES: CERTIFICATE_VERIFY_FAILED]"),
        (NOBODY, "[Errno 111] Connect call failed"),
    ],
    ids=["DNS", "no TLS", "certificate", "nobody"],
)
def test_an_address_that_does_not_answer_is_tried_again(
    settings: Settings, waits: list[float], caplog: pytest.LogCaptureFixture, url: str, reason: str
) -> None:
    """Names, certificates and machines come back."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(Path(__file__).with_name("untrusted.pem"))
    with Vendor().listening() as plain, Vendor().listening(tls=tls) as untrusted:
        url = url.format(plain=plain.url.split("/")[2], untrusted=untrusted.url.split("/")[2])
        connect_until(settings, url, waits, 2)
    for sentence in said(caplog)[:2]:
        assert sentence.startswith(f"Feed twelvedata: {url} cannot be reached ({reason}")
        assert not sentence.endswith("().")


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_failing_vendor_is_tried_again(
    settings: Settings, waits: list[float], caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """A status that says nothing about the key."""
    with answering(status) as vendor:
        connect_until(settings, vendor.url, waits, 2)
    assert said(caplog)[:2] == [f"Feed twelvedata: {vendor.url} responded to the handshake with HTTP {status}."] * 2


@pytest.mark.parametrize("status", [200, 400, 401, 403])
def test_a_handshake_that_rejects_the_key_ends_the_feed(settings: Settings, waits: list[float], status: int) -> None:
    """Twelve Data answers a wrong key with a plain 200 at times."""
    with answering(status) as vendor, pytest.raises(TerminalError) as caught:
        connect_until(settings, vendor.url, waits, 1)
    assert str(caught.value) == (
        f"Feed twelvedata: {vendor.url} rejected the API key (HTTP {status}): correct TWELVEDATA_API_KEY."
    )
    assert waits == []


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (b'{"event":"error","status":"error","messages":["Invalid api_key"]}', "Invalid api_key"),
        (b'{"event":"error","code":401,"message":"Unauthorized"}', "Unauthorized"),
        (b'{"status":"error","code":403}', "code 403"),
        (b'{"status":"error","message":"**apikey** parameter is incorrect"}', "**apikey** parameter is incorrect"),
    ],
)
def test_an_error_about_the_key_ends_the_feed(settings: Settings, waits: list[float], frame: bytes, words: str) -> None:
    """The connection is made, and the vendor says why it is useless."""
    with Vendor().listening() as vendor:
        vendor.answers = (frame,)
        with pytest.raises(TerminalError) as caught:
            connect_until(settings, vendor.url, waits, 1)
    assert str(caught.value) == (
        f"Feed twelvedata: {vendor.url} rejected the API key ({words}): correct TWELVEDATA_API_KEY."
    )
