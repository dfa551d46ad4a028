"""Trades of exchanges: their files have the size of each trade, which is its volume."""

import shlex

import pytest

from candleworks.candles.audit import audit
from candleworks.database.engine import Engine
from candleworks.errors import TerminalError, UsageError
from candleworks.imports.importer import Reading, import_file
from tests.imports.conftest import Desk
from tests.storage.conftest import at

on_postgres = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)

NOON = at("2024-01-15 12:00:00")
BINANCE = """id,price,qty,quote_qty,time,is_buyer_maker
4510000001,42500.10,0.002,85.0002,1705320000123,true
4510000002,42500.10,0.002,85.0002,1705320000123,true
4510000003,42499.90,0.125,5312.4875,1705320001500,false
"""
SPOT = "".join(f"{line},True\n" for line in BINANCE.replace("true", "True").splitlines()[1:])
TARDIS = """exchange,symbol,timestamp,local_timestamp,id,side,price,amount
binance,BTCUSDT,1705320000123000,1705320000130000,1,sell,42500.1,0.002
binance,BTCUSDT,1705320001500000,1705320001507000,2,buy,42499.9,0.125
"""
QUESTDB = """symbol,side,price,amount,timestamp
BTC-USD,sell,39269.98,0.001042,2022-03-08T18:03:57.609765Z
BTC-USD,buy,39265.31,0.000127,2022-03-08T18:03:57.710419Z
"""
HISTDATA = "20200101 170000065,1.121150,1.121640,0\n20200101 170005263,1.121130,1.121680,0\n"
FX = "Gmt Time;Best Bid;Best Offer\n2020.01.02 00:00:01.5;1.1;1.2\n2020.01.02 00:00:02;1.1;1.3\n"
COLUMNS = {"time": "time", "price": "price", "volume": "qty"}


def volumes(desk: Desk) -> list[tuple[object, ...]]:
    return desk.connection.execute(
        "SELECT price, volume, day_volume FROM stocks_real_time ORDER BY symbol, time"
    ).fetchall()


def test_sizes_are_volumes_as_they_stand(desk: Desk) -> None:
    """On both engines: in ticks and candles, after a merge, a late tick and an audit; again nothing is added."""
    desk.take(BINANCE, columns=COLUMNS, symbol="BTC/USDT")
    expected = [(42500.1, 0.002, None), (42500.1, 0.002, None), (42499.9, 0.125, None)]
    assert volumes(desk) == expected
    late = "time,price,qty\n1705320000123,42500.10,0.002\n1705320000123,42500.10,0.002\n1705320000123,42500.10,0.5\n"
    assert desk.summary(desk.take(late, columns=COLUMNS, symbol="BTC/USDT")) == (3, 1, 2, 0)
    assert volumes(desk) == [*expected[:2], (42500.1, 0.5, None), expected[2]]
    older = "time,price,qty\n1705310000000,42000,1\n"
    desk.take(older, columns={"time": "time", "price": "price", "size": "qty"}, symbol="BTC/USDT")
    assert desk.connection.execute("SELECT volume, day_volume, ticks FROM candles_1m ORDER BY bucket").fetchall() == [
        (1.0, None, 1),
        (pytest.approx(0.629), None, 4),
    ]
    assert desk.connection.execute("SELECT volume, day_volume FROM candles_1d").fetchall() == [
        (pytest.approx(1.629), None)
    ]
    assert not list(audit(desk.connection, at("2024-01-15 00:00:00"), at("2024-01-16 00:00:00")).differences)


@on_postgres
def test_a_size_is_one_of_two_kinds_of_volume_and_is_checked(desk: Desk) -> None:
    """A running total and a size cannot both be named; negative sizes and words are rejected."""
    with pytest.raises(UsageError, match=r"^--columns names day_volume and volume: name day_volume, a running total"):
        desk.take(BINANCE, columns={**COLUMNS, "day_volume": "quote_qty"}, symbol="BTC/USDT")
    text = "time,price,qty\n1705320000123,1,-1\n1705320000123,1,many\n1705320000123,1,\n"
    assert desk.summary(desk.take(text, columns=COLUMNS, symbol="BTC/USDT")) == (3, 1, 0, 2)
    assert [reason for _, reason, _ in desk.rejected()] == [
        "line 2: volume '-1' is negative",
        "line 3: volume 'many' is not a number",
    ]
    assert volumes(desk) == [(1.0, None, None)]


