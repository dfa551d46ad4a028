"""Following a server that sends events, in a process that may lose it."""

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import candleworks as cw
from candleworks.errors import TransientError, UsageError
from candleworks.reader import following
from candleworks.reader.events import (
    CandleEvent,
    DatabaseEvent,
    GapEvent,
    LaggedEvent,
    ReloadEvent,
    SnapshotEvent,
    TickEvent,
)
from candleworks.reader.following import Frame, frames
from tests.serving import in_background

MOMENT = datetime(2026, 3, 2, 15, 0, 0, 250_001, tzinfo=UTC)
TICK = {"symbol": "AAPL", "time": 1772463600.250001, "price": 100.5, "volume": None, "bid": 100.4, "ask": 100.6}
CANDLE = {
    "symbol": "AAPL",
    "period": "1m",
    "price": "trade",
    "time": 1772463600,
    "open": 100.0,
    "high": 101.0,
    "low": 99.0,
    "close": 100.5,
    "volume": 12.0,
    "ticks": 3,
    "rebuilt": False,
    "closed": False,
    "revision": 7,
    "added_in_a_later_version": 1,
}
TAKEN = CandleEvent(
    **{key: value for key, value in CANDLE.items() if key not in ("time", "added_in_a_later_version")},  # type: ignore[arg-type]
    time=MOMENT.replace(microsecond=0),
)


def sent(name: str, data: Any, number: int | None = None) -> str:
    lead = "" if number is None else f"id: {number}\n"
    return f"{lead}event: {name}\ndata: {json.dumps(data)}\n\n"


class Script:
    """What the server answers to one request after the other, and what it was asked for."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[dict[str, list[str]], str | None]] = []


@contextlib.contextmanager
def playing(script: Script) -> Iterator[str]:
    """A server that closes the connection at the end of each answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert urlsplit(self.path).path == "/stream"
            script.asked.append((parse_qs(urlsplit(self.path).query), self.headers.get("Last-Event-ID")))
            status, text = script.answers.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, in_background(server, 0.01):
        yield f"http://127.0.0.1:{server.server_port}/"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "FIRST_RETRY_SECONDS", 0.01)


def test_every_event_has_a_type() -> None:
    """Times are times; fields that are not known yet are passed over, and so are events."""
    text = "".join(
        [
            "retry: 10\n\n: heartbeat\n\n",
            sent(
                "snapshot", {"symbol": "AAPL", "period": "1m", "price": "trade", "candles": [CANDLE], "tick": TICK}, 1
            ),
            sent("tick", TICK),
            sent("candle", CANDLE, 2),
            sent("invented_later", {}),
            sent("gap", {"symbol": "AAPL"}),
            sent("reload", {"symbol": "AAPL", "period": None, "from": 1772463600, "to": 1772463600.250001}),
            sent("lagged", {"reason": "too slow"}),
            sent("database", {"available": False, "error": "It is away."}),
        ]
    )
    tick = TickEvent(symbol="AAPL", time=MOMENT, price=100.5, bid=100.4, ask=100.6)
    with playing(Script((200, text))) as url:
        events = cw.stream("AAPL", url=url)
        assert [next(events) for _ in range(7)] == [
            SnapshotEvent(symbol="AAPL", period="1m", price="trade", candles=(TAKEN,), tick=tick),
            tick,
            TAKEN,
            GapEvent(symbol="AAPL"),
            ReloadEvent(symbol="AAPL", start=MOMENT.replace(microsecond=0), end=MOMENT),
            LaggedEvent(reason="too slow"),
            DatabaseEvent(available=False, error="It is away."),
        ]


def test_it_goes_on_where_it_was() -> None:
    """After a broken connection and a server that is restarting: the last id is that of the last event taken."""
    script = Script(
        (200, sent("gap", {"symbol": "A"}, 1) + sent("gap", {"symbol": "B"}, 2) + "id: 3\nevent: gap\ndata: {"),
        (503, '{"error": "The database does not answer."}'),
        (200, ": heartbeat\nid: 5\n\n"),
        (200, sent("gap", {"symbol": "C"}, 6)),
    )
    with playing(script) as url:
        events = cw.stream(["A", "B", "C"], ["1s", "1m"], ticks=False, price="mid", url=url)
        assert [next(events) for _ in range(3)] == [GapEvent(symbol=name) for name in "ABC"]
    assert [last_id for _, last_id in script.asked] == [None, "2", "2", "5"]
    query = {"symbols": ["A,B,C"], "periods": ["1s,1m"], "ticks": ["0"], "price": ["mid"]}
    assert all(asked == query for asked, _ in script.asked)


@pytest.mark.parametrize("status", [400, 404])
def test_a_refusal_is_raised(status: int) -> None:
    """In the server's sentence, and not asked again."""
    script = Script((status, '{"error": "The symbol \'APPL\' is not stored."}'))
    with playing(script) as url, pytest.raises(UsageError, match=r"^The symbol 'APPL' is not stored\.$"):
        next(cw.stream("APPL", url=url))


def test_a_server_that_does_not_answer_is_named() -> None:
    """When nothing has come from it yet: it may be another port, or nobody has started it."""
    with pytest.raises(
        TransientError, match=r"^The stream at http://127.0.0.1:1/stream cannot be followed \(.*\): start"
    ):
        next(cw.stream("AAPL", url="http://127.0.0.1:1"))
    with playing(Script((500, "oh"))) as url, pytest.raises(TransientError, match=r"\(status 500\)"):
        next(cw.stream("AAPL", url=url))


def test_frames_are_read_as_the_standard_says() -> None:
    """Lines of data are one text, a space after the colon belongs to nothing, a part at the end is dropped."""
    lines = ["event:a", "data: 1", "data:  2", "", ":", "", "id: 4", "", "", "data: lost"]
    assert list(frames(lines)) == [
        Frame("a", "1\n 2", None, None),
        Frame(None, None, None, None),
        Frame(None, None, "4", None),
    ]
