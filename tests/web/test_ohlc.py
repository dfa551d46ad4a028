"""The candle feeds, asked over HTTP."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest

from candleworks import clock
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.storage.read_pool import MAX_WAIT_SECONDS
from tests.web.conftest import MONDAY, Store, every_minute
from tests.web.test_gaps import open_gaps

NEW_YORK = ZoneInfo("America/New_York")


def test_csv_has_the_agreed_shape(client: httpx.Client, store: Store) -> None:
    """Header, oldest first, ISO times with Z, digits as they came in, an empty cell where no volume is known."""
    store(
        "AAPL",
        [
            (MONDAY, 143.035, 100.0),
            (MONDAY + timedelta(seconds=20), 143.1, 50.0),
            (MONDAY + timedelta(seconds=40), 0.1 + 0.2, 25.5),
            (MONDAY + timedelta(minutes=1), 1e-7, None),
        ],
    )
    answer = client.get("/ohlc.csv", params={"symbol": "AAPL"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text == (
        "dt,o,h,l,c,vol\n"
        "2026-03-02T09:30:00Z,143.035,143.1,0.30000000000000004,0.30000000000000004,175.5\n"
        "2026-03-02T09:31:00Z,1e-07,1e-07,1e-07,1e-07,\n"
    )


@pytest.mark.parametrize(
    ("time_format", "time"),
    [("iso", "2026-03-02T09:30:00Z"), ("sql", "2026-03-02 09:30:00"), ("unix", "1772443800")],
)
def test_csv_writes_times_as_its_reader_wants_them(
    client: httpx.Client, store: Store, time_format: str, time: str
) -> None:
    """ISO 8601, what `d3.timeParse` and COPY read, or seconds since 1970; the next page has the same."""
    store("AAPL", every_minute(MONDAY, 2))
    parameters = {"symbol": "AAPL", "limit": 1, "time_format": time_format, "to": "2026-03-02T09:31:00Z"}
    answer = client.get("/ohlc.csv", params=parameters)
    assert answer.text.splitlines()[1].split(",")[0] == time
    older = client.get("/ohlc.csv", params={"symbol": "AAPL", "limit": 1, "time_format": time_format}).links["next"]
    assert client.get(older["url"]).text.splitlines()[1].split(",")[0] == time


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("/ohlc.csv?symbol=A&time_format=d3", "The parameter time_format is 'd3', expected iso, sql or unix."),
        (
            "/ohlc.csv?symbol=A&time_format=sql&time_format=iso",
            "The parameter time_format is 'sql, iso', expected one value.",
        ),
        (
            "/ohlc.json?symbol=A&time_format=sql",
            (
                "The parameter time_format is 'sql', expected one of the parameters"
                " symbol, period, from, to, price, limit, zone instead."
            ),
        ),
    ],
)
def test_a_wrong_format_of_times_is_refused(client: httpx.Client, address: str, text: str) -> None:
    """The CSV has three; JSON has seconds, and nothing to choose."""
    answer = client.get(address)
    assert answer.status_code == 400
    assert text in answer.text


@pytest.mark.parametrize("period", ["1m", "3m"])
def test_volumes_have_no_binary_noise(client: httpx.Client, store: Store, period: str) -> None:
    """A sum such as 0.1 + 0.2 is 0.3 in CSV and JSON, and whole numbers of any size stay as they are."""
    store("ETH/USD", [(MONDAY + timedelta(seconds=second), 1.5, 0.1 + 0.1 * (second % 2)) for second in range(60)])
    store("BIG", [(MONDAY, 1.0, 1_234_567_890_123_456.0)])
    for symbol, volume in (("ETH/USD", 9.0), ("BIG", 1_234_567_890_123_456.0)):
        parameters = {"symbol": symbol, "period": period}
        assert client.get("/ohlc.csv", params=parameters).text.splitlines()[1].split(",")[5] == repr(volume)
        assert client.get("/ohlc.json", params=parameters).json()["candles"][0]["volume"] == volume


def test_json_has_the_agreed_shape(client: httpx.Client, store: Store) -> None:
    """Epoch seconds, numbers as they came in, null where no volume is known, no next page."""
    store("BTC/USD", [(MONDAY, 91000.5, None), (MONDAY + timedelta(seconds=1), 91000.25, None)])
    answer = client.get("/ohlc.json", params={"symbol": "BTC/USD", "period": "5min"})
    assert answer.json() == {
        "symbol": "BTC/USD",
        "period": "5m",
        "price": "trade",
        "last_tick": "2026-03-02T09:30:01Z",
        "candles": [
            {
                "time": int(MONDAY.timestamp()),
                "open": 91000.5,
                "high": 91000.5,
                "low": 91000.25,
                "close": 91000.25,
                "volume": None,
                "ticks": 2,
                "rebuilt": False,
                "closed": True,
                "volume_from": None,
                "volume_before": None,
            }
        ],
        "next": None,
    }


def test_a_candle_says_what_of_its_volume_was_traded_before_it(
    client: httpx.Client, store: Store, connection: Connection
) -> None:
    """While the feed was down; the volume itself is the whole of it."""
    store("AAPL", [(MONDAY + timedelta(minutes=n), 100.0, 900.0 if n == 5 else 10.0) for n in (0, 1, 5, 6)])
    connection.execute(
        "UPDATE stocks_real_time SET origin = 'twelvedata', day_volume = 1000 + extract(minute FROM time)"
    )
    open_gaps(connection, ("AAPL", 1, 5, False))
    candles = client.get("/ohlc.json", params={"symbol": "AAPL", "period": "1m"}).json()["candles"]
    assert [(candle["volume"], candle["volume_before"]) for candle in candles] == [
        (10.0, None),
        (10.0, None),
        (900.0, 900.0),
        (10.0, None),
    ]


def test_the_newest_candles_are_the_ones_within_the_limit(client: httpx.Client, store: Store) -> None:
    """Without bounds, limit takes from the newer end, and the rows still run from old to new."""
    store("AAPL", every_minute(MONDAY, 10))
    lines = client.get("/ohlc.csv", params={"symbol": "AAPL", "limit": 3}).text.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "dt",
        "2026-03-02T09:37:00Z",
        "2026-03-02T09:38:00Z",
        "2026-03-02T09:39:00Z",
    ]


@pytest.mark.parametrize("name", ["ohlc.json", "ohlc.csv"])
def test_pages_that_follow_next_make_up_the_whole_history(client: httpx.Client, store: Store, name: str) -> None:
    """Following the links from the newest page yields every candle once, and the oldest page has no link."""
    store("AAPL", every_minute(MONDAY, 25))
    url, pages = f"/{name}?symbol=AAPL&limit=10&from=2026-03-02T09:31Z", []
    while url:
        answer = client.get(url)
        pages.append(len(answer.json()["candles"]) if name.endswith("json") else answer.text.count("\n") - 1)
        url = answer.links.get("next", {}).get("url", "")
        if name.endswith("json"):
            assert answer.json()["next"] == (url or None)
    assert pages == [10, 10, 4]


def test_a_closed_market_does_not_shorten_the_answer(client: httpx.Client, store: Store) -> None:
    """Candles from before a night, a weekend and a year without trades count towards the limit."""
    starts = [MONDAY - timedelta(days=days) for days in (400, 3, 0)]
    for number, start in enumerate(starts):
        store("AAPL", every_minute(start, 30, price=100.0 + number))
    answer = client.get("/ohlc.json", params={"symbol": "AAPL", "limit": 75}).json()
    times = [candle["time"] for candle in answer["candles"]]
    expected = [int((start + timedelta(minutes=n)).timestamp()) for start in starts for n in range(30)]
    assert times == expected[-75:]
    assert answer["next"].endswith("to=2025-01-26T09%3A45%3A00Z&limit=75")


@pytest.mark.parametrize("limit", [1, 7, 89, 90, 91, 50000])
def test_every_limit_gives_the_same_candles_from_its_end(client: httpx.Client, store: Store, limit: int) -> None:
    """However the history is read, the answer is the newest `limit` of the whole, and only a cut has a next page."""
    for days in (0, 1, 4):
        store("AAPL", every_minute(MONDAY + timedelta(days=days), 30))
    whole = client.get("/ohlc.json", params={"symbol": "AAPL", "limit": 50000}).json()["candles"]
    answer = client.get("/ohlc.json", params={"symbol": "AAPL", "limit": limit}).json()
    assert len(whole) == 90
    assert answer["candles"] == whole[-limit:]
    assert (answer["next"] is not None) == (limit < 90)


def test_bounds_select_candles_that_hold_a_moment_of_the_range(client: httpx.Client, store: Store) -> None:
    """A candle that from or to falls into is there, and is whole; one that begins at to is not."""
    store("AAPL", every_minute(MONDAY, 40))
    parameters = {"symbol": "AAPL", "period": "10m", "from": "2026-03-02T09:45:30Z", "to": "2026-03-02T10:00:01Z"}
    candles = client.get("/ohlc.json", params=parameters).json()["candles"]
    assert [(candle["time"] - int(MONDAY.timestamp()), candle["ticks"]) for candle in candles] == [
        (600, 10),
        (1200, 10),
        (1800, 10),
    ]
    at_boundary = client.get("/ohlc.json", params={**parameters, "to": "2026-03-02T10:00:00Z"}).json()["candles"]
    assert at_boundary == candles[:2]


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ("90m", ["2026-02-27T09:00:00Z", "2026-03-02T09:00:00Z"]),
        ("1d", ["2026-02-27T00:00:00Z", "2026-03-02T00:00:00Z"]),
        ("1w", ["2026-02-23T00:00:00Z", "2026-03-02T00:00:00Z"]),
        ("1mo", ["2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"]),
        ("120mo", ["2020-01-01T00:00:00Z"]),
    ],
)
def test_any_period_is_served(client: httpx.Client, store: Store, period: str, expected: list[str]) -> None:
    """Weeks begin on Monday, months on the first, everything in UTC."""
    store("AAPL", every_minute(MONDAY, 5) + every_minute(MONDAY - timedelta(days=3), 5))
    lines = client.get("/ohlc.csv", params={"symbol": "AAPL", "period": period, "limit": 50000}).text.splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == expected


def test_a_tick_is_in_the_next_answer(client: httpx.Client, store: Store) -> None:
    """The forming candle needs no refresh, and a late tick corrects the candle that it belongs to."""
    store("AAPL", [(MONDAY, 100.0, 1.0), (MONDAY + timedelta(minutes=1), 101.0, 1.0)])
    client.get("/ohlc.json", params={"symbol": "AAPL"})
    store("AAPL", [(MONDAY + timedelta(seconds=30), 99.0, 5.0)])
    lines = client.get("/ohlc.csv", params={"symbol": "AAPL"}).text.splitlines()
    assert lines[1] == "2026-03-02T09:30:00Z,100.0,100.0,99.0,99.0,6.0"


def test_candles_outlive_their_ticks(
    client: httpx.Client, store: Store, connection: Connection, engine: Engine
) -> None:
    """Where retention took the ticks, the stored candles are found all the same, by every question."""
    store("AAPL", every_minute(MONDAY, 5))
    refresh(connection)
    if engine is Engine.TIMESCALE:
        connection.execute("SELECT drop_chunks('stocks_real_time', older_than => now())")
    else:
        connection.execute("DROP TABLE candleworks.stocks_real_time_20260302")
    assert connection.execute("SELECT count(*) FROM stocks_real_time").fetchone() == (0,)
    answer = client.get("/ohlc.json", params={"symbol": "AAPL", "limit": 3}).json()
    assert [candle["close"] for candle in answer["candles"]] == [100.02, 100.03, 100.04]
    assert answer["last_tick"] == "2026-03-02T09:34:00Z"
    assert client.get("/healthz").json()["newest_tick"] == "2026-03-02T09:34:00Z"
    assert client.get("/symbols").json()[0]["last_tick"] == "2026-03-02T09:34:00Z"


def test_an_unknown_symbol_is_not_found(client: httpx.Client) -> None:
    """404 with a sentence: as text for CSV, as JSON for JSON."""
    sentence = "The symbol 'NOPE' is not stored: /symbols lists those that are."
    as_csv = client.get("/ohlc.csv", params={"symbol": "NOPE"})
    assert (as_csv.status_code, as_csv.text) == (404, f"{sentence}\n")
    assert as_csv.headers["content-type"] == "text/plain; charset=utf-8"
    as_json = client.get("/ohlc.json", params={"symbol": "NOPE"})
    assert (as_json.status_code, as_json.json()) == (404, {"error": sentence})


def test_a_known_symbol_without_candles_is_empty(client: httpx.Client, connection: Connection) -> None:
    """A company that never traded, and a range without trades, are no errors."""
    connection.execute("INSERT INTO company (symbol, name) VALUES ('AAPL', 'Apple')")
    assert client.get("/ohlc.csv", params={"symbol": "AAPL"}).text == "dt,o,h,l,c,vol\n"
    assert client.get("/ohlc.json", params={"symbol": "AAPL", "from": "2026-01-01"}).json()["candles"] == []


def test_a_wrong_parameter_is_a_bad_request(client: httpx.Client) -> None:
    """400 with the sentence, as text for CSV and as JSON for JSON."""
    sentence = "The parameter limit is '50001', expected a whole number from 1 to 50000."
    as_csv = client.get("/ohlc.csv", params={"symbol": "AAPL", "limit": "50001"})
    assert (as_csv.status_code, as_csv.text) == (400, f"{sentence}\n")
    as_json = client.get("/ohlc.json", params={"symbol": "AAPL", "limit": "50001"})
    assert (as_json.status_code, as_json.json()) == (400, {"error": sentence})


@pytest.mark.parametrize("symbol", ["'; DROP TABLE company; --", "A&B=C", "%", "日本", "x" * 100])
def test_a_symbol_is_only_ever_a_value(client: httpx.Client, symbol: str) -> None:
    """Whatever stands in an address reaches the database as a parameter."""
    assert client.get("/ohlc.json", params={"symbol": symbol}).status_code == 404
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("symbol", "ending"),
    [
        ("", ", expected a symbol that /symbols lists, such as AAPL.\n"),
        ("x" * 5000, "x', expected at most 100 characters.\n"),
        ("A\0", "has the control character U+0000: leave it out.\n"),
        ("A\n", "has the control character U+000A: leave it out.\n"),
    ],
)
def test_what_cannot_be_a_symbol_is_a_bad_request(client: httpx.Client, symbol: str, ending: str) -> None:
    """The sentence repeats no more than the beginning of an absurdly long one."""
    answer = client.get("/ohlc.csv", params={"symbol": symbol})
    assert answer.status_code == 400
    assert answer.text.endswith(ending)
    assert len(answer.text) < 200


def test_many_requests_at_once_wait_their_turn(client: httpx.Client, store: Store, connection: Connection) -> None:
    """A crowd that has to wait longer than for a lost database is answered all the same."""
    store("AAPL", every_minute(MONDAY, 3))
    connection.execute("BEGIN; LOCK TABLE company")
    with ThreadPoolExecutor(30) as crowd:
        answers = [crowd.submit(client.get, "/symbols") for _ in range(30)]
        time.sleep(MAX_WAIT_SECONDS + 1)
        connection.execute("ROLLBACK")
        assert {answer.result().status_code for answer in answers} == {200}


def test_days_and_weeks_begin_with_daily_bars(client: httpx.Client, connection: Connection, store: Store) -> None:
    """They are on the pages of a CSV and marked in JSON; hours do not have them, and a window before any tick does."""
    store("AAPL", [(MONDAY, 143.0, 100.0)])
    connection.execute(
        "INSERT INTO daily_bars (symbol, bucket, open, high, low, close, volume, feed, received_at)"
        " SELECT 'AAPL', date_trunc('day', %s, 'UTC') - n * interval '1 day', n, n + 1, n - 1, n, 50, 'stocks', now()"
        " FROM generate_series(1, 3) n",
        [MONDAY],
    )
    answer = client.get("/ohlc.csv", params={"symbol": "AAPL", "period": "1d"})
    assert answer.text == (
        "dt,o,h,l,c,vol\n"
        "2026-02-27T00:00:00Z,3.0,4.0,2.0,3.0,50.0\n"
        "2026-02-28T00:00:00Z,2.0,3.0,1.0,2.0,50.0\n"
        "2026-03-01T00:00:00Z,1.0,2.0,0.0,1.0,50.0\n"
        "2026-03-02T00:00:00Z,143.0,143.0,143.0,143.0,100.0\n"
    )
    older = client.get("/ohlc.csv", params={"symbol": "AAPL", "period": "1d", "limit": 2}).links["next"]["url"]
    assert [line[:10] for line in client.get(older).text.splitlines()[1:]] == ["2026-02-27", "2026-02-28"]
    weeks = client.get("/ohlc.csv", params={"symbol": "AAPL", "period": "1w"}).text.splitlines()
    assert weeks[1:] == [
        "2026-02-23T00:00:00Z,3.0,4.0,0.0,1.0,150.0",
        "2026-03-02T00:00:00Z,143.0,143.0,143.0,143.0,100.0",
    ]
    hours = client.get("/ohlc.csv", params={"symbol": "AAPL", "period": "4h"}).text.splitlines()
    assert len(hours) == 2
    assert client.get("/ohlc.csv", params={"symbol": "AAPL", "period": "4h", "to": "2026-03-01"}).text.count("\n") == 1
    found = client.get("/ohlc.json", params={"symbol": "AAPL", "period": "1d", "to": "2026-03-01"}).json()
    assert [(each["close"], each["ticks"], each["rebuilt"]) for each in found["candles"]] == [
        (3.0, 0, True),
        (2.0, 0, True),
    ]


def test_csv_says_on_request_which_candles_are_closed(client: httpx.Client, store: Store) -> None:
    """A last column, also on older pages; the usual columns stay as they were without it."""
    now = clock.now()
    store("AAPL", [(now - timedelta(minutes=5), 1.0, None), (now, 2.0, None)])
    lines = client.get("/ohlc.csv", params={"symbol": "AAPL", "closed": "1"}).text.splitlines()
    assert lines[0] == "dt,o,h,l,c,vol,closed"
    assert [line.split(",")[6] for line in lines[1:]] == ["true", "false"]
    older = client.get("/ohlc.csv", params={"symbol": "AAPL", "closed": "1", "limit": 1}).links["next"]
    assert client.get(older["url"]).text.splitlines()[1].endswith(",true")
    assert client.get("/ohlc.csv", params={"symbol": "AAPL", "closed": "0"}).text.startswith("dt,o,h,l,c,vol\n")
    refused = client.get("/ohlc.csv", params={"symbol": "AAPL", "closed": "yes"})
    assert (refused.status_code, refused.text) == (400, "The parameter closed is 'yes', expected 0 or 1.\n")


def test_seconds_are_found_however_far_apart_they_are(client: httpx.Client, store: Store) -> None:
    """Candles of seconds are read back in windows of a week at most, over nights and empty months."""
    times = [MONDAY + timedelta(days=days, seconds=seconds) for days in (0, 1, 90) for seconds in (0, 1, 7, 9)]
    store("AAPL", [(time, float(n), 1.0) for n, time in enumerate(times)])
    url, found = "/ohlc.json?symbol=AAPL&period=5s&limit=4", []
    while url:
        body = client.get(url).json()
        found[:0] = [(candle["time"], candle["ticks"]) for candle in body["candles"]]
        url = body["next"]
    starts = [MONDAY + timedelta(days=days, seconds=seconds) for days in (0, 1, 90) for seconds in (0, 5)]
    assert found == [(int(start.timestamp()), 2) for start in starts]


def test_days_of_a_zone_come_page_by_page(client: httpx.Client, store: Store) -> None:
    """Across the change of clocks in New York on 8 March 2026, each day once, at its midnight."""
    store("AAPL", [(MONDAY + timedelta(hours=hours), 100.0 + hours, 1.0) for hours in range(0, 14 * 24, 3)])
    url, times = "/ohlc.json?symbol=AAPL&period=1d&zone=America/New_York&limit=4", []
    while url:
        body = client.get(url).json()
        times[:0] = [candle["time"] for candle in body["candles"]]
        url = body["next"]
    days = [datetime(2026, 3, 2, tzinfo=NEW_YORK) + timedelta(days=day) for day in range(15)]
    assert times == [int(day.timestamp()) for day in days]
    stored = client.get("/ohlc.json?symbol=AAPL&period=1h&zone=America/New_York").json()["candles"]
    assert stored == client.get("/ohlc.json?symbol=AAPL&period=1h").json()["candles"]
