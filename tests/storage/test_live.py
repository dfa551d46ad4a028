"""The live write path: a batch never sinks, and no trade is stored twice."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.model.trades import Rejection, Trades, microseconds_of
from candleworks.storage.live_tables import RecentTicks, Written
from candleworks.storage.trades import TradeStore
from tests.storage.conftest import RECEIVED, ZONES, Book, LiveTrades, Trade, at, trades_of

NOON = at("2022-10-19 12:00:00")
PATIENCE_SECONDS = 60


class Writer:
    """A live writer, and the counting that a sequencer does for it."""

    def __init__(self, connection: Connection, feed: str = "live") -> None:
        self.live = LiveTrades(TradeStore(connection, "test", ZONES.__getitem__), feed)
        self._counts: Counter[tuple[str, datetime]] = Counter()

    def write(self, rows: Iterable[Trade], late: Iterable[Trade] = (), rejections: Iterable[Rejection] = ()) -> Written:
        return self.live.write(self.placed(rows), trades_of(late), rejections)

    def placed(self, rows: Iterable[Trade]) -> Trades:
        rows = list(rows)
        trades = trades_of(rows)
        for index, row in enumerate(rows):
            trades.ordinal[index] = self._counts[row.symbol, row.event_time]
            self._counts[row.symbol, row.event_time] += 1
        return trades


@pytest.fixture
def writer(connection: Connection) -> Writer:
    return Writer(connection)


def some(count: int, first: datetime = NOON) -> list[Trade]:
    """Trades of two symbols, three of them in each second."""
    return [Trade(first + timedelta(seconds=n // 3), ("AAPL", "BTC/USD")[n % 2], 1.0 + n) for n in range(count)]


def refused(connection: Connection) -> list[tuple[str, str, str]]:
    return connection.execute("SELECT feed, reason, payload FROM rejected_ticks ORDER BY id").fetchall()


def test_a_batch_lands_as_it_came(book: Book, writer: Writer) -> None:
    """Ordinals across batches, and an empty batch is none."""
    rows = some(20)
    assert writer.write(rows[:7]) == Written(7, 0, 0)
    assert writer.write(rows[7:]) == Written(13, 0, 0)
    assert writer.write([]) == Written(0, 0, 0)
    assert book.stored() == sorted(rows, key=lambda row: (row.symbol, row.event_time))


def test_a_batch_that_comes_again_adds_nothing(book: Book, connection: Connection, writer: Writer) -> None:
    """After a lost connection nobody knows whether the last batch was committed: it is sent once more."""
    rows = [*some(20), *some(3)]
    writer.write(rows)
    again = Writer(connection)
    again.live = LiveTrades(TradeStore(connection, "test", ZONES.__getitem__))
    assert again.write(rows) == Written(0, 23, 0)
    assert len(book.stored()) == 23


def test_a_duplicate_does_not_sink_its_batch(book: Book, writer: Writer) -> None:
    """What another source stored before is counted, the rest is stored behind it."""
    rows = some(30)
    book.merge(rows[4:9])
    assert writer.write(rows) == Written(25, 5, 0)
    assert Counter(book.stored()) == Counter(rows)


def test_a_price_that_is_told_twice_within_a_second_is_two_trades(book: Book, writer: Writer) -> None:
    """3 % of real ticks equal another one in every column; also when their batch meets a duplicate."""
    same = Trade(NOON, "AAPL", 1.0, 7.0)
    writer.write([same])
    book.merge([Trade(NOON, "AAPL", 2.0)])
    assert writer.write([same, same]) == Written(2, 0, 0)
    assert [row.price for row in book.stored()] == [1.0, 2.0, 1.0, 1.0]


def test_late_trades_find_their_place(book: Book, writer: Writer) -> None:
    """They follow what is stored of their event time, and the volumes around them are right afterwards."""
    writer.write([Trade(NOON + timedelta(seconds=n), "AAPL", 1.0, 10.0 * n) for n in range(1, 5)])
    late = [Trade(NOON + timedelta(seconds=2), "AAPL", 3.0, 25.0), Trade(NOON, "AAPL", 4.0, 5.0)]
    assert writer.write([Trade(NOON + timedelta(seconds=5), "AAPL", 5.0)], late) == Written(3, 0, 0)
    assert [row.price for row in book.stored()] == [4.0, 1.0, 1.0, 3.0, 1.0, 1.0, 5.0]
    assert [row[4] for row in book.rows()] == [None, 5.0, 10.0, 5.0, 5.0, 10.0, None]


@pytest.mark.parametrize("price", [-1.0, float("inf"), float("nan")])
def test_a_trade_that_the_database_refuses_is_set_aside_alone(
    book: Book, connection: Connection, writer: Writer, price: float
) -> None:
    """The rest of its batch lands, and the quarantine knows the database's reason and what it looked like."""
    rows = some(50)
    poison = Trade(NOON + timedelta(seconds=5), "AAPL", price, 3.0)
    assert writer.write([*rows[:20], poison, *rows[20:]]) == Written(50, 0, 1)
    assert Counter(book.stored()) == Counter(rows)
    ((feed, reason, payload),) = refused(connection)
    assert feed == "live"
    assert reason.startswith('the database refused it: new row for relation "')
    assert reason.endswith('" violates check constraint "stocks_real_time_price_check"')
    assert payload == (
        f"symbol=AAPL event_time=2022-10-19T12:00:05+00:00 price={price!r} day_volume=3.0 bid=None ask=None"
    )


