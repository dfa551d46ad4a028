"""What notebooks read, from a real database of either engine."""

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa
import pytest

import candleworks as cw
from candleworks.database.connection import Connection
from candleworks.errors import CandleworksError, TerminalError, TransientError, UsageError
from tests.conftest import clone
from tests.reader.conftest import MONDAY

HEAVY = {"adbc_driver_manager", "adbc_driver_postgresql", "fastapi", "great_expectations", "numpy", "pandas", "polars"}
HEAVY |= {"prefect", "psycopg", "pyarrow", "pydantic", "rich", "typer"}


def python(code: str) -> Any:
    """What the code prints as JSON, in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_importing_it_imports_nothing_heavy() -> None:
    """A notebook that only names candleworks has not waited for Prefect, Great Expectations or any table library."""
    modules = python("import json, sys, candleworks; print(json.dumps(list(sys.modules)))")
    assert HEAVY & set(modules) == set()


def test_reading_needs_no_prefect_and_no_great_expectations(stored: str) -> None:
    """Neither when tables are read."""
    modules = python(
        "import json, sys, candleworks as cw\n"
        f"cw.candles('AAPL', '5m', '2026-03-02', dsn={stored!r})\n"
        "print(json.dumps(list(sys.modules)))"
    )
    assert {"prefect", "great_expectations", "fastapi"} & set(modules) == set()


def test_a_function_and_a_subpackage_share_their_name() -> None:
    """Whoever imports the subpackage still calls the function, and reaches what is in the package."""
    assert python(
        "import inspect, json, candleworks as cw\n"
        "before = str(inspect.signature(cw.candles))\n"
        "import candleworks.candles.reads as reads\n"
        "from candleworks.candles.reads import Period\n"
        "after = str(inspect.signature(cw.candles))\n"
        "try:\n"
        "    cw.candles('AAPL', '5x')\n"
        "except cw.errors.UsageError as error:\n"
        "    said = str(error)\n"
        "print(json.dumps([before == after, Period is cw.candles.reads.Period is reads.Period, said[:27]]))"
    ) == [True, True, "The argument period is '5x'"]


def test_candles_are_what_sql_says(stored: str, connection: Connection) -> None:
    """The same rows and columns as the function of the database."""
    table = cw.candles("AAPL", "5m", "2026-03-02", "2026-03-03", dsn=stored)
    rows = connection.execute(
        "SELECT * FROM candleworks.candles_of('AAPL', '5 minutes', '2026-03-02', '2026-03-03', 'trade')"
    )
    assert table.arrow.to_pylist() == [
        dict(zip([column.name for column in rows.description or ()], row, strict=True)) for row in rows
    ]
    assert (len(table), table.columns[:6]) == (2, ["bucket", "open", "high", "low", "close", "volume"])


def test_ticks_and_quotes_are_rows_of_a_range(stored: str) -> None:
    """The start belongs to it, the end does not; null stays null."""
    start, end = MONDAY, MONDAY + timedelta(minutes=2)
    ticks = cw.ticks("AAPL", start, end, dsn=stored).arrow
    assert [(row["time"], row["price"], row["volume"]) for row in ticks.to_pylist()] == [
        (MONDAY, 100.0, None),
        (MONDAY + timedelta(minutes=1), 101.0, 10.0),
    ]
    assert ticks.column_names == ["time", "price", "volume", "day_volume", "bid", "ask", "received_at", "origin"]
    assert cw.quotes("EUR/USD", start, end, dsn=stored).arrow.column("ask").to_pylist() == [1.2, 1.21]


def test_trades_with_quotes(stored: str, connection: Connection) -> None:
    """As the function of the database; without an end up to now."""
    connection.execute("INSERT INTO quotes (time, symbol, bid, ask) VALUES (%s, 'AAPL', 104, 105)", [MONDAY])
    table = cw.trades_with_quotes("AAPL", MONDAY, MONDAY + timedelta(days=1), dsn=stored)
    assert table.arrow.column("side").to_pylist() == ["sell"] * 5 + ["buy"] * 5
    with pytest.raises(UsageError, match="it must have two ends and be at most 31 days"):
        cw.trades_with_quotes("AAPL", "2020-01-01", dsn=stored)


def test_every_library_takes_the_table_as_it_is(stored: str) -> None:
    """By its method, or through the Arrow PyCapsule interface."""
    table = cw.ticks("AAPL", dsn=stored)
    assert table.to_polars()["price"].sum() == pl.DataFrame(table)["price"].sum() == 1045
    assert table.to_pandas()["price"].sum() == pd.DataFrame.from_arrow(table)["price"].sum() == 1045
    assert pa.table(table).equals(table.arrow)
    with duckdb.connect() as other:
        other.register("ticks", table)
        assert other.sql("SELECT sum(price) FROM ticks").fetchall() == [(1045,)]


def test_times_are_utc_unless_a_zone_is_asked_for(stored: str) -> None:
    """Days of New York begin at its midnight, and their times say so."""
    assert cw.candles("AAPL", "1d", dsn=stored).arrow.column("bucket").type == pa.timestamp("us", "UTC")
    days = cw.candles("AAPL", "1d", zone="America/New_York", dsn=stored).to_pandas()
    assert str(days["bucket"][0]) == "2026-03-02 00:00:00-05:00"


def test_the_default_side_of_a_symbol(stored: str) -> None:
    """Trades, or bids where there are only quotes; a side that is named counts."""
    assert cw.candles("EUR/USD", "1d", dsn=stored).arrow.column("open").to_pylist() == [1.1]
    assert cw.candles("EUR/USD", "1d", price="ask", dsn=stored).arrow.column("open").to_pylist() == [1.2]
    assert len(cw.candles("EUR/USD", "1d", price="trade", dsn=stored)) == 0


def test_adjusted_candles(stored: str, connection: Connection) -> None:
    """Prices before a split are divided by its ratio; without splits nothing changes."""
    plain = cw.candles("AAPL", "5m", dsn=stored)
    assert cw.candles("AAPL", "5m", adjusted=True, dsn=stored).arrow.equals(plain.arrow)
    connection.execute("INSERT INTO splits VALUES ('AAPL', '2026-03-10', 4)")
    connection.execute("INSERT INTO candleworks.calendar_rules VALUES ('AAPL', '24/7')")
    adjusted = cw.candles("AAPL", "5m", adjusted=True, dsn=stored).to_pandas()
    assert (adjusted["close"] * 4).tolist() == plain.to_pandas()["close"].tolist()


@pytest.mark.parametrize(
    "start",
    [
        "2026-03-02T15:05:00",
        "2026-03-02T10:05-05:00",
        "1772463900",
        datetime(2026, 3, 2, 15, 5),  # noqa: DTZ001 - it is taken as UTC
        datetime(2026, 3, 2, 16, 5, tzinfo=timezone(timedelta(hours=1))),
        pd.Timestamp("2026-03-02 15:05"),
    ],
)
def test_a_time_may_be_written_in_many_ways(stored: str, start: Any) -> None:
    """Text as everywhere, and the types that notebooks have; without a zone it is UTC."""
    assert len(cw.ticks("AAPL", start, dsn=stored)) == 5


def test_a_date_is_its_midnight(stored: str) -> None:
    """In UTC."""
    assert len(cw.ticks("AAPL", date(2026, 3, 2), date(2026, 3, 3), dsn=stored)) == 10
    assert len(cw.ticks("AAPL", date(2026, 3, 3), dsn=stored)) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"period": "5x"},
            (
                "The argument period is '5x', expected a number and a unit of s (up to 59), m, h, d, w or mo, such as"
                " 5s, 1m, 90m, 1h, 1d, 1w or 1mo, up to 10 years."
            ),
        ),
        (
            {"start": "2026-03-03", "end": "2026-03-02"},
            "The argument start is '2026-03-03', expected a time before end, which is 2026-03-02.",
        ),
        (
            {"start": "yesterday"},
            (
                "The argument start is 'yesterday', expected an ISO 8601 date or time such as 2026-11-20 or"
                " 2026-11-20T14:30:00Z (UTC unless it has an offset) or seconds since 1970 with 9 or 10 digits."
            ),
        ),
        ({"price": "last"}, "The argument price is 'last', expected one of trade, bid, ask, mid."),
        (
            {"zone": "Mars/Olympus"},
            "The argument zone is 'Mars/Olympus', expected a time zone of the IANA database, such as America/New_York.",
        ),
        ({"symbol": "APPL"}, "The symbol 'APPL' is not stored: correct it, or stream or import it first."),
        (
            {"period": "5s", "start": "2026-03-01", "end": "2026-03-20"},
            (
                "ohlc: the range of 00:00:05 is from 2026-03-01 00:00:00+00 to 2026-03-20 00:00:00+00, it must be at"
                " most 7 days for periods below a minute."
            ),
        ),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_expected(stored: str, arguments: dict[str, Any], sentence: str) -> None:
    """One sentence."""
    with pytest.raises(CandleworksError) as refusal:
        cw.candles(**{"symbol": "AAPL", "period": "1m", "dsn": stored, **arguments})
    assert str(refusal.value) == sentence


def test_a_database_without_candleworks_is_named(server_dsn: str) -> None:
    """With the command that sets it up."""
    with (
        clone(server_dsn) as empty,
        pytest.raises(TerminalError, match="has no candleworks schema: run `candleworks migrate`"),
    ):
        cw.ticks("AAPL", dsn=empty)


def test_a_database_that_is_away_is_named() -> None:
    """It may be back later."""
    with pytest.raises(TransientError, match=r"The database x on 127.0.0.1:1 cannot be reached \(.*\): start it"):
        cw.ticks("AAPL", dsn="postgresql://nobody:secret@127.0.0.1:1/x?connect_timeout=2")


def test_the_configured_database_is_read_by_default(stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by every command."""
    monkeypatch.setenv("CANDLEWORKS_DSN", stored)
    assert len(cw.ticks("AAPL")) == 10


