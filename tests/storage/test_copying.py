"""The binary COPY stream: what goes in comes out, whatever is null."""

import itertools
from datetime import UTC, datetime

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from candleworks.database.copy import COPY_TRADES, encode_columns, encode_trades
from candleworks.database.engine import Engine
from candleworks.model.trades import Trades, moment_of
from tests.storage.conftest import Book

FIRST_US = 631_152_000_000_000  # 1990
LAST_US = 4_102_444_800_000_000  # 2100
COLUMNS = "time, symbol, price, day_volume, volume, bid, ask, received_at, origin"

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)

numbers = st.floats(0, 1e12, allow_subnormal=False)
nullable = st.none() | numbers
rows = st.tuples(
    st.integers(FIRST_US, LAST_US),
    st.integers(0, 999_999),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9./:^_-]{0,31}", fullmatch=True),
    numbers,
    *[nullable] * 4,
    st.integers(FIRST_US, LAST_US),
)


def copy(book: Book, trades: Trades, origin: str) -> list[tuple[object, ...]]:
    """Send the stream into a table without constraints and read it back."""
    book.connection.execute("CREATE TEMP TABLE IF NOT EXISTS copied (LIKE stocks_real_time INCLUDING DEFAULTS)")
    book.connection.execute("TRUNCATE copied")
    with (
        book.connection.cursor() as cursor,
        cursor.copy(COPY_TRADES.replace("public.stocks_real_time", "copied")) as out,
    ):
        out.write(encode_trades(trades, origin))
    return book.connection.execute(f"SELECT {COLUMNS} FROM copied").fetchall()


def expected(trades: Trades, origin: str) -> list[tuple[object, ...]]:
    return [
        (
            moment_of(trades.event_us[i] + trades.ordinal[i]),
            *(trades.symbol[i], trades.price[i], trades.day_volume[i], trades.volume[i], trades.bid[i], trades.ask[i]),
            *(moment_of(trades.received_us[i]), origin),
        )
        for i in range(len(trades))
    ]


def in_order(found: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return sorted(found, key=repr)


@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows, max_size=20), st.sampled_from(["file", "twelvedata", "é"]))
def test_every_row_arrives_as_it_was(book: Book, drawn: list[tuple[object, ...]], origin: str) -> None:
    """Symbols of any length, times before and after 2000, floats to the last bit."""
    trades = Trades(*(list(column) for column in zip(*drawn, strict=True))) if drawn else Trades()  # type: ignore[arg-type]
    assert in_order(copy(book, trades, origin)) == in_order(expected(trades, origin))


def test_every_pattern_of_nulls_has_its_layout(book: Book) -> None:
    """All 16 combinations of missing values in one stream."""
    patterns = list(itertools.product([None, 1.5], repeat=4))
    count = len(patterns)
    trades = Trades(
        list(range(FIRST_US, FIRST_US + count)),
        [0] * count,
        ["AAPL" if index % 2 else "BTC/USD" for index in range(count)],
        [1.0] * count,
        *(list(column) for column in zip(*patterns, strict=True)),
        [FIRST_US] * count,
    )
    assert in_order(copy(book, trades, "test")) == in_order(expected(trades, "test"))


def test_microseconds_survive_around_postgresqls_epoch(book: Book) -> None:
    """The wire counts from 2000, and earlier times are negative there."""
    moments = {
        FIRST_US: datetime(1990, 1, 1, tzinfo=UTC),
        946_684_799_999_999: datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        946_684_800_000_000: datetime(2000, 1, 1, tzinfo=UTC),
        946_684_800_000_001: datetime(2000, 1, 1, microsecond=1, tzinfo=UTC),
    }
    for us, moment in moments.items():
        trades = Trades([us], [0], ["A"], [0.1], [None], [None], [None], [None], [us])
        (row,) = copy(book, trades, "test")
        assert row[0] == moment


def test_a_stream_without_rows_is_a_stream(book: Book) -> None:
    """Nothing to copy is no error."""
    assert copy(book, Trades(), "test") == []


def test_nan_stands_for_null_where_null_is_possible(book: Book) -> None:
    """Columns of numpy have no null, so NaN is one, and a price of 0 stays 0."""
    none, zero = np.array([np.nan]), np.array([0.0])
    stream = encode_columns(
        np.array([FIRST_US]), np.array(["A"], "S"), zero, [none, zero, none, none], np.array([FIRST_US]), "test"
    )
    book.store.prepare([FIRST_US])
    book.store.copy_encoded(stream)
    assert book.rows() == [(datetime(1990, 1, 1, tzinfo=UTC), "A", 0.0, None, 0.0)]


def test_the_table_takes_no_price_that_is_none(book: Book) -> None:
    """A negative, infinite or undefined price is refused by the table itself."""
    book.store.prepare([FIRST_US])
    for price in (-0.01, float("inf"), float("nan")):
        with pytest.raises(psycopg.errors.CheckViolation):
            book.store.copy(Trades([FIRST_US], [0], ["A"], [price], [None], [None], [None], [None], [FIRST_US]))
