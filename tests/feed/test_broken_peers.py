"""Whatever a peer sends, it ends its connection at most: never the feed, and never another feed."""

import asyncio
import time
from typing import Any

import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.feed import reconnection, wire
from candleworks.runtime import streaming as runtime_streaming
from candleworks.settings import Feed, Settings
from tests.feed.broken_peers import FRAMES, HANDSHAKES, BrokenPeers
from tests.feed.streaming import count, counted, price, streaming, until
from tests.feed.vendor import Vendor

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)  # nothing here depends on it
TOTAL = 200
NOW = int(time.time())


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waits between connections, and little patience with a handshake."""
    monkeypatch.setattr(reconnection, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(reconnection, "MAX_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(wire, "OPEN_TIMEOUT_SECONDS", 0.2)


@pytest.mark.usefixtures("hasty")
def test_two_hundred_broken_peers_do_not_end_the_feed(settings: Settings, connection: Connection) -> None:
    """Half answers, banners of other protocols, alerts of TLS, resets, and frames that RFC 6455 forbids."""
    assert 2 * max(len(HANDSHAKES), len(FRAMES)) <= TOTAL
    peers = BrokenPeers(TOTAL, price(NOW, 4711.0))
    with peers.listening() as url, streaming(settings, url, "AAPL"):
        until(lambda: peers.connections > TOTAL, 90)
        until(lambda: count(connection) >= 1)
    assert connection.execute("SELECT count(*) FROM stocks_real_time WHERE price = 4711").fetchone() == (1,)
    redirected = 3  # to the next of the connections, which is no reconnect
    assert counted(connection, "reconnects") >= TOTAL - redirected


def test_a_feed_that_fails_unexpectedly_leaves_the_others_streaming(
    settings: Settings, vendor: Vendor, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error, which is none of ours, is raised when the others have ended."""
    real = runtime_streaming.ingest

    async def ingest(settings: Settings, feed: Feed, dsn: str, **others: Any) -> None:
        assert feed.name == "sound", "a fault in the program"
        await real(settings, feed, dsn, **others)

    monkeypatch.setattr(runtime_streaming, "ingest", ingest)
    feeds = [Feed.model_validate({"name": name, "symbols": ["AAPL"], "url": vendor.url}) for name in ("bad", "sound")]
    assert settings.dsn
    dsn = settings.dsn.get_secret_value()

    async def run() -> None:
        streams = asyncio.create_task(runtime_streaming.stream_feeds(settings, feeds, dsn, 6, None))
        await asyncio.to_thread(until, lambda: vendor.received)
        await asyncio.to_thread(vendor.send, price(NOW))
        await streams

    with pytest.raises(AssertionError, match="a fault in the program"):
        asyncio.run(run())
    assert count(connection) == 1


def test_statistics_that_the_database_refuses_do_not_end_the_feed(
    settings: Settings, vendor: Vendor, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """What runs beside the stream is reported, once, and tried again: ticks are stored meanwhile."""
    refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$"
    connection.execute(refuse)
    connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON ingest_stats FOR EACH ROW EXECUTE FUNCTION refuse()")
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: "not today" in caplog.text)
        time.sleep(2.5)  # two more attempts
        vendor.send(price(NOW))
        until(lambda: count(connection) == 1)
        connection.execute("DROP TRIGGER refuse ON ingest_stats")
        until(lambda: counted(connection, "ticks") == 1)
    assert len([record for record in caplog.records if "not today" in record.getMessage()]) == 1