def test_several_poisoned_trades_and_duplicates_in_one_batch(
    book: Book, connection: Connection, writer: Writer
) -> None:
    """Each is counted for what it is, among late ones too."""
    rows = some(40)
    book.merge(rows[:10])
    poison = [row._replace(price=-1.0) for row in rows[15:18]]
    late = [Trade(NOON - timedelta(seconds=1), "AAPL", 1.0), Trade(NOON - timedelta(seconds=1), "AAPL", -2.0)]
    assert writer.write([*rows[:12], *poison, *rows[12:]], late) == Written(31, 10, 4)
    assert Counter(book.stored()) == Counter([*rows, late[0]])
    assert len(refused(connection)) == 4


def test_what_was_refused_before_is_kept_with_the_batch(connection: Connection, writer: Writer) -> None:
    """Rejections of the feed go to the quarantine in the batch's own transaction, NUL characters made readable."""
    rejection = Rejection(microseconds_of(RECEIVED), "no JSON: \x00", "{\x00")
    assert writer.write(some(3), rejections=[rejection]) == Written(3, 0, 1)
    assert refused(connection) == [("live", "no JSON: \ufffd", "{\ufffd")]
    assert connection.execute("SELECT received_at FROM rejected_ticks").fetchall() == [(RECEIVED,)]


def test_two_writers_of_the_same_ticks_store_each_once(dsn: str, book: Book) -> None:
    """At the same time, in different batches, with equal trades and another source's knowledge in between."""
    rows = [Trade(NOON + timedelta(seconds=n // 6), "AAPL", float(n % 4 // 2), float(n // 4)) for n in range(240)]
    book.merge(rows[50:60])

    def run(size: int) -> Written:
        total = Written()
        with connect(dsn, f"writer {size}") as connection:
            writer = Writer(connection)
            for start in range(0, len(rows), size):
                written = writer.write(rows[start : start + size])
                total.stored += written.stored
                total.duplicates += written.duplicates
        return total

    with ThreadPoolExecutor(2) as executor:
        one, other = (executor.submit(run, size) for size in (7, 11))
        totals = [one.result(PATIENCE_SECONDS), other.result(PATIENCE_SECONDS)]
    assert Counter(book.stored()) == Counter(rows)
    assert sum(total.stored for total in totals) == len(rows) - 10
    assert sum(total.duplicates for total in totals) == len(rows) + 10


def test_room_is_made_for_any_week(book: Book, writer: Writer) -> None:
    """The oldest event time that is taken, and next year's."""
    rows = [
        Trade(moment, "AAPL", 1.0) for moment in (at("1990-01-01 00:00:00"), datetime.now(UTC).replace(microsecond=0))
    ]
    rows.append(Trade(rows[1].event_time + timedelta(days=366), "AAPL", 1.0))
    assert writer.write(rows) == Written(3, 0, 0)
    assert book.stored() == rows


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_room_that_vanished_is_made_again(book: Book, connection: Connection, writer: Writer) -> None:
    """Retention may drop a partition that the writer has written to: late ticks for it are stored all the same."""
    writer.write(some(3))
    connection.execute("DROP TABLE candleworks.stocks_real_time_20221017")
    assert writer.write(some(3, NOON + timedelta(minutes=1))) == Written(3, 0, 0)
    assert len(book.stored()) == 3


def test_a_late_trade_for_a_full_event_time_is_set_aside(book: Book, connection: Connection) -> None:
    """A millisecond holds a thousand trades of a symbol; what comes behind them is kept with that reason."""
    store = TradeStore(connection, "test", ZONES.__getitem__, resolution_us=1_000)
    live = LiveTrades(store)
    full = trades_of(Trade(NOON, "AAPL", float(n)) for n in range(1_000))
    assert live.write(Trades(), full) == Written(1_000, 0, 0)
    late = trades_of([Trade(NOON, "AAPL", 5_000.0), Trade(NOON + timedelta(milliseconds=1), "AAPL", 1.0)])
    assert live.write(Trades(), late) == Written(1, 0, 1)
    ((_, reason, payload),) = refused(connection)
    assert reason == "its symbol already has 1,000 ticks with its event time"
    assert payload.startswith("symbol=AAPL event_time=2022-10-19T12:00:00+00:00 price=5000.0 ")
    assert len(book.stored(timedelta(milliseconds=1))) == 1_001


def test_what_is_remembered_is_bounded() -> None:
    """The newest 100,000 trades, to the batch; batches without a trade leave nothing."""
    recent: RecentTicks[Trades] = RecentTicks()
    for number in range(30):
        recent.remember(trades_of(Trade(NOON + timedelta(seconds=number), "AAPL", 1.0) for _ in range(10_000)))
        recent.remember(Trades())
    assert (len(recent.batches), recent.count) == (10, 100_000)
    assert len(recent.of_same_times(trades_of([Trade(NOON + timedelta(seconds=19), "AAPL", 1.0)]))) == 0
    assert len(recent.of_same_times(trades_of([Trade(NOON + timedelta(seconds=20), "AAPL", 1.0)]))) == 10_000