@on_postgres
@pytest.mark.parametrize(
    "time",
    [
        *("20240115 120000065", "20240115T120000.065Z", "20240115120000065", "20240115 120000.065"),
        *("2024.01.15 12:00:00.065", "2024/01/15 12:00:00.065"),
    ],
)
def test_compact_times_are_read(desk: Desk, time: str) -> None:
    """With and without separators, with milliseconds."""
    desk.take(f"{time},1.5\n", columns={"time": "1", "price": "2"}, symbol="EUR/USD", timezone="UTC")
    assert [f"{row[0].isoformat()}" for row in desk.book.rows()] == ["2024-01-15T12:00:00.065000+00:00"]


@on_postgres
def test_a_header_beside_numbers_is_no_rejected_line(desk: Desk) -> None:
    """Columns named by numbers work with a header too, also where it has one line below it."""
    columns = {"time": "5", "price": "2", "volume": "3"}
    assert desk.summary(desk.take(BINANCE, columns=columns, symbol="A")) == (3, 3, 0, 0)
    assert desk.summary(desk.take("when,what\n1705320000,7\n", columns={"time": "1", "price": "2"}, symbol="B")) == (
        *(1, 1, 0, 0),
    )
    bad = "1705320000,broken\n1705320001,7\n"
    assert desk.summary(desk.take(bad, columns={"time": "1", "price": "2"}, symbol="C")) == (2, 1, 0, 1)


@on_postgres
@pytest.mark.parametrize(
    ("name", "text", "proposed", "table"),
    [
        ("BTCUSDT-trades.csv", BINANCE, "time=time,price=price,volume=qty --symbol BTCUSDT", "stocks_real_time"),
        ("BTCUSDT-trades.csv", SPOT, "time=5,price=2,volume=3 --symbol BTCUSDT", "stocks_real_time"),
        ("t.csv", TARDIS, "time=timestamp,price=price,symbol=symbol,volume=amount", "stocks_real_time"),
        ("btc.csv", QUESTDB, "time=timestamp,price=price,symbol=symbol,volume=amount", "stocks_real_time"),
        (
            "DAT_ASCII_EURUSD_T_202001.csv",
            HISTDATA,
            "time=1,bid=2,ask=3 --symbol EUR/USD --timezone UTC",
            "quotes",
        ),
        ("ticks.csv", HISTDATA, "time=1,bid=2,ask=3 --symbol SYMBOL --timezone UTC", "quotes"),
        (
            "t.csv",
            "time,symbol,price,price\n2022-10-19T12:00:01Z,A,1,2\n",
            "time=1,price=3,symbol=2",
            "stocks_real_time",
        ),
        ("t.csv", "wann,was,wert\n1666180801,AAPL,1\n", "time=wann,symbol=was,price=wert", "stocks_real_time"),
        (
            "EURUSD.csv",
            FX,
            "'time=Gmt Time,bid=Best Bid,ask=Best Offer' --symbol EUR/USD --timezone UTC",
            "quotes",
        ),
    ],
)
def test_an_unknown_table_gets_a_line_that_reads_it(
    desk: Desk, name: str, text: str, proposed: str, table: str
) -> None:
    """In the file's own spelling, by names or by content; what is proposed is run, and stores every line."""
    path = desk.write(text, name)
    with pytest.raises(TerminalError) as caught:
        import_file(desk.connection, desk.settings, path)
    message = str(caught.value)
    assert f"which is not a known format: try --columns {proposed}" in message
    words = shlex.split(message.partition(": try ")[2].partition("; docs")[0].partition(" with the")[0])
    options = dict(zip(words[::2], words[1::2], strict=True))
    columns = dict(pair.split("=") for pair in options["--columns"].split(","))
    reading = Reading(symbol=options.get("--symbol"), timezone=options.get("--timezone"), columns=columns)
    result = import_file(desk.connection, desk.settings, path, reading).record
    assert (result.rejected, result.stored) == (0, desk.count(table))
    assert result.stored == text.count("\n") - (not text[0].isdecimal())


@on_postgres
@pytest.mark.parametrize("text", ["a,b,c\nx,y,z\n", "hello\nworld\n", "name,price\nApple,3\n"])
def test_what_is_no_table_of_ticks_gets_no_proposal(desk: Desk, text: str) -> None:
    """Without a time and a price the known formats are listed."""
    assert "which is not a known format: expected time,symbol,price" in desk.refusal(text)
