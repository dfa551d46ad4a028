"""The watch list, asked over HTTP: newest prices, day changes, and only what has changed."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from candleworks import clock
from candleworks.candles import watch_list
from candleworks.candles.calendars import sync_calendars
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.settings import load_settings
from tests.web.browser import until
from tests.web.conftest import MONDAY, Store, every_minute, quoted_every_minute, serving


def today(minutes: int = 0) -> datetime:
    """So many minutes after midnight UTC of this day."""
    return clock.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(minutes=minutes)


def ask(client: httpx.Client, since: int = 0) -> dict[str, Any]:
    answer = client.get("/watchlist.json", params={"since": since})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def lines(answer: dict[str, Any], *fields: str) -> dict[str, Any]:
    """The fields of each line by symbol, alone where it is one."""
    return {
        line["symbol"]: line[fields[0]] if len(fields) == 1 else tuple(line[field] for field in fields)
        for line in answer["symbols"]
    }


@pytest.fixture
def calendars(connection: Connection) -> None:
    sync_calendars(connection, load_settings({}))


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every request reads what has arrived."""
    monkeypatch.setattr(watch_list, "ARRIVED_SECONDS", 0.0)
    return


@pytest.mark.usefixtures("calendars")
def test_a_line_has_the_price_and_its_change_since_the_previous_close(
    client: httpx.Client, connection: Connection, store: Store
) -> None:
    """Of a coin the price at midnight UTC, of a stock the one at the end of the session before."""
    connection.execute("INSERT INTO company (symbol, name, exchange, type) VALUES ('BTC/USD', 'Bitcoin', 'X', 'Coin')")
    tick = timedelta(microseconds=1)
    store(
        "BTC/USD", [(today(-5), 50.0, 1.0), (today(-2), 80.0, 1.0), (today(), 90.0, 1.0), (today() + tick, 100.0, 1.0)]
    )
    (line,) = ask(client)["symbols"]
    assert line == {
        "symbol": "BTC/USD",
        "name": "Bitcoin",
        "exchange": "X",
        "type": "Coin",
        "sides": ["trade"],
        "calendar": "24/7",
        "time": f"{today():%Y-%m-%dT%H:%M:%S}.000001Z",
        "price": 100.0,
        "previous_close": 80.0,
        "change": 20.0,
        "change_percent": 25.0,
        "stopped": None,
    }


def test_what_is_not_known_is_null(client: httpx.Client, store: Store) -> None:
    """Without calendars there is no previous close, without a company no name; markets that never close are known."""
    store("AAPL", every_minute(today(), 1))
    answer = ask(client)
    unknown = ("name", "calendar", "previous_close", "change", "change_percent")
    assert lines(answer, *unknown) == {"AAPL": (None,) * 5}
    assert answer["markets"] == {
        "24/7": {"zone": "UTC", "open": True, "closed_at": None, "opens_at": None, "closes_at": None}
    }


@pytest.mark.usefixtures("calendars")
def test_markets_say_when_they_close_or_open(client: httpx.Client) -> None:
    """The next change of a market that is open is its close, of a closed one its open."""
    markets = ask(client)["markets"]
    assert markets["XNYS"]["zone"] == "America/New_York"
    for name in ("XNYS", "FX"):
        market = markets[name]
        closed, opens, closes = (datetime.fromisoformat(market[key]) for key in ("closed_at", "opens_at", "closes_at"))
        assert closed <= clock.now()
        assert market["open"] == (closes < opens)


