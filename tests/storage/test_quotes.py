"""What the table of quotes takes and refuses, on every engine."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg import errors

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine

MOMENT = datetime(2024, 3, 10, 12, tzinfo=UTC)
INSERT = "INSERT INTO quotes (time, symbol, bid, ask, bid_volume, ask_volume) VALUES (%s, %s, %s, %s, %s, %s)"


@pytest.fixture
def prepared(connection: Connection) -> Connection:
    connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [MOMENT, MOMENT + timedelta(days=1)])
    return connection


@pytest.mark.parametrize(
    ("bid", "ask"),
    [(1.1, 1.2), (1.1, 1.1), (0.0, 0.0), (0.0, 5e-324), (1.7e308, 1.7e308)],
)
def test_a_quote_is_kept_digit_by_digit(prepared: Connection, bid: float, ask: float) -> None:
    """Bid and ask may be equal, and 0 is a price; volumes may be unknown."""
    prepared.execute(INSERT, [MOMENT, "EUR/USD", bid, ask, None, 0.1 + 0.2])
    rows = prepared.execute("SELECT time, symbol, bid, ask, bid_volume, ask_volume, origin FROM quotes").fetchall()
    assert rows == [(MOMENT, "EUR/USD", bid, ask, None, 0.1 + 0.2, "manual")]


@pytest.mark.parametrize(
    ("bid", "ask", "constraint"),
    [
        (1.2, 1.1, "quotes_not_crossed"),
        (-0.1, 1.0, "quotes_bid_check"),
        (1.0, float("inf"), "quotes_ask_check"),
        (1.0, float("nan"), "quotes_ask_check"),
        (float("nan"), 1.0, "quotes_not_crossed"),
        (float("nan"), float("nan"), "quotes_ask_check"),
        (float("-inf"), 1.0, "quotes_bid_check"),
        (float("inf"), float("inf"), "quotes_ask_check"),
    ],
)
def test_an_impossible_quote_is_stored_nowhere(prepared: Connection, bid: float, ask: float, constraint: str) -> None:
    """Crossed, negative and unending prices are refused, and the constraint's name says why."""
    with pytest.raises(errors.CheckViolation) as caught:
        prepared.execute(INSERT, [MOMENT, "EUR/USD", bid, ask, None, None])
    assert caught.value.diag.constraint_name == constraint
    assert prepared.execute("SELECT FROM quotes").fetchall() == []


@pytest.mark.parametrize("volume", [-1.0, float("nan"), float("inf")])
def test_an_impossible_volume_would_spoil_the_sums(prepared: Connection, volume: float) -> None:
    """A volume is a number from 0 on, or unknown."""
    for volumes in ([volume, None], [None, volume]):
        with pytest.raises(errors.CheckViolation):
            prepared.execute(INSERT, [MOMENT, "EUR/USD", 1, 1, *volumes])


@pytest.mark.parametrize("missing", ["time", "symbol", "bid", "ask"])
def test_a_quote_has_a_time_a_symbol_and_both_sides(prepared: Connection, missing: str) -> None:
    """One-sided quotes are refused; a quote without a time has no partition to go to."""
    quote = {"time": MOMENT, "symbol": "EUR/USD", "bid": 1, "ask": 2} | {missing: None}
    with pytest.raises((errors.NotNullViolation, errors.CheckViolation)):
        prepared.execute(INSERT, [*quote.values(), None, None])


def test_a_symbol_has_one_quote_per_time(prepared: Connection) -> None:
    """The same time is taken for one symbol and free for another; ON CONFLICT finds the key."""
    for symbol in ("EUR/USD", "GBP/USD"):
        prepared.execute(INSERT, [MOMENT, symbol, 1, 2, None, None])
    with pytest.raises(errors.UniqueViolation):
        prepared.execute(INSERT, [MOMENT, "EUR/USD", 3, 4, None, None])
    prepared.execute(f"{INSERT} ON CONFLICT (symbol, time) DO NOTHING", [MOMENT, "EUR/USD", 3, 4, None, None])
    assert prepared.execute("SELECT symbol, bid FROM quotes ORDER BY 1").fetchall() == [("EUR/USD", 1), ("GBP/USD", 1)]


def test_quotes_of_any_prepared_time_find_room(connection: Connection) -> None:
    """Preparing is harmless to repeat, covers both ends, and holds across weeks."""
    last = MOMENT + timedelta(days=40)
    for _ in range(2):
        connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [MOMENT, last])
    moments = [MOMENT, MOMENT + timedelta(days=14), last]
    for moment in moments:
        connection.execute(INSERT, [moment, "EUR/USD", 1, 2, None, None])
    assert connection.execute("SELECT time FROM quotes ORDER BY 1").fetchall() == [(moment,) for moment in moments]


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_partitions_of_quotes_and_trades_are_weeks_of_their_own(connection: Connection) -> None:
    """The same week has one partition of each table, from Monday to Monday in UTC whatever the session's zone is."""
    connection.execute("SET TimeZone = 'America/New_York'")
    connection.execute("SELECT candleworks.prepare_quotes(%s, %s), candleworks.prepare_ticks(%s, %s)", [MOMENT] * 4)
    connection.execute("SET TimeZone = 'UTC'")
    bounds = connection.execute(
        "SELECT c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid) FROM pg_class c WHERE c.relispartition"
        " AND c.relkind = 'r' ORDER BY 1"
    ).fetchall()
    week = "FOR VALUES FROM ('2024-03-04 00:00:00+00') TO ('2024-03-11 00:00:00+00')"
    assert bounds == [
        ("candleworks.quotes_20240304", week),
        ("candleworks.stocks_real_time_20240304", week),
    ]


@pytest.mark.parametrize("engine", [Engine.TIMESCALE], indirect=True)
def test_chunks_of_quotes_have_the_configured_width(connection: Connection) -> None:
    """One day by default, as those of trades."""
    widths = connection.execute(
        "SELECT hypertable_name, time_interval FROM timescaledb_information.dimensions"
        " WHERE hypertable_schema = 'public' ORDER BY 1"
    ).fetchall()
    assert widths == [("quotes", timedelta(days=1)), ("stocks_real_time", timedelta(days=1))]
