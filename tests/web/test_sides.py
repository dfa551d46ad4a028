"""Bid, ask and mid of symbols with quotes, asked over HTTP."""

from datetime import timedelta

import httpx
import pytest

from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from tests.web.conftest import MONDAY, Store, every_minute, quoted_every_minute


def closes(client: httpx.Client, **parameters: object) -> list[float]:
    lines = client.get("/ohlc.csv", params={"symbol": "EUR/USD", **parameters}).text.splitlines()[1:]
    return [float(line.split(",")[4]) for line in lines]


def test_each_side_is_served_without_binary_noise(client: httpx.Client, store_quotes: Store) -> None:
    """(1.10402 + 1.10404) / 2 is 1.1040299999999998 in binary, and 1.10403 in the answer."""
    store_quotes("EUR/USD", quoted_every_minute(MONDAY, 3))
    assert closes(client, price="bid") == [1.10401, 1.10402, 1.10403]
    assert closes(client, price="ask") == [1.10403, 1.10404, 1.10405]
    assert closes(client, price="mid") == [1.10402, 1.10403, 1.10404]
    line = client.get("/ohlc.csv", params={"symbol": "EUR/USD", "price": "mid", "limit": 1}).text.splitlines()[1]
    assert line == "2026-03-02T09:32:00Z,1.10404,1.10404,1.10404,1.10404,3.0"


def test_a_symbol_that_has_only_quotes_is_shown_by_its_bid(
    client: httpx.Client, store: Store, store_quotes: Store
) -> None:
    """Until it has trades; the answer says which side it is."""
    store_quotes("EUR/USD", quoted_every_minute(MONDAY, 2))
    answer = client.get("/ohlc.json", params={"symbol": "EUR/USD", "limit": 1}).json()
    assert (answer["price"], answer["candles"][0]["close"]) == ("bid", 1.10402)
    assert "price=bid" in answer["next"]
    assert answer["last_tick"] == "2026-03-02T09:31:00Z"
    store("EUR/USD", every_minute(MONDAY, 1))
    assert client.get("/ohlc.json", params={"symbol": "EUR/USD"}).json()["price"] == "trade"


def test_symbols_name_their_sides_and_their_newest_tick(
    client: httpx.Client, store: Store, store_quotes: Store
) -> None:
    """Trades, quotes or both; the newest tick is the newer one of both."""
    store("AAPL", every_minute(MONDAY, 2))
    store("EUR/USD", every_minute(MONDAY, 2))
    store_quotes("EUR/USD", quoted_every_minute(MONDAY, 3))
    store_quotes("XAU/USD", quoted_every_minute(MONDAY, 4))
    found = [(row["symbol"], row["sides"], row["last_tick"]) for row in client.get("/symbols").json()]
    assert found == [
        ("AAPL", ["trade"], "2026-03-02T09:31:00Z"),
        ("EUR/USD", ["trade", "bid", "ask", "mid"], "2026-03-02T09:32:00Z"),
        ("XAU/USD", ["bid", "ask", "mid"], "2026-03-02T09:33:00Z"),
    ]
    assert client.get("/healthz").json()["newest_tick"] == "2026-03-02T09:33:00Z"


@pytest.mark.parametrize("limit", [1, 7, 30, 100])
def test_pages_of_quotes_have_neither_doubles_nor_holes(client: httpx.Client, store_quotes: Store, limit: int) -> None:
    """Over a closed weekend, from any limit, for a stored level and for one that is combined."""
    store_quotes("EUR/USD", quoted_every_minute(MONDAY - timedelta(days=3), 15))
    store_quotes("EUR/USD", quoted_every_minute(MONDAY, 16))
    for period, count in (("1m", 31), ("7m", 6)):
        url, pages = f"/ohlc.json?symbol=EUR/USD&price=mid&period={period}&limit={limit}", []
        while url:
            answer = client.get(url).json()
            pages.insert(0, [candle["time"] for candle in answer["candles"]])
            url = answer["next"]
        times = [time for page in pages for time in page]
        assert times == sorted(set(times))
        assert len(times) == count


def test_a_side_without_ticks_is_empty(client: httpx.Client, store: Store, store_quotes: Store) -> None:
    """The symbol is known, so it is no error."""
    store("AAPL", every_minute(MONDAY, 1))
    store_quotes("EUR/USD", quoted_every_minute(MONDAY, 1))
    assert closes(client, price="trade") == []
    answer = client.get("/ohlc.json", params={"symbol": "AAPL", "price": "ask"}).json()
    assert (answer["candles"], answer["last_tick"], answer["next"]) == ([], None, None)


def test_candles_of_quotes_outlive_them(
    client: httpx.Client, store_quotes: Store, connection: Connection, engine: Engine
) -> None:
    """Where retention took the quotes; also when the range ends before the first quote of its last day."""
    for days in (0, 1):
        store_quotes("EUR/USD", quoted_every_minute(MONDAY + timedelta(days=days), 3))
    refresh(connection)
    if engine is Engine.TIMESCALE:
        connection.execute("SELECT drop_chunks('quotes', older_than => now())")
    else:
        connection.execute("DROP TABLE candleworks.quotes_20260302")
    assert closes(client, price="bid", limit=4) == [1.10403, 1.10401, 1.10402, 1.10403]
    assert closes(client, price="bid", to="2026-03-03T09:00", limit=2) == [1.10402, 1.10403]
    assert client.get("/symbols").json()[0]["last_tick"] == "2026-03-03T09:32:00Z"


def test_a_candle_tells_whether_it_was_rebuilt(client: httpx.Client, store: Store, connection: Connection) -> None:
    """As a stored level and within a longer period; candles of quotes never are."""
    store("AAPL", every_minute(MONDAY, 14))
    connection.execute("UPDATE stocks_real_time SET origin = 'bar' WHERE time = %s", [MONDAY + timedelta(minutes=2)])
    for period, rebuilt in (("1m", [2]), ("7m", [0])):
        candles = client.get("/ohlc.json", params={"symbol": "AAPL", "period": period}).json()["candles"]
        assert [n for n, candle in enumerate(candles) if candle["rebuilt"]] == rebuilt
