"""The known holes of a symbol, asked over HTTP."""

from datetime import datetime, timedelta

import httpx
import pytest

from candleworks.database.connection import Connection
from tests.web.conftest import MONDAY, Store, every_minute

Hole = tuple[str | None, int, int | None, bool]


def open_gaps(connection: Connection, *holes: Hole, feed: str = "stocks") -> None:
    """Keep holes: symbol, first and last minute after MONDAY, whether it was filled."""
    for symbol, start, stop, filled in holes:
        ended_at = None if stop is None else at(stop)
        connection.execute(
            "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason, filled_at)"
            " VALUES (%s, %s, %s, %s, 'disconnected', %s)",
            [feed, symbol, at(start), ended_at, at(1_000) if filled else None],
        )


def settle(connection: Connection, symbol: str, outcome: str, *, start: int) -> None:
    """Say what filling the gap that began at that minute came to for a symbol."""
    connection.execute(
        "INSERT INTO gap_fills (gap_id, symbol, outcome, bars, reason, attempts, at)"
        " SELECT id, %s, %s, 0, nullif(%s, 'filled'), 1, now() FROM feed_gaps WHERE started_at = %s",
        [symbol, outcome, outcome, at(start)],
    )


def at(minute: int) -> datetime:
    return MONDAY + timedelta(minutes=minute)


def starts(answer: httpx.Response) -> list[int]:
    moments = [datetime.fromisoformat(gap["started_at"]) for gap in answer.json()["gaps"]]
    return [round((moment - MONDAY).total_seconds() / 60) for moment in moments]


def test_gaps_have_the_agreed_shape(client: httpx.Client, store: Store, connection: Connection) -> None:
    """Oldest first; ended_at is null while a gap is open, filled_at until it was filled, outcome is the symbol's."""
    store("AAPL", every_minute(MONDAY, 1))
    open_gaps(connection, ("AAPL", 20, None, False), (None, 5, 8, True))
    settle(connection, "AAPL", "market_closed", start=5)
    settle(connection, "MSFT", "empty", start=5)
    common = {"feed": "stocks", "reason": "disconnected"}
    assert client.get("/gaps.json", params={"symbol": "AAPL"}).json() == {
        "symbol": "AAPL",
        "gaps": [
            {
                **common,
                "symbol": None,
                "started_at": "2026-03-02T09:35:00Z",
                "ended_at": "2026-03-02T09:38:00Z",
                "filled_at": "2026-03-03T02:10:00Z",
                "outcome": "market_closed",
            },
            {
                **common,
                "symbol": "AAPL",
                "started_at": "2026-03-02T09:50:00Z",
                "ended_at": None,
                "filled_at": None,
                "outcome": None,
            },
        ],
        "next": None,
    }


def test_only_gaps_that_concern_the_symbol_are_listed(
    client: httpx.Client, store: Store, connection: Connection
) -> None:
    """Its own, and those of feeds that stream it or of which nothing is known."""
    store("AAPL", every_minute(MONDAY, 1))
    connection.execute("INSERT INTO feed_symbols VALUES ('crypto', 'BTC/USD', 'streaming', NULL, now())")
    connection.execute("INSERT INTO feed_symbols VALUES ('stocks', 'AAPL', 'streaming', NULL, now())")
    open_gaps(connection, ("AAPL", 1, 2, False), ("MSFT", 3, 4, False), (None, 5, 6, False))
    open_gaps(connection, (None, 7, 8, False), feed="crypto")
    open_gaps(connection, (None, 9, 10, False), feed="unknown")
    assert starts(client.get("/gaps.json", params={"symbol": "AAPL"})) == [1, 5, 9]


def test_bounds_select_gaps_that_touch_the_range(client: httpx.Client, store: Store, connection: Connection) -> None:
    """One that ends where the range begins, or begins where it ends, is outside; an open one has no end."""
    store("AAPL", every_minute(MONDAY, 1))
    open_gaps(connection, *((None, start, start + 5, False) for start in (0, 5, 10, 15)), ("AAPL", 2, None, False))
    parameters = {"symbol": "AAPL", "from": at(5).isoformat(), "to": at(15).isoformat()}
    assert starts(client.get("/gaps.json", params=parameters)) == [2, 5, 10]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 9])
def test_pages_of_gaps_have_neither_doubles_nor_holes(
    client: httpx.Client, store: Store, connection: Connection, limit: int
) -> None:
    """Also where several began at once, which stay on one page."""
    store("AAPL", every_minute(MONDAY, 1))
    begun = [0, 3, 3, 3, 6, 9, 9]
    open_gaps(connection, *((None, start, 100, False) for start in begun))
    url, found = f"/gaps.json?symbol=AAPL&limit={limit}", list[int]()
    while url:
        answer = client.get(url)
        found = starts(answer) + found
        url = answer.json()["next"]
        assert answer.links.get("next", {}).get("url") == url
    assert found == begun


def test_gaps_of_nothing_are_not_found(client: httpx.Client) -> None:
    """404 for a symbol that is not stored, 400 for a parameter that does not exist."""
    assert client.get("/gaps.json", params={"symbol": "NOPE"}).status_code == 404
    answer = client.get("/gaps.json", params={"symbol": "AAPL", "period": "1m"})
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "The parameter period is '1m', expected one of the parameters symbol, from, to, limit instead.",
    )
