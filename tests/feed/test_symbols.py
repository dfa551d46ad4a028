"""The symbols of a running feed: refused, listed elsewhere, silent, added and removed."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.feed import connection as connection_module
from candleworks.feed import liveness
from candleworks.settings import Settings
from candleworks.simulate import running_simulator
from tests.feed.streaming import Ingest, count, price, rejected, streaming, until
from tests.feed.vendor import Vendor

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)  # nothing here depends on it
NOW = int(time.time())


def answer(*accepted: str, **refused: str) -> bytes:
    fails = [{"symbol": symbol, "message": words} for symbol, words in refused.items()]
    success = [{"symbol": symbol} for symbol in accepted]
    return json.dumps(
        {"event": "subscribe-status", "status": "ok", "success": success, "fails": fails or None}
    ).encode()


def notices_of(running: Ingest) -> list[tuple[str, str]]:
    return [(notice.name, notice.subject) for notice in running.notices]


def symbols(connection: Connection) -> dict[str, tuple[str, str | None]]:
    rows = connection.execute("SELECT symbol, status, reason FROM feed_symbols WHERE feed = 'twelvedata'").fetchall()
    return {symbol: (status, reason) for symbol, status, reason in rows}


def requests(vendor: Vendor) -> list[dict[str, Any]]:
    """What the vendor received, without heartbeats."""
    messages = [json.loads(message) for message in vendor.received]
    return [message for message in messages if message["action"] != "heartbeat"]


@contextmanager
def ticking(vendor: Vendor, symbol: str) -> Iterator[None]:
    """A tick of this symbol every tenth of a second."""
    enough = threading.Event()

    def speak() -> None:
        while not enough.wait(0.1):
            vendor.send(price(int(time.time()), symbol=symbol))

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


@pytest.fixture
def watchful(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Two seconds of silence are too much."""
    monkeypatch.setattr(liveness, "CHECK_INTERVAL_SECONDS", 0.1)
    silence = settings.silence.model_copy(update={"around_the_clock_seconds": 2, "feed_seconds": 2})
    return settings.model_copy(update={"silence": silence})


