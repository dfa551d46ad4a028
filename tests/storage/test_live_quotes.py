"""The live path of quotes: in the transaction of their trades, by the same rules."""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from candleworks.database.connection import Connection
from candleworks.model.quotes import Quotes
from candleworks.model.trades import Trades, microseconds_of
from candleworks.storage.live_quotes import LiveQuoteStore
from candleworks.storage.live_tables import LivePart, LiveTables, Recent, Written, WrittenBatch
from candleworks.storage.trades import TradeStore
from tests.storage.conftest import RECEIVED, ZONES, Trade, at, trades_of, unexpected

NOON = at("2022-10-19 12:00:00")
SYMBOL = "BTC/USD"
Sides = tuple[float, float]


class Writer:
    """Writes seconds of ticks that have quotes, as a new process does."""

    def __init__(self, connection: Connection) -> None:
        stores = TradeStore(connection, "twelvedata", ZONES.__getitem__), LiveQuoteStore(connection, "twelvedata")
        self._tables = LiveTables(*stores, "live", Recent(), unexpected)

    def write(self, second: int, sides: Iterable[Sides], *, late: bool = False) -> WrittenBatch:
        """Write one tick for each bid and ask, all at a second after noon."""
        sides = list(sides)
        time = NOON + timedelta(seconds=second)
        trades = trades_of(Trade(time, SYMBOL, bid) for bid, _ in sides)
        ordinals = list(range(len(sides)))
        trades.ordinal = ordinals[:]
        count = len(sides)
        quotes = Quotes(
            [microseconds_of(time)] * count,
            ordinals,
            [SYMBOL] * count,
            [bid for bid, _ in sides],
            [ask for _, ask in sides],
            [microseconds_of(RECEIVED)] * count,
            [f"{bid}/{ask}".encode() for bid, ask in sides],
        )
        parts = (Trades(), trades), (Quotes(), quotes)
        return self._tables.write(*(LivePart(*(part if late else reversed(part))) for part in parts))


@pytest.fixture
def writer(connection: Connection) -> Writer:
    return Writer(connection)


def stored(connection: Connection) -> list[tuple[int, float, float]]:
    """Microseconds after noon, bid and ask."""
    rows = connection.execute("SELECT time, bid, ask FROM quotes ORDER BY time").fetchall()
    return [((time - NOON) // timedelta(microseconds=1), bid, ask) for time, bid, ask in rows]


def test_a_batch_that_comes_again_adds_nothing(connection: Connection, writer: Writer) -> None:
    """Neither to trades nor to quotes; equal quotes of one second are different ones."""
    sides = [(1.0, 2.0), (1.0, 2.0), (1.5, 2.0)]
    assert writer.write(0, sides) == WrittenBatch(Written(3), Written(3))
    assert Writer(connection).write(0, sides) == WrittenBatch(Written(0, 3), Written(0, 3))
    assert stored(connection) == [(0, 1.0, 2.0), (1, 1.0, 2.0), (2, 1.5, 2.0)]


def test_quotes_that_were_imported_are_not_stored_again(connection: Connection, writer: Writer) -> None:
    """What the file does not have is added behind it; the trades of the batch are new."""
    connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [NOON, NOON])
    connection.execute(
        "INSERT INTO quotes (time, symbol, bid, ask, origin) VALUES (%s, %s, 1, 2, 'file')", [NOON, SYMBOL]
    )
    assert writer.write(0, [(1.0, 2.0), (1.5, 2.0)]) == WrittenBatch(Written(2), Written(1, 1))
    assert stored(connection) == [(0, 1.0, 2.0), (1, 1.5, 2.0)]


def test_a_late_quote_finds_its_place(connection: Connection, writer: Writer) -> None:
    """Behind those of its second, and its candle follows."""
    writer.write(0, [(1.0, 2.0)])
    writer.write(61, [(1.0, 2.0)])
    assert writer.write(0, [(1.25, 2.0)], late=True) == WrittenBatch(Written(1), Written(1))
    assert stored(connection) == [(0, 1.0, 2.0), (1, 1.25, 2.0), (61_000_000, 1.0, 2.0)]
    candles = connection.execute("SELECT bid_high, ticks FROM quote_candles_1m ORDER BY bucket").fetchall()
    assert candles == [(1.25, 2), (1.0, 1)]


def test_a_quote_that_the_database_refuses_leaves_its_trade(connection: Connection, writer: Writer) -> None:
    """The tick is kept as it arrived, and the quotes around it land."""
    connection.execute("ALTER TABLE quotes ADD CONSTRAINT no_sevens CHECK (bid <> 7)")
    written = writer.write(0, [(1.0, 8.0), (7.0, 8.0), (2.0, 8.0)])
    assert written == WrittenBatch(Written(3), Written(2, 0, 1))
    assert [bid for _, bid, _ in stored(connection)] == [1.0, 2.0]
    ((reason, payload),) = connection.execute("SELECT reason, payload FROM rejected_ticks").fetchall()
    assert reason.startswith("quote: the database refused it: ")
    assert payload == "7.0/8.0"


def test_a_trade_that_the_database_refuses_leaves_its_quote(connection: Connection, writer: Writer) -> None:
    """Each is stored or not by itself: a retry of the tick adds what is missing."""
    connection.execute("ALTER TABLE stocks_real_time ADD CONSTRAINT no_sevens CHECK (price <> 7)")
    assert writer.write(0, [(1.0, 8.0), (7.0, 8.0)]) == WrittenBatch(Written(1, 0, 1), Written(2))


def test_a_bar_gives_way_to_a_live_quote(connection: Connection, writer: Writer) -> None:
    """As to an imported one: its candle would otherwise hold both."""
    connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [NOON, NOON])
    prices = ", ".join(f"{side}_{name}" for side in ("bid", "ask") for name in ("open", "high", "low", "close"))
    connection.execute(
        f"INSERT INTO candleworks.quote_bars (symbol, start, width, {prices}, stored)"
        " VALUES (%s, %s, '1 minute', 1, 1, 1, 1, 2, 2, 2, 2, true)",
        [SYMBOL, NOON],
    )
    connection.execute(
        "INSERT INTO quotes (time, symbol, bid, ask, origin) VALUES (%s, %s, 1, 2, 'bar')",
        [NOON + timedelta(microseconds=900), SYMBOL],
    )
    assert writer.write(5, [(1.5, 2.0)]) == WrittenBatch(Written(1), Written(1))
    assert stored(connection) == [(5_000_000, 1.5, 2.0)]
    assert connection.execute("SELECT count(*) FROM candleworks.quote_bars").fetchone() == (0,)


def test_the_next_quote_continues_from_what_is_stored(connection: Connection, writer: Writer) -> None:
    """Bars do not count, and a symbol without quotes has no position."""
    writer.write(0, [(1.0, 2.0), (1.5, 2.0)])
    connection.execute(
        "INSERT INTO quotes (time, symbol, bid, ask, origin) VALUES (%s, %s, 9, 9, 'bar')",
        [NOON + timedelta(seconds=30), SYMBOL],
    )
    store = LiveQuoteStore(connection, "twelvedata")
    assert store.positions([SYMBOL, "AAPL"]) == {SYMBOL: (microseconds_of(NOON), 2, 1.5, 2.0)}
