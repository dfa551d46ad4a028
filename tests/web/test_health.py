"""Whether data moves, and what there is."""

from datetime import timedelta

import httpx

from candleworks import clock
from candleworks.database.connection import Connection
from tests.web.conftest import MONDAY, Store, every_minute


def test_an_empty_database_is_degraded(client: httpx.Client) -> None:
    """The server is well, but there is nothing to show."""
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "degraded",
        "database": "ok",
        "last_tick_age_seconds": None,
        "newest_tick": None,
        "stopped": [],
    }


def test_health_follows_the_newest_tick(client: httpx.Client, store: Store) -> None:
    """Old ticks alone are degraded; a tick of now is ok, whichever symbol it is of."""
    store("AAPL", every_minute(MONDAY, 2))
    old = client.get("/healthz").json()
    assert (old["status"], old["newest_tick"]) == ("degraded", "2026-03-02T09:31:00Z")
    now = clock.now()
    store("BTC/USD", [(now, 91000.0, 1.0)])
    fresh = client.get("/healthz").json()
    assert fresh["status"] == "ok"
    assert fresh["newest_tick"] == now.isoformat().replace("+00:00", "Z")
    assert 0 <= fresh["last_tick_age_seconds"] < 30


def test_what_a_person_stopped_is_stopped_and_not_ok(
    client: httpx.Client, store: Store, connection: Connection
) -> None:
    """At once, though the newest tick is young; one of two stopped feeds is named and the other goes on."""
    for feed, symbol in (("stocks", "AAPL"), ("coins", "BTC/USD")):
        store(symbol, [(clock.now(), 1.0, 1.0)])
        connection.execute("INSERT INTO feed_symbols VALUES (%s, %s, 'streaming', NULL, now())", [feed, symbol])
    stop = "INSERT INTO feed_stops VALUES (%s, '2026-03-02 10:00+00', 'cancelled in Prefect', %s)"
    connection.execute(stop, ["stocks", True])
    connection.execute(stop, ["coins", False])
    found = client.get("/healthz").json()
    reason = {"since": "2026-03-02T10:00:00Z", "reason": "cancelled in Prefect"}
    assert (found["status"], found["stopped"]) == ("ok", [{"feed": "stocks", **reason}])
    symbols = {each["symbol"]: each["stopped"] for each in client.get("/symbols").json()}
    assert symbols == {"AAPL": reason, "BTC/USD": None}
    connection.execute("UPDATE feed_stops SET deliberate = true")
    assert client.get("/healthz").json()["status"] == "stopped"


def test_a_tick_from_the_future_has_no_negative_age(client: httpx.Client, store: Store) -> None:
    """A vendor's clock may run ahead."""
    store("AAPL", [(clock.now() + timedelta(seconds=50), 1.0, None)])
    assert client.get("/healthz").json()["last_tick_age_seconds"] == 0


def test_symbols_come_with_their_company_and_newest_tick(
    client: httpx.Client, store: Store, connection: Connection
) -> None:
    """Sorted; only symbols that have candles; null where nothing is known about the company."""
    assert client.get("/symbols").json() == []
    store("MSFT", every_minute(MONDAY, 3))
    store("BTC/USD", every_minute(MONDAY, 1))
    connection.execute("INSERT INTO company VALUES ('MSFT', 'Microsoft', 'NASDAQ', 'USD', 'Common Stock')")
    connection.execute("INSERT INTO company (symbol, name) VALUES ('IBM', 'IBM')")
    assert client.get("/symbols").json() == [
        {
            "symbol": "BTC/USD",
            "name": None,
            "exchange": None,
            "type": None,
            "last_tick": "2026-03-02T09:30:00Z",
            "sides": ["trade"],
            "stopped": None,
        },
        {
            "symbol": "MSFT",
            "name": "Microsoft",
            "exchange": "NASDAQ",
            "type": "Common Stock",
            "last_tick": "2026-03-02T09:32:00Z",
            "sides": ["trade"],
            "stopped": None,
        },
    ]