@pytest.mark.usefixtures("eager")
def test_only_what_has_changed_is_sent(client: httpx.Client, store: Store) -> None:
    """A version leads to the changes after it: of known symbols and of new ones; a complete answer has all."""
    now = clock.now()
    store("AAPL", every_minute(now - timedelta(minutes=5), 3))
    store("MSFT", every_minute(now - timedelta(minutes=5), 3))
    first = ask(client)
    assert (first["complete"], lines(first, "price")) == (True, {"AAPL": 100.02, "MSFT": 100.02})
    nothing = ask(client, first["version"])
    assert (nothing["complete"], nothing["symbols"]) == (False, [])
    store("MSFT", [(now, 250.0, 1.0)])
    second = ask(client, nothing["version"])
    assert lines(second, "price") == {"MSFT": 250.0}
    store("TSLA", [(now, 7.0, 1.0)])
    assert lines(ask(client, second["version"]), "price") == {"TSLA": 7.0}
    assert lines(ask(client), "price") == {"AAPL": 100.02, "MSFT": 250.0, "TSLA": 7.0}


@pytest.mark.usefixtures("eager")
@pytest.mark.usefixtures("eager")
def test_what_was_deleted_is_not_shown_any_more(
    client: httpx.Client, store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong tick gives way to the one before it, and a symbol whose ticks are all gone disappears."""
    monkeypatch.setattr(watch_list, "FULL_SECONDS", 0.0)
    monkeypatch.setattr(watch_list, "MAX_LOAD", 1.0)
    store("AAPL", every_minute(clock.now() - timedelta(minutes=5), 3))
    store("TEST", every_minute(clock.now() - timedelta(minutes=5), 3))
    first = ask(client)
    assert lines(first, "price") == {"AAPL": 100.02, "TEST": 100.02}
    connection.execute("DELETE FROM stocks_real_time WHERE symbol = 'TEST' OR price > 100.01")
    answer = until(lambda: (a := ask(client, first["version"]))["symbols"] and a, 30, "the deletion")
    assert (answer["complete"], lines(answer, "price")) == (True, {"AAPL": 100.01})


@pytest.mark.usefixtures("eager")
def test_a_late_tick_does_not_replace_a_newer_one(client: httpx.Client, store: Store) -> None:
    """The order of event times counts, not that of arrivals."""
    now = clock.now()
    store("AAPL", [(now, 100.0, 1.0)])
    first = ask(client)
    store("AAPL", [(now - timedelta(seconds=30), 1.0, 1.0)])
    assert ask(client, first["version"])["symbols"] == []


def test_a_client_of_an_earlier_server_gets_everything(dsn: str, store: Store) -> None:
    """Versions grow over restarts, so that an old one means nothing to the new server."""
    store("AAPL", every_minute(today(), 1))
    with serving(dsn) as url:
        version = httpx.get(f"{url}watchlist.json").json()["version"]
    with serving(dsn) as url:
        answer = httpx.get(f"{url}watchlist.json", params={"since": version}).json()
    assert (answer["complete"], lines(answer, "price")) == (True, {"AAPL": 100.0})


def test_symbols_without_recent_ticks_are_listed_by_their_last_candle(
    client: httpx.Client, store: Store, store_quotes: Store, connection: Connection, engine: Engine
) -> None:
    """Also where their ticks are gone; a symbol without trades has the bid as its price."""
    store("OLD", every_minute(MONDAY, 3))
    store_quotes("EUR/USD", quoted_every_minute(MONDAY, 3))
    store("NEW", every_minute(today(), 2))
    store_quotes("XAU/USD", quoted_every_minute(today(), 2))
    refresh(connection)
    if engine is Engine.TIMESCALE:
        connection.execute("SELECT drop_chunks('stocks_real_time', older_than => now() - interval '3 days')")
    else:
        connection.execute("DROP TABLE candleworks.stocks_real_time_20260302")
    assert lines(ask(client), "price", "sides") == {
        "OLD": (100.02, ["trade"]),
        "EUR/USD": (1.10403, ["bid", "ask", "mid"]),
        "NEW": (100.01, ["trade"]),
        "XAU/USD": (1.10402, ["bid", "ask", "mid"]),
    }


@pytest.mark.usefixtures("calendars")
def test_the_change_of_quotes_is_that_of_the_bid(client: httpx.Client, store_quotes: Store) -> None:
    """A pair of metal and money follows the sessions of currencies."""
    noon = today(12 * 60) - timedelta(days=1)
    noon -= timedelta(days=(noon.weekday() - 1) % 7)  # the last Tuesday that is over
    store_quotes("XAU/USD", [(noon - timedelta(days=1), 2000.0, 2001.0, 1.0), (noon, 2100.0, 2101.0, 1.0)])
    assert lines(ask(client), "price", "previous_close", "change_percent") == {"XAU/USD": (2100.0, 2000.0, 5.0)}


def test_history_that_arrives_later_brings_the_change(
    dsn: str, store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a fresh database the previous close comes after the first ticks."""
    sync_calendars(connection, load_settings({}))
    monkeypatch.setattr(watch_list, "ARRIVED_SECONDS", 0.0)
    monkeypatch.setattr(watch_list, "FULL_SECONDS", 0.0)
    monkeypatch.setattr(watch_list, "MAX_LOAD", 1.0)
    store("BTC/USD", [(today(), 100.0, 1.0)])
    with serving(dsn) as url, httpx.Client(base_url=url) as client:
        assert lines(ask(client), "change") == {"BTC/USD": None}
        store("BTC/USD", every_minute(today(-10), 5, price=50.0))
        until(lambda: lines(ask(client), "previous_close") == {"BTC/USD": 50.04}, 30, "the previous close")


def test_a_stop_is_named(client: httpx.Client, store: Store, connection: Connection) -> None:
    """As in /symbols."""
    store("BTC/USD", every_minute(today(), 1))
    connection.execute("INSERT INTO feed_symbols VALUES ('coins', 'BTC/USD', 'streaming', NULL, now())")
    connection.execute("INSERT INTO feed_stops VALUES ('coins', %s, 'cancelled in Prefect', true)", [MONDAY])
    assert lines(ask(client), "stopped") == {
        "BTC/USD": {"since": "2026-03-02T09:30:00Z", "reason": "cancelled in Prefect"}
    }


@pytest.mark.parametrize("since", ["-1", "x", "1.5", "1" * 19, ""])
def test_an_invalid_version_is_refused(client: httpx.Client, since: str) -> None:
    """400, with what is expected."""
    answer = client.get("/watchlist.json", params={"since": since})
    assert answer.status_code == 400
    assert answer.json()["error"] == f"The parameter since is {since!r}, expected the version of an earlier answer."


def test_an_unavailable_database_is_503_and_keeps_nobody(tmp_path: Any) -> None:
    """As everywhere; the next request tries again."""
    with serving(f"postgresql://localhost/x?host={tmp_path}") as url:
        for _ in range(2):
            assert httpx.get(f"{url}watchlist.json", timeout=30).status_code == 503


def test_ticks_are_not_scanned_for_the_watch_list(connection: Connection) -> None:
    """Neither for the newest tick of each symbol, nor for its previous close: both are met in an index."""
    connection.execute("SELECT candleworks.prepare_ticks(now() - interval '1 day', now())")
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price)"
        " SELECT now() - n * interval '2 seconds', 'S' || n % 5, 100 FROM generate_series(1, 40000) n"
    )
    connection.execute("VACUUM ANALYZE stocks_real_time")
    from candleworks.database.queries import query  # noqa: PLC0415 - only here

    now = clock.now()
    for name, parameters in (
        ("newest_ticks", {"since": now - timedelta(days=8)}),
        ("previous_closes", {"symbols": ["S1", "S2"], "day_end": now - timedelta(hours=5)}),
    ):
        plan = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query(name)}", parameters).fetchone()
        assert plan is not None
        read = sum(node["Actual Rows"] * node["Actual Loops"] for node in nodes(plan[0][0]["Plan"]))
        assert read < 400, name


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node of a plan that reads a table or an index."""
    if "Scan" in plan["Node Type"] and "Relation Name" in plan:
        yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)
