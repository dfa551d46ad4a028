"""`candleworks status`: what feeds and symbols do, for people and for programs."""

import json

import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from tests.cli.conftest import Invoke

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)  # the queries are tested on both


@pytest.fixture(autouse=True)
def states(connection: Connection) -> None:
    """A configured feed that runs, one that only has a gap, a refused symbol, two ticks."""
    connection.execute(
        "INSERT INTO ingest_stats VALUES"
        " ('twelvedata', date_trunc('minute', now()) - interval '1 hour', 1000, 2, 1, 2, 3, 0, 1, 3, 4, 5),"
        " ('twelvedata', date_trunc('minute', now()), 7, 2, 1, 2.5, 3, 12, 0, 1, 0, 5)"
    )
    connection.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason) VALUES"
        " ('twelvedata', NULL, now(), NULL, 'closed'), ('elsewhere', NULL, now(), now(), 'silent')"
    )
    connection.execute("INSERT INTO feed_symbols VALUES ('twelvedata', 'NOPE', 'refused', 'not found', now())")
    connection.execute("SELECT candleworks.prepare_ticks(now() - interval '1 day', now())")
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price) VALUES"
        " (now() - interval '3 hours', 'AAPL', 1), (now() - interval '30 seconds', 'BTC/USD', 2)"
    )


def test_programs_get_all_of_it(invoke: Invoke, dsn: str) -> None:
    """Latest ten seconds and totals apart; what a feed never reported is not there."""
    ended = invoke("status", "--json", CANDLEWORKS_DSN=dsn)
    assert (ended.status, ended.errors) == (0, "")
    status = json.loads(ended.output)
    elsewhere, twelvedata = status["feeds"]
    assert (twelvedata["ticks"], twelvedata["spool_depth"], twelvedata["lag_ms_p99"]) == (7, 12, 2.5)
    assert twelvedata["totals"] == {
        "ticks": 1007,
        "batches": 4,
        "duplicates": 4,
        "rejected": 4,
        "reconnects": 1,
        "candles": 10,
        "quotes": 0,
        "duplicate_quotes": 0,
        "rejected_quotes": 0,
    }
    assert (twelvedata["gaps_open"], twelvedata["gaps_unfilled"]) == (1, 0)
    assert [(each["symbol"], each["reason"]) for each in twelvedata["refused"]] == [("NOPE", "not found")]
    assert (elsewhere["feed"], elsewhere["gaps_unfilled"], elsewhere["since"]) == ("elsewhere", 1, None)
    assert "at" not in elsewhere
    ages = {symbol["symbol"]: symbol["age_seconds"] for symbol in status["symbols"]}
    assert ages.keys() == {"AAPL", "BTC/USD"}
    assert 10_800 <= ages["AAPL"] < 10_900
    assert status["database_bytes"] > 1_000_000
    assert len(status["levels"]) == 6


def test_a_feed_that_a_person_stopped_is_said_to_be(invoke: Invoke, dsn: str, connection: Connection) -> None:
    """When and how, for people and for programs."""
    connection.execute(
        "INSERT INTO feed_stops VALUES ('twelvedata', '2026-03-02 10:00+00', 'cancelled in Prefect', true)"
    )
    found = {each["feed"]: each for each in json.loads(invoke("status", "--json", CANDLEWORKS_DSN=dsn).output)["feeds"]}
    assert found["elsewhere"]["stopped_at"] is None
    assert found["twelvedata"]["stopped_at"].startswith("2026-03-02 10:00:00")
    assert found["twelvedata"]["stop_reason"] == "cancelled in Prefect"
    shown = invoke("status", CANDLEWORKS_DSN=dsn).output
    assert "stopped by an operator" in shown
    assert "cancelled in Prefect" in shown


def test_people_see_it_as_tables(invoke: Invoke, dsn: str) -> None:
    """The most silent symbols first, refused ones with the vendor's words."""
    ended = invoke("status", CANDLEWORKS_DSN=dsn)
    assert (ended.status, ended.errors) == (0, "")
    lines = [" ".join(line.strip("│┃ ").replace("│", " ").split()) for line in ended.output.splitlines()]
    for line in (
        "ticks - 7",
        "ticks 0 1,007",
        "gaps open 0 1",
        "gaps unfilled 1 0",
        "refused symbols 0 1",
        "queued - 12",
    ):
        assert line in lines
    symbols = [line for line in lines if line.startswith(("AAPL", "BTC/USD"))]
    assert [line.split()[0] for line in symbols] == ["AAPL", "BTC/USD"]
    assert symbols[0].endswith(" 3 h")
    assert any(line.startswith("NOPE twelvedata ") and line.endswith(" not found") for line in lines)