def test_refused_symbols_are_remembered_and_asked_for_again(
    settings: Settings,
    vendor: Vendor,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With the vendor's reason, and one notice; they alone are asked for again, and stream as soon as they may."""
    assert connection_module.RETRY_REFUSED_SECONDS == 900
    monkeypatch.setattr(connection_module, "RETRY_REFUSED_SECONDS", 0.2)
    caplog.set_level(logging.INFO)
    vendor.answers = (answer("AAPL", NOPE="not in your plan"),)
    with streaming(settings, vendor.url, "AAPL", "NOPE") as running:
        until(lambda: symbols(connection).get("NOPE") == ("refused", "not in your plan"))
        vendor.answers = (answer(NOPE="not in your plan"),)
        until(lambda: len(vendor.received) >= 4)
        assert notices_of(running) == [("feed.refused", "twelvedata/NOPE")]
        assert running.notices[0].facts == {"feed": "twelvedata", "symbol": "NOPE", "reason": "not in your plan"}
        vendor.answers = (answer("NOPE"),)
        until(lambda: symbols(connection)["NOPE"] == ("streaming", None))
        asked = len(vendor.received)
        vendor.send(price(NOW, symbol="NOPE"))
        until(lambda: count(connection) == 1)
        assert len(vendor.received) <= asked + 1
    retry = '{"action":"subscribe","params":{"symbols":"NOPE"}}'
    assert set(vendor.received[1:]) == {retry}
    assert len(vendor.paths) == 1
    assert symbols(connection)["AAPL"] == ("streaming", None)
    said = [record.getMessage() for record in caplog.records]
    assert said.count("Feed twelvedata: the vendor refused NOPE (not in your plan).") == 1
    assert said.count("Feed twelvedata streams 2 of 2 symbols.") == 1
    assert "Feed twelvedata streams 0 of 2 symbols." not in said


def test_listings_are_singled_out(settings: Settings, connection: Connection) -> None:
    """By market, exchange or type; each is stored under a name of its own."""
    toronto, new_york = {"symbol": "RY", "mic_code": "XTSE"}, {"symbol": "RY", "exchange": "NYSE", "store_as": "BANK"}
    coin = {"symbol": "BTC/USD", "type": "Digital Currency"}
    wrong = {"symbol": "AAPL", "mic_code": "XTSE"}
    names = ["BANK", "BTC/USD", "RY:XTSE"]
    with (
        running_simulator(rate=200, symbols=["RY:TSX", "RY:NYSE", "BTC/USD", "AAPL"]) as simulator,
        streaming(settings, simulator.feed_url, toronto, new_york, coin, wrong),
    ):
        found = "SELECT DISTINCT symbol FROM stocks_real_time ORDER BY 1"
        until(lambda: [name for (name,) in connection.execute(found).fetchall()] == names)
        until(lambda: len(symbols(connection)) == 4 and symbols(connection)["BANK"][0] == "streaming")
    assert rejected(connection) == []
    dear = connection.execute("SELECT DISTINCT symbol FROM stocks_real_time WHERE price BETWEEN 180 AND 240").fetchall()
    assert dear == [("RY:XTSE",)]  # 208 dollars in Toronto, 148 in New York
    assert {name: status for name, (status, _) in symbols(connection).items()} == {
        **dict.fromkeys(names, "streaming"),
        "AAPL:XTSE": "refused",
    }


def test_symbols_come_and_go_on_the_running_connection(
    settings: Settings, vendor: Vendor, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """The vendor receives no more than the difference; what comes back is asked for again."""
    caplog.set_level(logging.INFO)
    vendor.answers = (answer("AAPL", "MSFT"),)
    with streaming(settings, vendor.url, "AAPL", "MSFT") as running:
        until(lambda: symbols(connection).get("MSFT") == ("streaming", None))
        vendor.answers = (answer("BTC/USD"),)
        running.follow("AAPL", "BTC/USD")
        until(lambda: len(requests(vendor)) == 3)
        vendor.send(price(NOW, symbol="AAPL"), price(NOW, symbol="BTC/USD"), price(NOW, symbol="MSFT"))
        until(lambda: count(connection) == 3)
        until(lambda: symbols(connection).get("MSFT") == ("removed", None))
        until(lambda: symbols(connection).get("BTC/USD") == ("streaming", None))
        vendor.answers = (answer("MSFT"),)
        running.follow("AAPL", "BTC/USD", "MSFT")
        until(lambda: len(requests(vendor)) == 4)
        until(lambda: symbols(connection)["MSFT"] == ("streaming", None))
    assert requests(vendor)[1:] == [
        {"action": "unsubscribe", "params": {"symbols": "MSFT"}},
        {"action": "subscribe", "params": {"symbols": "BTC/USD"}},
        {"action": "subscribe", "params": {"symbols": "MSFT"}},
    ]
    assert len(vendor.paths) == 1
    assert rejected(connection) == []
    said = [record.getMessage() for record in caplog.records]
    assert "Feed twelvedata: configuration reloaded, 1 symbols added, 1 removed." in said
    assert "Feed twelvedata: configuration reloaded, 1 symbols added, 0 removed." in said
    assert said.count("Feed twelvedata streams 3 of 3 symbols.") == 1


@pytest.mark.usefixtures("quick_reconnect")
def test_a_vendor_that_says_nothing_is_connected_anew(
    watchful: Settings, vendor: Vendor, connection: Connection
) -> None:
    """The time since the last tick is a gap, heartbeats or not, until the next tick."""
    vendor.answers = (answer("BTC/USD"),)
    gaps = "SELECT symbol, reason, extract(epoch FROM started_at)::int, ended_at IS NULL FROM feed_gaps ORDER BY id"
    with streaming(watchful, vendor.url, "BTC/USD") as running:
        until(lambda: vendor.received)
        last = int(time.time())
        vendor.send(price(last, symbol="BTC/USD"))
        until(lambda: count(connection) == 1)
        after = int(time.time())
        while len(vendor.paths) == 1:
            time.sleep(0.2)
            vendor.send(b'{"event":"heartbeat","status":"ok"}')
        until(lambda: connection.execute(gaps).fetchall())
        [(symbol, reason, started, is_open)] = connection.execute(gaps).fetchall()
        assert (symbol, reason, is_open) == (None, "silent", True)
        assert last <= started <= after
        until(lambda: len(vendor.received) >= 2)
        vendor.send(price(int(time.time()), symbol="BTC/USD"))
        until(lambda: not connection.execute(gaps).fetchall()[0][3])
        assert notices_of(running)[:2] == [("feed.gap-opened", "twelvedata"), ("feed.gap-closed", "twelvedata")]


def test_one_silent_symbol_among_others_has_a_gap_of_its_own(
    watchful: Settings, vendor: Vendor, connection: Connection
) -> None:
    """The others stream on over the same connection; it ends when the symbol ticks."""
    vendor.answers = (answer("BTC/USD", "ETH/USD"),)
    gaps = "SELECT symbol, reason, ended_at IS NULL FROM feed_gaps ORDER BY id"
    with streaming(watchful, vendor.url, "BTC/USD", "ETH/USD") as running, ticking(vendor, "BTC/USD"):
        until(lambda: connection.execute(gaps).fetchall())
        assert connection.execute(gaps).fetchall() == [("ETH/USD", "silent", True)]
        until(lambda: vendor.send(price(int(time.time()), symbol="ETH/USD")))
        until(lambda: connection.execute(gaps).fetchall()[0] == ("ETH/USD", "silent", False))
        assert notices_of(running)[:2] == [
            ("feed.gap-opened", "twelvedata/ETH/USD"),
            ("feed.gap-closed", "twelvedata/ETH/USD"),
        ]
    assert len(vendor.paths) == 1


def test_the_silence_of_a_symbol_does_not_outlive_a_restart(
    watchful: Settings, vendor: Vendor, connection: Connection
) -> None:
    """Its gap ends with the next start, which would know nothing of it."""
    vendor.answers = (answer("BTC/USD", "ETH/USD"),)
    open_gaps = "SELECT symbol, reason FROM feed_gaps WHERE ended_at IS NULL ORDER BY id"
    with streaming(watchful, vendor.url, "BTC/USD", "ETH/USD"), ticking(vendor, "BTC/USD"):
        until(lambda: connection.execute(open_gaps).fetchall() == [("ETH/USD", "silent")])
    assert connection.execute(open_gaps).fetchall() == [("ETH/USD", "silent"), (None, "stopped")]
    with streaming(watchful, vendor.url, "BTC/USD", "ETH/USD"):
        until(lambda: connection.execute(open_gaps).fetchall() == [])
