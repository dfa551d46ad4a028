"""Candles as an Arrow stream."""

import subprocess
import sys
from datetime import timedelta

import httpx
import pyarrow as pa
import pytest

import candleworks as cw
from tests.compose.test_image import WITHOUT
from tests.web.conftest import MONDAY, Store, every_minute, quoted_every_minute


def table(answer: httpx.Response) -> pa.Table:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    return pa.ipc.open_stream(answer.content).read_all()


@pytest.mark.parametrize("period", ["5s", "1m", "7m", "1h", "1d", "1w", "1mo"])
@pytest.mark.parametrize("zone", [None, "America/New_York"])
@pytest.mark.parametrize("price", [None, "bid", "mid"])
def test_it_is_the_table_of_the_python_reader(
    client: httpx.Client,
    store: Store,
    store_quotes: Store,
    dsn: str,
    period: str,
    zone: str | None,
    price: str | None,
) -> None:
    """Value by value and type by type, with the parameters of /ohlc.json."""
    store("AAPL", [*every_minute(MONDAY, 20), (MONDAY + timedelta(hours=1), 0.1 + 0.2, None)])
    store_quotes("AAPL", quoted_every_minute(MONDAY, 20))
    asked = {"symbol": "AAPL", "period": period, "from": "2026-03-02", "to": "2026-03-03", "zone": zone, "price": price}
    found = table(client.get("/ohlc.arrow", params={name: text for name, text in asked.items() if text}))
    read = cw.candles("AAPL", period, "2026-03-02", "2026-03-03", zone=zone, price=price, dsn=dsn)
    assert found.num_rows > 0
    assert found.schema == read.arrow.schema
    assert found.equals(read.arrow)


def test_older_candles_are_on_the_page_that_the_header_names(client: httpx.Client, store: Store) -> None:
    """An Arrow stream has no place for an address."""
    store("AAPL", every_minute(MONDAY, 5))
    answer = client.get("/ohlc.arrow", params={"symbol": "AAPL", "limit": 2})
    assert table(answer).column("close").to_pylist() == [100.03, 100.04]
    assert table(client.get(answer.links["next"]["url"])).column("close").to_pylist() == [100.01, 100.02]


def test_a_range_without_candles_has_its_columns(client: httpx.Client, store: Store) -> None:
    """An empty table, of the same types."""
    store("AAPL", every_minute(MONDAY, 1))
    empty = table(client.get("/ohlc.arrow", params={"symbol": "AAPL", "from": "2027-01-01"}))
    assert empty.schema == table(client.get("/ohlc.arrow", params={"symbol": "AAPL"})).schema
    assert empty.num_rows == 0


def test_mistakes_are_told_in_json(client: httpx.Client) -> None:
    """In the sentences of the other feeds."""
    answer = client.get("/ohlc.arrow", params={"symbol": "NOPE"})
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "The symbol 'NOPE' is not stored: /symbols lists those that are."},
    )
    assert client.get("/ohlc.arrow").status_code == 400


def test_without_pyarrow_it_says_what_to_do(dsn: str) -> None:
    """As in the image of the containers, which omits it: status 501, and the other feeds work."""
    program = WITHOUT.format(omitted={"pyarrow", "polars"}) + (
        "from starlette.testclient import TestClient\n"
        "from candleworks.candles.reads import open_reader\n"
        "from candleworks.stream import Hub\n"
        "from candleworks.web.server import PageOptions, create_app\n"
        f"with open_reader({dsn!r}) as market:\n"
        f"    client = TestClient(create_app(market, Hub({dsn!r}), {dsn!r}, PageOptions()), 'http://127.0.0.1')\n"
        "    answer = client.get('/ohlc.arrow?symbol=AAPL')\n"
        "    print(answer.status_code, answer.json()['error'], client.get('/symbols').status_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == (
        "501 Arrow tables cannot be written here, because pyarrow is not installed: install it, or with containers run"
        " `docker compose run --rm files candleworks ...`. 200\n"
    ), done.stderr
