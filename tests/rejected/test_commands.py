"""`rejected list`, `show` and `retry`."""

import json

import pytest

from candleworks.clock import now
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.model.trades import Rejection, microseconds_of
from candleworks.storage.rejected import quarantine
from tests.cli.conftest import Invoke

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
EVENT_TIME = int(now().timestamp()) - 3_600  # seconds since 1970


@pytest.fixture
def refused(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Number 1 has a price below zero, number 2 is no JSON, number 3 came a year ago."""
    monkeypatch.setenv("COLUMNS", "220")
    frame = f'{{"event":"price","symbol":"AAPL","timestamp":{EVENT_TIME},"price":-1}}'
    us = microseconds_of(now())
    quarantine(connection, "twelvedata", [Rejection(us, "price -1.0 is negative", frame)])
    quarantine(connection, "twelvedata", [Rejection(us, "not JSON: Expecting value", "[/bold] hello")])
    quarantine(connection, "/data/old.csv", [Rejection(us - 365 * 86_400_000_000, "line 2: too old", "x,y", "line", 2)])
    return connection


def test_refused_ticks_are_listed(invoke: Invoke, dsn: str, refused: Connection) -> None:  # noqa: ARG001
    """Newest first, by feed, reason or age; what they are sums up in one line."""

    def listed(*options: str) -> list[int]:
        found = invoke("rejected", "list", *options, "--json", CANDLEWORKS_DSN=dsn)
        assert (found.status, found.errors) == (0, "")
        return [tick["id"] for tick in json.loads(found.output)]

    assert listed() == [3, 2, 1]
    assert listed("--feed", "twelvedata") == [2, 1]
    assert listed("--reason", "NEGATIVE") == [1]
    assert listed("--since", "7d", "--limit", "1") == [2]
    text = invoke("rejected", "list", CANDLEWORKS_DSN=dsn).output
    assert "price -1.0 is negative" in text
    assert "[/bold] hello" in text
    assert text.endswith("rejected and not stored: 1 of /data/old.csv, 2 of twelvedata\n")


def test_a_refused_tick_is_shown_and_retried(invoke: Invoke, dsn: str, refused: Connection) -> None:
    """Corrected, it is stored, its candles follow, and it leaves the list."""
    done = invoke("rejected", "retry", "1", "--set", "price=2.5", CANDLEWORKS_DSN=dsn)
    assert done == (0, "1 stored\n", "")
    assert refused.execute("SELECT close, ticks FROM candles_1m").fetchall() == [(2.5, 1)]
    shown = invoke("rejected", "show", "1", CANDLEWORKS_DSN=dsn).output
    assert '"price":-1}' in shown
    assert "outcome      stored\n" in shown
    assert '"price":2.5}' in shown
    assert invoke("rejected", "retry", "1", CANDLEWORKS_DSN=dsn) == (0, "1 resolved before\n", "")
    found = json.loads(invoke("rejected", "list", "--json", "--feed", "twelvedata", CANDLEWORKS_DSN=dsn).output)
    assert [tick["id"] for tick in found] == [2]


def test_what_is_refused_again_is_told(invoke: Invoke, dsn: str, refused: Connection) -> None:  # noqa: ARG001
    """With its number and reason, and status 1; the others are stored."""
    options = ("--feed", "twelvedata", "--set", "price=3")
    done = invoke("rejected", "retry", *options, "--set", "symbol=AAPL", CANDLEWORKS_DSN=dsn)
    assert (done.status, done.output) == (1, "1 stored, 1 rejected again\n")
    assert done.errors == "2: timestamp is missing\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "No ticks were chosen: give numbers, or --feed, --reason or --since."),
        (("9",), "There is no rejected tick 9: choose one of `candleworks rejected list`."),
        (("1", "--set", "price"), "'price' is not an assignment: write a field and its value, such as price=12.5."),
        (("1", "2", "--payload", "x"), "--payload applies to a single rejected tick: give its number."),
    ],
)
def test_mistakes_are_explained(
    invoke: Invoke,
    dsn: str,
    refused: Connection,  # noqa: ARG001
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    """In one line, with status 2."""
    assert invoke("rejected", "retry", *arguments, CANDLEWORKS_DSN=dsn) == (2, "", f"{sentence}\n")
