"""Whatever arrives between the ticks, the stream continues and nothing is dropped silently."""

import json
import time
from pathlib import Path

import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.settings import Settings
from candleworks.simulate import running_simulator
from tests.feed.streaming import (
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
from tests.feed.vendor import Vendor

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)  # nothing here depends on it
NOW = int(time.time())
LATER = NOW + 100_000


def event(**changes: object) -> str:
    known = {"event": "price", "symbol": "AAPL", "timestamp": NOW, "price": 1.5, "day_volume": 7}
    return json.dumps({key: value for key, value in (known | changes).items() if value is not ...})


BAD = {
    "a missing price": (event(price=...), "price is missing"),
    "a null price": (event(price=None), "price is null, not a finite number"),
    "a negative price": (event(price=-1.5), "price -1.5 is negative"),
    "a price of zero": (event(price=0), "price 0.0 is zero"),
    "a price that is NaN": (event(price=float("nan")), "price is NaN, not a finite number"),
    "a price in quotes": (event(price="1.5"), 'price is "1.5", not a finite number'),
    "a symbol that is not subscribed": (event(symbol="GOOG"), "symbol 'GOOG' is not subscribed"),
    "a missing symbol": (event(symbol=...), "symbol is missing"),
    "a time in the future": (event(timestamp=LATER), f"event time {LATER} is # s in the future"),
    "a time in milliseconds": (event(timestamp=NOW * 1000), f"event time {NOW * 1000} is # s in the future"),
    "a time before 1990": (event(timestamp=1), "event time 1 is before 1990"),
    "a time that is not a number": (event(timestamp="now"), 'timestamp is "now", not a whole number of seconds'),
    "a time with a fraction": (event(timestamp=1.5), "timestamp is 1.5, not a whole number of seconds"),
    "not JSON": ("hello", "not JSON: Expecting value: line 1 column 1 (char 0)"),
    "an unknown event": (event(event="dividend"), 'unknown event "dividend"'),
    "two events in one frame": (
        f"{event()},{event()}",
        f"not JSON: Extra data: line 1 column {len(event()) + 1} (char {len(event())})",
    ),
    "an empty frame": ("", "empty frame"),
    "a negative day volume": (event(day_volume=-7), "day_volume -7.0 is negative"),
}


def without_age(reason: str) -> str:
    """How far an event time lies ahead depends on when the tick arrived."""
    words = reason.split()
    return " ".join([*words[:4], "#", *words[5:]]) if reason.endswith("in the future") else reason


def test_bad_ticks_are_kept_and_counted_while_the_others_stream(
    settings: Settings, connection: Connection, tmp_path: Path
) -> None:
    """Each is kept in `rejected_ticks` as received, with its reason; every tick around it is stored."""
    journal = tmp_path / "journal"
    with (
        running_simulator(rate=300, symbols=["AAPL", "BTC/USD"], journal=journal) as simulator,
        streaming(settings, simulator.feed_url, "AAPL", "BTC/USD"),
    ):
        until(lambda: count(connection) > 10)
        for text, _ in BAD.values():
            assert simulator.send(text) == 1
        until(lambda: len(rejected(connection)) == len(BAD))
        before = count(connection)
        until(lambda: count(connection) > before + 10)
        assert simulator.stats()["accepted_connections"] == 1
    found = [(without_age(reason), payload) for reason, payload in rejected(connection)]
    assert found == [(reason, text) for text, reason in BAD.values()]
    assert connection.execute("SELECT DISTINCT feed FROM rejected_ticks").fetchall() == [("twelvedata",)]
    assert stored(connection) == trades_of(read_journal(journal))
    assert counted(connection, "rejected") == len(BAD)
    assert counted(connection, "ticks") == count(connection)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"\xff" + price(NOW), "not UTF-8: invalid start byte at byte 0"),
        (b"x" * 1_000_000, "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b'{"event":"price","note":' + b"[" * 500_000, "not a price event: nested too deeply"),
        (b"a\x00b", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (price(NOW, symbol="A\x00"), "symbol 'A\\x00' is not subscribed"),
    ],
    ids=["not UTF-8", "a megabyte of garbage", "deeply nested", "a zero byte", "an escaped zero byte"],
)
def test_frames_that_no_simulator_sends_are_survived(
    settings: Settings, vendor: Vendor, connection: Connection, frame: bytes, reason: str
) -> None:
    """Ticks before and after them in the same batch are stored; what text in the database cannot hold is replaced."""
    with streaming(settings, vendor.url, "AAPL"):
        until(lambda: vendor.received)
        vendor.send(price(NOW), frame, price(NOW + 1))
        until(lambda: count(connection) == 2)
    assert rejected(connection) == [(reason, frame.decode(errors="replace").replace("\x00", "\ufffd"))]
    assert stored(connection) == {Trade("AAPL", NOW + second, 1.0, None): 1 for second in (0, 1)}
    assert len(vendor.paths) == 1
