"""Trades that meet stored ones: tick identity, multisets, volume."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from candleworks.database.connection import connect
from candleworks.database.engine import Engine
from candleworks.model.trades import microseconds_of
from candleworks.storage.trades import MergeResult, Position, TradeStore
from tests.storage.conftest import ZONES, Book, Trade, at, wait_for_a_lock

NOON = at("2022-10-19 12:00:00")

event_times = st.integers(0, 3).map(lambda seconds: NOON + timedelta(seconds=seconds))
sequences = st.lists(
    st.builds(
        Trade,
        event_times,
        st.sampled_from(["AAPL", "BTC/USD"]),
        st.sampled_from([1.0, 1.5]),
        st.sampled_from([None, 7.0, 8.0]),
    ),
    max_size=14,
)
# Around midnight of UTC and of New York, on and beside it; three days, so that a day has one before and one after.
dated = st.builds(
    Trade,
    st.builds(
        lambda day, second: at(day) + timedelta(seconds=second),
        st.sampled_from([f"2022-10-{day} {hour}:00:00" for day in ("19", "20", "21") for hour in ("00", "04", "12")]),
        st.integers(-2, 2),
    ),
    st.sampled_from(["AAPL", "BTC/USD"]),
    st.just(1.0),
    st.none() | st.integers(0, 9).map(float),
)
real_server = examples(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def in_time(rows: Sequence[Trade]) -> list[Trade]:
    return sorted(rows, key=lambda row: (row.symbol, row.event_time))


def test_ordinals_follow_arrival_within_an_event_time(book: Book) -> None:
    """The third trade of a second stands two microseconds behind it."""
    rows = [Trade(NOON, "AAPL", price) for price in (3.0, 1.0, 2.0)]
    assert book.merge(rows) == MergeResult(3, 0)
    assert [(row[0], row[2]) for row in book.rows()] == [
        (NOON + timedelta(microseconds=ordinal), price) for ordinal, price in enumerate((3.0, 1.0, 2.0))
    ]


def test_surplus_stands_behind_what_is_stored(book: Book) -> None:
    """What another source knew in addition follows the stored trades of that event time, without a hole."""
    book.merge([Trade(NOON, "AAPL", 1.0), Trade(NOON, "AAPL", 2.0)])
    assert book.merge([Trade(NOON, "AAPL", 9.0), Trade(NOON, "AAPL", 2.0), Trade(NOON, "AAPL", 8.0)]) == MergeResult(
        2, 1
    )
    assert [row.price for row in book.stored()] == [1.0, 2.0, 9.0, 8.0]


def test_equal_trades_of_one_event_time_are_as_many_as_the_richer_source_has(book: Book) -> None:
    """Twice the same price and total within a second are two trades, and stay two when told again."""
    twice = [Trade(NOON, "AAPL", 1.0, 5.0)] * 2
    assert book.merge(twice[:1]) == MergeResult(1, 0)
    assert book.merge(twice) == MergeResult(1, 1)
    assert book.merge(twice) == MergeResult(0, 2)
    assert book.merge([*twice, *twice[:1]]) == MergeResult(1, 2)
    assert len(book.stored()) == 3


def test_null_and_zero_totals_are_different(book: Book) -> None:
    """A trade without day_volume equals only one without."""
    book.merge([Trade(NOON, "AAPL", 1.0, None)])
    assert book.merge([Trade(NOON, "AAPL", 1.0, 0.0), Trade(NOON, "AAPL", 1.0, None)]) == MergeResult(1, 1)


def test_what_this_process_stored_before_is_told_from_a_repetition(book: Book) -> None:
    """A live repetition of a price is new although the table has one like it; `known` says so."""
    one = Trade(NOON, "AAPL", 1.0, 5.0)
    book.merge([one])
    assert book.merge([one], known=[one]) == MergeResult(1, 0)
    assert book.merge([one], known=[one, one]) == MergeResult(1, 0)
    assert book.merge([one], known=[one, one]) == MergeResult(0, 1)


@real_server
@given(truth=sequences, data=st.data())
def test_two_sources_complete_each_other(book: Book, truth: list[Trade], data: st.DataObject) -> None:
    """Of each trade there are as many as the source that has more of it; repeating either source adds nothing."""
    book.clear()
    chosen = [
        data.draw(st.lists(st.booleans(), min_size=len(truth), max_size=len(truth)), label=f"source {number}")
        for number in (1, 2)
    ]
    sources = [[trade for trade, taken in zip(truth, mask, strict=True) if taken] for mask in chosen]
    wanted = Counter(sources[0]) | Counter(sources[1])
    for source in sources:
        before = len(book.rows())
        meeting = book.merge(source)
        assert meeting.stored == len(book.rows()) - before
        assert meeting.stored + meeting.duplicates == len(source)
    assert Counter(book.stored()) == wanted
    for source in sources:
        assert book.merge(source) == MergeResult(0, len(source))
    assert Counter(book.stored()) == wanted


@real_server
@given(truth=sequences, cut=st.integers(0, 14))
def test_a_recording_that_continues_keeps_its_order(book: Book, truth: list[Trade], cut: int) -> None:
    """A source that knows a beginning and one that knows everything make the true sequence, in order."""
    book.clear()
    truth = in_time(truth)
    book.merge(truth[:cut])
    book.merge(truth)
    assert book.stored() == truth


@real_server
@given(batches=st.lists(st.lists(dated, min_size=1, max_size=6), min_size=1, max_size=5))
def test_volume_is_the_increase_of_the_running_maximum(book: Book, batches: list[list[Trade]]) -> None:
    """In whatever order trades arrive, late or in front of the first known day, volumes are what their order says."""
    book.clear()
    for batch in batches:
        book.merge(batch)
        book.assert_volumes_follow()


def test_a_trade_at_midnight_belongs_to_the_new_day(book: Book) -> None:
    """A late trade of yesterday does not touch the one that opens today."""
    book.merge(
        [Trade(at("2022-10-19 12:00:00"), "BTC/USD", 1.0, 5.0), Trade(at("2022-10-20 00:00:00"), "BTC/USD", 1.0, 3.0)]
    )
    book.merge([Trade(at("2022-10-19 12:00:01"), "BTC/USD", 1.0, 9.0)])
    assert [row[4] for row in book.rows()] == [None, 4.0, 3.0]


def test_a_day_that_is_touched_twice_is_computed_once(book: Book) -> None:
    """Trades of the first known day and of the day before it, in one delivery."""
    book.merge([Trade(at(f"2022-10-20 12:00:0{n}"), "AAPL", 1.0, 10.0 * n) for n in (1, 3)])
    book.merge([Trade(at(f"2022-10-{day} 12:00:02"), "AAPL", 1.0, 20.0) for day in ("18", "19", "20")])
    assert [row[4] for row in book.rows()] == [None, 20.0, 10.0, 10.0, 10.0]


def test_positions_say_where_each_symbol_stands(book: Book) -> None:
    """The newest event time, how many share it, the newest price and total, and the highest total of its day."""
    book.merge(
        [
            Trade(at("2022-10-19 14:00:00"), "AAPL", 1.0, 50.0),
            Trade(at("2022-10-19 23:59:59"), "AAPL", 2.0, 90.0),
            Trade(at("2022-10-20 00:00:01"), "AAPL", 3.0, 80.0),
            Trade(at("2022-10-20 00:00:01"), "AAPL", 4.0),
            Trade(at("2022-10-19 14:00:00"), "BTC/USD", 5.0, 50.0),
            Trade(at("2022-10-20 14:00:00"), "BTC/USD", 6.0),
        ]
    )
    positions = book.store.positions(["AAPL", "BTC/USD", "MSFT"])
    assert positions == {
        "AAPL": Position(microseconds_of(at("2022-10-20 00:00:01")), 2, 4.0, None, 90.0),
        "BTC/USD": Position(microseconds_of(at("2022-10-20 14:00:00")), 1, 6.0, None, 0.0),
    }


def test_a_position_without_any_total_does_not_know_where_the_day_began(book: Book) -> None:
    """A first known day that had no running total yet has no highest one."""
    book.merge([Trade(NOON, "AAPL", 1.0)])
    assert book.store.positions(["AAPL"])["AAPL"].highest_day_volume is None


def test_milliseconds_are_event_times_of_their_own(book: Book) -> None:
    """With a resolution of one millisecond ordinals count within it."""
    store = TradeStore(book.connection, "test", ZONES.__getitem__, resolution_us=1_000)
    rows = [Trade(NOON + timedelta(milliseconds=ms), "AAPL", 1.0) for ms in (0, 1, 1, 2)]
    assert book.merge(rows, store=store) == MergeResult(4, 0)
    assert book.merge(rows, store=store) == MergeResult(0, 4)
    assert book.stored(timedelta(milliseconds=1)) == rows


def test_a_millisecond_holds_a_thousand_trades(book: Book) -> None:
    """The next one would take a place in the following millisecond: it is refused by its position, the rest lands."""
    store = TradeStore(book.connection, "test", ZONES.__getitem__, resolution_us=1_000)
    full = [Trade(NOON, "AAPL", float(n)) for n in range(998)]
    after = Trade(NOON + timedelta(milliseconds=1), "AAPL", 5.0)
    assert book.merge(full, store=store) == MergeResult(998, 0)
    more = [Trade(NOON, "AAPL", 2_000.0 + n) for n in range(4)]
    assert book.merge([full[0], *more[:3], after, more[3]], store=store) == MergeResult(3, 1, (3, 5))
    assert book.stored(timedelta(milliseconds=1)) == [*full, *more[:2], after]


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
@pytest.mark.parametrize("moment", ["1990-01-01 00:00:00", "1999-12-31 23:59:59", "2100-12-31 23:59:59"])
def test_a_partition_is_made_for_any_time(book: Book, moment: str) -> None:
    """Old and future trades find room without anybody preparing it."""
    assert book.merge([Trade(at(moment), "AAPL", 1.0)]) == MergeResult(1, 0)
    assert [row[0] for row in book.rows()] == [at(moment)]


def test_two_merges_at_the_same_time_store_each_trade_once(dsn: str, book: Book) -> None:
    """The second waits for the first, finds its places taken and looks again."""
    rows = [Trade(NOON + timedelta(seconds=n // 3), "AAPL", float(n)) for n in range(30)]
    book.merge([Trade(NOON - timedelta(days=1), "AAPL", 1.0)])

    def merge_beside() -> MergeResult:
        with connect(dsn, "second") as connection:
            return Book(connection).merge(rows)

    with ThreadPoolExecutor(1) as executor, connect(dsn, "first", autocommit=False) as first:
        Book(first).merge(rows)
        second = executor.submit(merge_beside)
        wait_for_a_lock(book.connection, "second")
        first.commit()
        assert second.result(timeout=30) == MergeResult(0, len(rows))
    assert book.stored()[1:] == rows


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_two_who_need_the_same_new_week_make_it_once(dsn: str, book: Book) -> None:
    """The second waits for the first and then sees what it made."""
    moment = microseconds_of(NOON)

    def prepare_beside() -> None:
        with connect(dsn, "second") as connection:
            Book(connection).store.prepare([moment])

    with ThreadPoolExecutor(1) as executor, connect(dsn, "first", autocommit=False) as first:
        Book(first).store.prepare([moment])
        second = executor.submit(prepare_beside)
        wait_for_a_lock(book.connection, "second")
        first.commit()
        second.result(timeout=30)
    assert book.merge([Trade(NOON, "AAPL", 1.0)]) == MergeResult(1, 0)
