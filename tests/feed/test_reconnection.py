"""A feed that stays connected: it reconnects after every end, unless that cannot succeed."""

import asyncio
import ssl
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from pydantic import SecretStr
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.sync.server import ServerConnection

from candleworks.errors import TerminalError
from candleworks.feed import reconnection
from candleworks.feed.service import FeedService
from candleworks.feed.spool import Spool
from candleworks.settings import Feed, Settings, load_settings
from tests.feed.streaming import price, until
from tests.feed.vendor import ACCEPTED, Vendor

NOW = int(time.time())
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
        feed = Feed(url=url)
        spool = Spool(settings.home / "spool" / feed.name, feed.name, settings.ingest.max_spool_bytes)
        service = FeedService(settings, feed, "", spool)
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


class Ticking(Vendor):
    """A vendor that sends a tick on every connection, and ends it."""

    def serve(self, connection: ServerConnection) -> None:
        connection.recv()
        connection.send(ACCEPTED, text=True)
        connection.send(price(NOW), text=True)
        connection.close(1001)


class Accepting(Vendor):
    """A vendor that accepts the key on every connection, and ends it."""

    def serve(self, connection: ServerConnection) -> None:
        connection.recv()
        connection.send(ACCEPTED, text=True)
        connection.close(1001)


def response(status: int, body: bytes = b"") -> Response:
    headers = Headers({"Content-Length": str(len(body))}) if body else Headers()
    return Response(status, HTTPStatus(status).phrase, headers, body)


@contextmanager
def answering(status: int, body: bytes = b"", accepted: int = 0) -> Iterator[Vendor]:
    """A vendor that answers every handshake so, after it has accepted as many with the key."""
    left = iter(range(accepted))
    with Accepting().listening(
        lambda _, __: None if next(left, None) is not None else response(status, body)
    ) as vendor:
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


def test_waits_start_over_as_soon_as_ticks_flow(settings: Settings, waits: list[float]) -> None:
    """However short a connection with ticks was, the next attempt follows within a second, and each time later."""
    troubled = iter([*[503] * 5, None, *[None] * 10, *[503] * 3])

    def answer(*_: object) -> Response | None:
        status = next(troubled, 503)
        return None if status is None else response(status)

    with Ticking().listening(answer) as vendor:
        connect_until(settings, vendor.url, waits, 19)
    assert waits[4] >= 8
    assert max(waits[5:16]) < 1
    assert len(set(waits[5:16])) == 11
    assert [0.5 * 2**tried <= wait <= 2**tried for tried, wait in enumerate(waits[16:19])] == [True] * 3


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
def test_a_handshake_that_refuses_a_key_which_never_worked_ends_the_feed(
    settings: Settings, waits: list[float], status: int
) -> None:
    """Twelve Data answers a wrong key with a plain 200 at times."""
    with answering(status) as vendor, pytest.raises(TerminalError) as caught:
        connect_until(settings, vendor.url, waits, 1)
    assert str(caught.value) == (
        f"Feed twelvedata: {vendor.url} rejected the API key (HTTP {status}): correct TWELVEDATA_API_KEY."
    )
    assert waits == []


@pytest.mark.parametrize("status", [200, 400, 401, 403])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_page_does_not_end_a_feed_whose_key_has_worked(
    settings: Settings, waits: list[float], caplog: pytest.LogCaptureFixture, status: int, *, restarted: bool
) -> None:
    """It is one of a firewall or of maintenance: the feed quotes it and tries again slowly, after a restart as well."""
    page = b"<html><style>p {}</style><title>Access\x07 denied</title>for &apikey=s3cret&, ask us" + b"!" * 500
    settings = settings.model_copy(update={"api_key": SecretStr("s3cret")})
    with answering(status, page, accepted=1) as vendor:
        if restarted:
            connect_until(settings, vendor.url, waits, 1)
        connect_until(settings, vendor.url, waits, 10)
    quoted = f"HTTP {status}: Access denied for &apikey=(key)&, ask us{'!' * 60}..."
    refusals = {sentence for sentence in said(caplog) if "refused" in sentence}
    assert len(refusals) == 1
    assert refusals.pop() == (
        f"Feed twelvedata: {vendor.url} refused the API key, which it has accepted before ({quoted}): check the"
        " vendor's status and any proxy in between, and correct TWELVEDATA_API_KEY if the key was revoked."
    )
    assert "s3cret" not in caplog.text
    assert 5 <= waits[1] <= 20
    assert 150 <= waits[9] <= 300


