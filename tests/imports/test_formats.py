"""Every vendor's file is recognised by its header and first rows, however it is wrapped."""

import gzip
import io
import os
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from candleworks.database.engine import Engine
from candleworks.errors import UsageError
from candleworks.imports.importer import Reading, import_paths
from tests.imports.conftest import GOOD, HEADER, Desk
from tests.storage.conftest import at

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)

MIDNIGHT = at("2016-11-07 23:00:00")
STEP = timedelta(milliseconds=54)
DUKASCOPY = "EURUSD_Ticks_08.11.2016-08.11.2016.csv"
LOCAL = """Local time,Ask,Bid,AskVolume,BidVolume
08.11.2016 00:00:00.054 GMT+0100,1.1040100000000002,1.10398,0.75,1.5
08.11.2016 00:00:00.108 GMT+0100,1.10402,1.10399,1,2.25
"""
QUOTES = [
    (MIDNIGHT + STEP, "EUR/USD", 1.10398, 1.10401, 1.5, 0.75),
    (MIDNIGHT + 2 * STEP, "EUR/USD", 1.10399, 1.10402, 2.25, 1.0),
]
NO_VOLUMES = [(*quote[:4], None, None) for quote in QUOTES]
FILES = {
    DUKASCOPY: LOCAL,
    "EURUSD_Ticks_gmt.csv": (
        "Gmt time,Ask,Bid,AskVolume,BidVolume\n"
        "07.11.2016 23:00:00.054,1.10401,1.10398,0.75,1.5\n07.11.2016 23:00:00.108,1.10402,1.10399,1,2.25\n"
    ),
    "eurusd-tick-2016-11-08.csv": (
        "timestamp,askPrice,bidPrice,askVolume,bidVolume\n"
        "1478559600054,1.10401,1.10398,0.75,1.5\n1478559600108,1.10402,1.10399,1,2.25\n"
    ),
    "quotes.csv": (
        "time,symbol,bid,ask,bid_volume,ask_volume\n"
        "2016-11-07 23:00:00.054+00,EUR/USD,1.10398,1.10401,1.5,0.75\n"
        "2016-11-08T00:00:00.108+01:00,EUR/USD,1.10399,1.10402,2.25,1\n"
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_quotes_are_recognised(desk: Desk, name: str) -> None:
    """Ask before bid or after it, local, Greenwich or epoch time: the same quotes, without what binary floats add."""
    result = desk.take(desk.write(FILES[name], name))
    assert desk.summary(result) == (2, 2, 0, 0)
    assert desk.quotes() == QUOTES
    assert result.candles["quote 1d"] == 1
    assert desk.connection.execute("SELECT ask_open, ask_high, bid_volume, ticks FROM quote_candles_1h").fetchall() == [
        (1.10401, 1.10402, 3.75, 2)
    ]


def test_a_file_of_truefx_has_no_header(desk: Desk) -> None:
    """Its first line is a quote already, and its lines name their symbols, which may be several."""
    text = "EUR/USD,20161107 23:00:00.054,1.10398,1.10401\nGBP/USD,20161107 23:00:00.060,1.25,1.26\n"
    assert desk.summary(desk.take(text)) == (2, 2, 0, 0)
    assert desk.quotes() == [NO_VOLUMES[0], (MIDNIGHT + timedelta(milliseconds=60), "GBP/USD", 1.25, 1.26, None, None)]


def test_other_columns_are_named(desk: Desk) -> None:
    """By the header's names, with other separators, or by numbers without a header; times are told by the first."""
    named = "Date;Buy;Note;Sell\n2016-11-07 23:00:00.054;1.10401;x;1.10398\n2016-11-07 23:00:00.108;1.10402;;1.10399\n"
    columns = {"time": "date", "bid": "SELL", "ask": "Buy"}
    desk.take(named, columns=columns, symbol="EUR/USD", timezone="UTC")
    numbered = "1478559600054\t1.10398\t1.10401\n1478559600108\t1.10399\t1.10402\n"
    desk.take(numbered, columns={"time": "1", "bid": "2", "ask": "3"}, symbol="GBP/USD")
    assert desk.quotes() == NO_VOLUMES + [(quote[0], "GBP/USD", *quote[2:]) for quote in NO_VOLUMES]
    trades = "t,p\n1478559600,1.5\n1478559601,1.6\n"
    desk.take(trades, columns={"time": "t", "price": "p"}, symbol="AAPL")
    assert [row[:3] for row in desk.book.rows()] == [
        (MIDNIGHT, "AAPL", 1.5),
        (MIDNIGHT + timedelta(seconds=1), "AAPL", 1.6),
    ]


def test_columns_that_are_not_there_are_named(desk: Desk) -> None:
    """The header's columns, and which of those asked for it lacks."""
    assert desk.refusal("a,b,c\n1,2,3\n", columns={"time": "a", "bid": "b", "ask": "d"}, symbol="X") == (
        "trades.csv has the columns a,b,c: there is no d, which --columns names."
    )
    assert desk.refusal("a,b,c\n1,2,3\n", columns={"time": "a", "bid": "b", "ask": "c"}, symbol="X") == (
        "trades.csv has times such as '1' in an unknown format: write them as ISO 8601, as DD.MM.YYYY HH:MM:SS.mmm,"
        " as YYYYMMDD HH:MM:SS.mmm with or without its separators,"
        " or as seconds, milliseconds or microseconds since 1970."
    )
    with pytest.raises(UsageError, match=r"^--columns names time, bid: name time, bid and ask"):
        desk.take("a,b\n1,2\n", columns={"time": "a", "bid": "b"})


def test_a_symbol_is_told_by_the_name_or_by_the_caller(desk: Desk) -> None:
    """--symbol goes before the name; without both there is one line."""
    assert desk.refusal(LOCAL) == (
        "trades.csv has no symbol in its name: name it with an option such as --symbol EUR/USD."
    )
    names = {
        "XAUUSD-2016.csv": "XAU/USD",
        "USA500.IDXUSD_Ticks_x.csv": "USA500.IDX/USD",
        "usdjpy-tick-x.csv": "USD/JPY",
    }
    for name, symbol in names.items():
        desk.take(desk.write(f"{LOCAL}{' ' * len(symbol)}\n", name), again=True)
        assert {row[1] for row in desk.quotes()} == {symbol}
        desk.connection.execute("DELETE FROM quotes")
    desk.take(desk.write(LOCAL, DUKASCOPY), symbol="EURO")
    assert {row[1] for row in desk.quotes()} == {"EURO"}


def test_digits_round_prices(desk: Desk) -> None:
    """Without them a price keeps what it has, unless a binary float added it."""
    text = "time,symbol,price\n2016-11-07 23:00:00Z,A,0.30000000000000004\n2016-11-07 23:00:01Z,A,12345678901.23\n"
    desk.take(text)
    assert [row[2] for row in desk.book.rows()] == [0.3, 12345678901.23]
    desk.connection.execute("DELETE FROM stocks_real_time")
    desk.take(text + "\n", digits=1)
    assert [row[2] for row in desk.book.rows()] == [0.3, 12345678901.2]


def test_files_come_from_anywhere(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories, patterns, archives, gzip in an archive, standard input: each content is imported once."""
    folder = desk.directory / "many" / "deep"
    folder.mkdir(parents=True)
    (folder / DUKASCOPY).write_text(LOCAL)
    (folder / "notes.pdf").write_text("no ticks")
    (desk.directory / f"{DUKASCOPY}.gz").write_bytes(gzip.compress(LOCAL.encode()))
    with zipfile.ZipFile(desk.directory / "all.zip", "w") as archive:
        archive.writestr("trades.csv.gz", gzip.compress((HEADER + GOOD).encode()))
        archive.writestr(f"quotes/{DUKASCOPY}", LOCAL)
        archive.writestr("broken.csv", "a,b\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO((HEADER + GOOD).encode())))
    paths = [desk.directory / "many", desk.directory / "*.gz", desk.directory / "all.zip", "-", "nowhere.csv"]
    notices: list[tuple[str, str]] = []
    reports = list(
        import_paths(
            desk.connection,
            desk.settings,
            paths,
            Reading(),
            notify=lambda notice: notices.append((notice.name, Path(notice.subject).name)),
        )
    )
    told = [(Path(r.path).name, None if r.result is None else r.result.known) for r in reports]
    assert told == [
        *((DUKASCOPY, False), (f"{DUKASCOPY}.gz", True), ("broken.csv", None)),
        *((DUKASCOPY, True), ("trades.csv.gz", False), ("standard input", True), ("nowhere.csv", None)),
    ]
    assert str(reports[-1].error) == "nowhere.csv does not exist: check the path."
    assert notices == [("import.finished", DUKASCOPY), ("import.finished", "trades.csv.gz")]
    assert desk.counts() == (1, 0, 2)
    assert desk.quotes() == QUOTES


def test_a_pipe_is_read_once(desk: Desk) -> None:
    """As a shell's <(zcat ...) is."""
    path = desk.directory / "pipe"
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as executor:
        executor.submit(path.write_bytes, gzip.compress((HEADER + GOOD).encode()))
        assert desk.summary(desk.take(path)) == (1, 1, 0, 0)


def test_a_format_may_be_demanded(desk: Desk) -> None:
    """A file of another one is refused, and so is one that nobody knows."""
    assert desk.refusal(HEADER + GOOD, format="dukascopy").startswith(
        "trades.csv has the columns time,symbol,price,day_volume, which is not the format dukascopy: expected"
    )
    assert desk.summary(desk.take(HEADER + GOOD, format="trades")) == (1, 1, 0, 0)
    with pytest.raises(UsageError, match=r"^Unknown --format csv: choose one of dukascopy, "):
        list(import_paths(desk.connection, desk.settings, [], Reading(format="csv")))


def test_a_dry_run_counts_and_stores_nothing(desk: Desk) -> None:
    """What is new, what is stored already and what is refused are told apart; the file is not remembered."""
    desk.take(desk.write("\n".join(LOCAL.splitlines()[:2]), DUKASCOPY))
    before = desk.counts()
    text = LOCAL + "x\n"
    result = desk.take(desk.write(text, DUKASCOPY), dry_run=True)
    assert desk.summary(result) == (3, 1, 1, 1)
    assert desk.counts() == before
    assert desk.summary(desk.take(desk.write(text, DUKASCOPY))) == (3, 1, 1, 1)