def test_without_any_database_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is created by reading."""
    monkeypatch.delenv("CANDLEWORKS_DSN", raising=False)
    monkeypatch.setenv("CANDLEWORKS_HOME", str(tmp_path / "home"))
    with pytest.raises(TerminalError, match=r"There is no database in .*: run `candleworks up`"):
        cw.ticks("AAPL")
    assert not (tmp_path / "home").exists()


def test_the_reader_role_reads_everything(stored: str, connection: Connection) -> None:
    """A notebook needs no more rights than a dashboard."""
    connection.execute("SELECT candleworks.make_reader()")
    reader = psycopg.conninfo.make_conninfo(stored, user="candleworks_reader")
    assert len(cw.candles("AAPL", "1m", adjusted=True, dsn=reader)) == 10
    assert len(cw.ticks("AAPL", dsn=reader)) == 10
    assert len(cw.quotes("EUR/USD", dsn=reader)) == 10
    assert len(cw.trades_with_quotes("AAPL", MONDAY, MONDAY + timedelta(days=1), dsn=reader)) == 10


def test_it_shows_what_it_is(stored: str) -> None:
    """What was read, how much, from when to when, and the columns."""
    assert repr(cw.candles("AAPL", "5m", dsn=stored)) == (
        "<candles of AAPL, 5m, trade: 2 rows from 2026-03-02 15:00:00+00:00 to 2026-03-02 15:05:00+00:00; bucket, open,"
        " high, low, close, volume, ticks, rebuilt, closed, volume_from>"
    )
    assert repr(cw.ticks("AAPL", datetime(2027, 1, 1, tzinfo=UTC), dsn=stored)) == (
        "<ticks of AAPL: 0 rows; time, price, volume, day_volume, bid, ask, received_at, origin>"
    )