@pytest.mark.parametrize("status", [200, 400, 401])
def test_the_vendors_own_401_ends_a_feed_whose_key_has_worked(
    settings: Settings, waits: list[float], status: int
) -> None:
    """The key was revoked: another attempt cannot succeed."""
    body = b'{"code":401,"message":"**apikey** parameter is incorrect","status":"error"}'
    with answering(status, body, accepted=1) as vendor, pytest.raises(TerminalError) as caught:
        connect_until(settings, vendor.url, waits, 3)
    assert str(caught.value) == (
        f"Feed twelvedata: {vendor.url} rejected the API key (HTTP {status}): correct TWELVEDATA_API_KEY."
    )


def test_another_key_is_not_taken_for_the_one_that_has_worked(settings: Settings, waits: list[float]) -> None:
    """What is remembered is a salted hash, which only its owner can read."""
    former, other = (settings.model_copy(update={"api_key": SecretStr(key)}) for key in ("s3cret", "typo"))
    with answering(403, accepted=1) as vendor:
        connect_until(former, vendor.url, waits, 2)
        with pytest.raises(TerminalError, match="rejected the API key"):
            connect_until(other, vendor.url, waits, 3)
    remembered = settings.home / "accepted-keys" / "twelvedata"
    assert stat.S_IMODE(remembered.stat().st_mode) == 0o600
    assert stat.S_IMODE(remembered.parent.stat().st_mode) == 0o700
    assert "s3cret" not in remembered.read_text()


def test_a_key_that_cannot_be_remembered_works(
    settings: Settings, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """On a full or read-only disk, say: until the end of the process it is known all the same."""
    settings.home.mkdir()
    (settings.home / "accepted-keys").write_text("a file where a directory should be")
    with answering(403, accepted=1) as vendor:
        connect_until(settings, vendor.url, waits, 3)
    assert "cannot be written" in caplog.text


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


KEY_FRAMES = [
    b'{"event":"error","status":"error","messages":["Invalid api_key"]}',
    b'{"event":"error","code":400,"message":"apikey s3cret is incorrect"}',
    b'{"status":"error","code":403}',
]


@pytest.mark.parametrize("frame", KEY_FRAMES)
def test_an_error_about_a_key_that_has_worked_is_waited_for(
    settings: Settings, waits: list[float], caplog: pytest.LogCaptureFixture, frame: bytes
) -> None:
    """Unless it is the vendor's own 401."""
    settings = settings.model_copy(update={"api_key": SecretStr("s3cret")})
    with Vendor().listening() as vendor:
        vendor.answers = (ACCEPTED, frame)
        connect_until(settings, vendor.url, waits, 2)
        assert min(waits) >= 5
        vendor.answers = (b'{"event":"error","code":401,"message":"Unauthorized"}',)
        with pytest.raises(TerminalError, match="rejected the API key"):
            connect_until(settings, vendor.url, waits, 4)
    assert "s3cret" not in caplog.text


def test_an_error_about_credits_does_not_blame_the_key(
    settings: Settings, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """Status 429, whatever words it comes with."""
    frame = b'{"event":"error","status":"error","code":429,"message":"Too many requests with this apikey"}'
    with Vendor().listening() as vendor:
        vendor.answers = (frame,)

        def close_later() -> None:
            until(lambda: vendor.received)
            until(lambda: "Too many requests" in caplog.text)
            vendor.close()

        closing = threading.Thread(target=close_later)
        closing.start()
        connect_until(settings, vendor.url, waits, 1)
        closing.join()
    assert "message from the vendor: 'Too many requests with this apikey'" in caplog.text
