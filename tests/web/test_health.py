"""Whether data moves, and what there is."""

from datetime import date, timedelta

import httpx

from candleworks import clock
from candleworks.database.connection import Connection
from candleworks.storage.calendars import OTHER_STOCKS, Calendar, Session, save_calendar, save_rules
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


def sessions(connection: Connection, *around_now: tuple[int, int]) -> None:
    """Store a calendar of stocks that was, or is, open between those minutes from now."""
    minute = clock.now().replace(second=0, microsecond=0)
    days = [
        Session(
            date(2026, 1, number + 1), minute + timedelta(minutes=start), minute + timedelta(minutes=stop), None, None
        )
        for number, (start, stop) in enumerate(around_now)
    ]
    save_calendar(connection, Calendar("XNYS", date(2026, 1, 1), date(2030, 1, 1), "test", days))
    save_rules(connection, {OTHER_STOCKS: "XNYS"})


def test_no_tick_is_expected_while_all_markets_are_closed(
    client: httpx.Client, store: Store, connection: Connection
) -> None:
    """Stocks at night are ok; when the market has been open for five minutes, ticks are missing."""

    def status() -> str:
        return str(client.get("/healthz").json()["status"])

    store("AAPL", every_minute(MONDAY, 2))
    subscribed = "INSERT INTO feed_symbols VALUES (%s, %s, %s, NULL, now())"
    connection.execute(subscribed, ["stocks", "AAPL", "streaming"])
    assert status() == "degraded"  # no calendar says that the market is closed
    sessions(connection, (-600, -120), (800, 1200))
    assert status() == "ok"
    connection.execute(subscribed, ["stocks", "BTC/USD", "removed"])
    assert status() == "ok"
    sessions(connection, (-2, 300))
    assert status() == "ok"
    sessions(connection, (-60, 300))
    assert status() == "degraded"


def test_a_market_that_is_open_makes_up_for_none_that_is_closed(
    client: httpx.Client, store: Store, connection: Connection
) -> None:
    """Coins trade at night: their ticks are missing, unless a person has stopped their feed."""
    store("AAPL", every_minute(MONDAY, 2))
    sessions(connection, (-600, -120))
    for feed, symbol in (("stocks", "AAPL"), ("coins", "BTC/USD")):
        connection.execute("INSERT INTO feed_symbols VALUES (%s, %s, 'streaming', NULL, now())", [feed, symbol])
    assert client.get("/healthz").json()["status"] == "degraded"
    connection.execute("INSERT INTO feed_stops VALUES ('coins', now(), 'paused', true)")
    assert client.get("/healthz").json()["status"] == "ok"


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
