"""Many rows are read in halves by two connections: nobody can tell."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import candleworks as cw
from candleworks.candles.refresh import refresh
from candleworks.database.connection import Connection, connect
from candleworks.storage import arrow_reads
from tests.conftest import clone

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
HOURS = 77
CALLS: list[dict[str, Any]] = [
    {"period": "1m"},
    {"period": "7m", "start": MONDAY + timedelta(hours=1, minutes=1), "end": MONDAY + timedelta(hours=50, minutes=2)},
    {"period": "90m"},
    {"period": "1d", "zone": "Asia/Kathmandu"},
    {"period": "13s", "start": MONDAY, "end": MONDAY + timedelta(days=3)},
    {"period": "5m", "price": "mid"},
    {"period": "1m", "adjusted": True},
]


@pytest.fixture(scope="module")
def filled(server_dsn: str, template: str) -> Any:
    """Trades and quotes of more than three days, with an hour in which nothing happens, and more towards the end."""
    with clone(server_dsn, template) as dsn, connect(dsn) as connection:
        values = {"start": MONDAY, "stop": MONDAY + timedelta(hours=HOURS)}
        connection.execute("SELECT candleworks.prepare_ticks(%(start)s, %(stop)s)", values)
        connection.execute("SELECT candleworks.prepare_quotes(%(start)s, %(stop)s)", values)
        times = "generate_series(0, 3000) n, LATERAL (SELECT %(start)s + sqrt(n / 3000.0) * interval '77 hours' AS t) t"
        connection.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, volume)"
            " SELECT t, 'BTC/USD', 100 + n %% 17, nullif(n %% 5, 0)"
            f" FROM {times} WHERE extract(hour FROM t) <> 12",
            values,
        )
        connection.execute(
            "INSERT INTO quotes (time, symbol, bid, ask) SELECT t, 'BTC/USD', 99 + n %% 17, 101 + n %% 17"
            f" FROM {times}",
            values,
        )
        connection.execute("INSERT INTO splits VALUES ('BTC/USD', %s, 2)", [(MONDAY + timedelta(days=2)).date()])
        refresh(connection)
        yield dsn


@pytest.fixture
def halved(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Read in halves from a few rows on; the second halves that were read."""
    read: list[Any] = []
    whole = arrow_reads.fetch_as_of

    def fetch(*arguments: Any) -> Any:
        found = whole(*arguments)
        read.append(found)
        return found

    monkeypatch.setattr(arrow_reads, "MANY_ROWS", 3)
    monkeypatch.setattr(arrow_reads, "fetch_as_of", fetch)
    return read


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_halves_of_candles_are_the_whole(filled: str, call: dict[str, Any], halved: list[Any]) -> None:
    """Of periods that do not fit into the hours at which halves begin, too, and of days of a zone."""
    found = cw.candles("BTC/USD", dsn=filled, **call)
    assert len(halved) == 1
    assert 0 < halved[0].num_rows < len(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrow_reads, "MANY_ROWS", 10**9)
        assert found.arrow == cw.candles("BTC/USD", dsn=filled, **call).arrow
    assert len(halved) == 1


@pytest.mark.parametrize("read", [cw.ticks, cw.quotes])
def test_halves_of_ticks_are_the_whole(filled: str, read: Any, halved: list[Any]) -> None:
    """They have about as many ticks, whenever these came."""
    found = read("BTC/USD", MONDAY + timedelta(hours=2), dsn=filled)
    assert 0.4 < halved[0].num_rows / len(found) < 0.6
    assert read("BTC/USD", dsn=filled).arrow.slice(len(read("BTC/USD", dsn=filled)) - len(found)) == found.arrow


def test_both_halves_are_of_one_moment(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed while the first one is read is in neither."""
    whole = arrow_reads.fetch_as_of

    def fetch(*arguments: Any) -> Any:
        with connect(filled) as connection:
            connection.execute(
                "INSERT INTO stocks_real_time (time, symbol, price) VALUES (%s, 'BTC/USD', 1)",
                [MONDAY + timedelta(hours=HOURS - 1, microseconds=1)],
            )
        return whole(*arguments)

    before = len(cw.ticks("BTC/USD", dsn=filled))
    monkeypatch.setattr(arrow_reads, "MANY_ROWS", 3)
    monkeypatch.setattr(arrow_reads, "fetch_as_of", fetch)
    assert len(cw.ticks("BTC/USD", dsn=filled)) == before
    monkeypatch.undo()
    assert len(cw.ticks("BTC/USD", dsn=filled)) == before + 1
    with connect(filled) as connection:
        connection.execute("DELETE FROM stocks_real_time WHERE price = 1")


def test_who_may_read_ticks_alone_reads_them_whole(filled: str, halved: list[Any]) -> None:
    """Nobody can count them for such a role."""
    with connect(filled) as connection:
        connection.execute("DROP ROLE IF EXISTS ticks_only; CREATE ROLE ticks_only LOGIN")
        connection.execute("GRANT USAGE ON SCHEMA public, candleworks TO ticks_only")
        connection.execute("GRANT SELECT ON stocks_real_time, quotes, company, candleworks_migrations TO ticks_only")
        try:
            found = arrow_reads.read_table(
                filled.replace("user=postgres", "user=ticks_only"),
                "arrow_ticks",
                {"symbol": "BTC/USD", "start": None, "stop": None},
            )
            assert found.num_rows > 2_000
            assert halved == []
        finally:
            connection.execute("DROP OWNED BY ticks_only; DROP ROLE ticks_only")


def test_candles_that_arrive_in_disorder_are_sorted(dsn: str, connection: Connection) -> None:
    """The server is not asked to sort them."""
    for minute in (5, 3, 4, 1, 2):
        connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [MONDAY, MONDAY])
        connection.execute(
            "INSERT INTO stocks_real_time (time, symbol, price) VALUES (%s, 'D', 1)",
            [MONDAY + timedelta(minutes=minute)],
        )
        refresh(connection)
    buckets = cw.candles("D", "1m", dsn=dsn).arrow.column("bucket").to_pylist()
    assert buckets == sorted(buckets)
    assert len(buckets) == 5
