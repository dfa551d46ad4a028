"""Parquet and Arrow files come in as they went out."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from candleworks.candles.refresh import refresh
from candleworks.database.engine import Engine
from candleworks.exports.exporter import export
from candleworks.exports.request import Export, Format
from candleworks.imports import tables
from candleworks.imports.importer import import_paths
from candleworks.storage.exports import ExportRelation, ExportSelection
from tests.imports.conftest import Desk
from tests.storage.conftest import Trade, at

NOON = at("2022-10-19 12:00:00")
MILLISECOND = timedelta(milliseconds=1)
on_postgres = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def fill(desk: Desk) -> None:
    """Trades of whole seconds with ordinals beyond a millisecond, bars, nulls; quotes of milliseconds."""
    desk.book.merge([Trade(NOON + timedelta(hours=20 * (n // 40)), "AAPL", 1.0 + n, float(n)) for n in range(80)])
    desk.book.merge([Trade(NOON, "BTC/USD", 1.0, None) for _ in range(30)])
    desk.connection.execute(
        "INSERT INTO stocks_real_time VALUES ('2022-10-19 11:00:00+00', 'AAPL', 0.1 + 0.2, NULL, 7, 0.1, 0.3,"
        " '2022-10-19 11:00:00.123456+00', 'manual')"
    )
    desk.connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", [NOON, NOON + timedelta(days=1)])
    with desk.connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO quotes VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    NOON + MILLISECOND * (n // 3) + timedelta(microseconds=n % 3),
                    *("EUR/USD", 1.1, 1.1 + n / 1e5, None if n % 2 else 0.75, 1.5),
                    *(NOON + timedelta(seconds=n), "live" if n % 2 else "file"),
                )
                for n in range(50)
            ],
        )
    refresh(desk.connection)


def rows(desk: Desk, relation: str) -> list[tuple[Any, ...]]:
    return desk.connection.execute(f"SELECT * FROM {relation} ORDER BY symbol, time").fetchall()


def write(desk: Desk, relation: ExportRelation, kind: Format = Format.PARQUET, *, by_day: bool = False) -> Path:
    output = desk.directory / ("days" if by_day else f"{relation}.{kind}")
    export(desk.connection, Export(ExportSelection(relation), output, kind, by_day=by_day))
    return output


@pytest.mark.parametrize(
    ("engine", "relation", "kind"),
    [
        (Engine.POSTGRES, ExportRelation.TRADES, Format.PARQUET),
        (Engine.POSTGRES, ExportRelation.QUOTES, Format.ARROW),
        (Engine.TIMESCALE, ExportRelation.TRADES, Format.ARROW),
    ],
    indirect=["engine"],
)
def test_a_round_trip_is_the_identity(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, relation: ExportRelation, kind: Format
) -> None:
    """Times with their ordinals, volumes, arrival and origin, in pieces of a few rows; candles are right at once."""
    monkeypatch.setattr(tables, "BATCH_ROWS", 40)
    fill(desk)
    before = rows(desk, relation)
    prefix = "" if relation is ExportRelation.TRADES else "quote_"
    candles = desk.connection.execute(f"SELECT * FROM {prefix}candles_1h ORDER BY symbol, bucket").fetchall()
    path = write(desk, relation, kind)
    assert desk.summary(desk.take(path)) == (len(before), 0, len(before), 0)
    assert rows(desk, relation) == before
    desk.connection.execute(f"DELETE FROM {relation}")
    assert desk.summary(desk.take(path, again=True)) == (len(before), len(before), 0, 0)
    assert rows(desk, relation) == before
    after = desk.connection.execute(f"SELECT * FROM {prefix}candles_1h ORDER BY symbol, bucket").fetchall()
    assert after == candles


@on_postgres
def test_an_export_by_day_is_imported_as_a_directory(desk: Desk) -> None:
    """Each day is a file of its own, and volumes go on over midnight as they were."""
    fill(desk)
    before = rows(desk, "stocks_real_time")
    directory = write(desk, ExportRelation.TRADES, by_day=True)
    desk.connection.execute("DELETE FROM stocks_real_time")
    reports = list(import_paths(desk.connection, desk.settings, [directory]))
    assert len(reports) > 1
    assert sum(report.result.record.stored for report in reports if report.result) == len(before)
    assert rows(desk, "stocks_real_time") == before


@on_postgres
def test_half_a_day_is_completed_from_a_file(desk: Desk) -> None:
    """Where ticks meet stored ones, only what is missing is added, with its arrival and origin."""
    fill(desk)
    before = rows(desk, "stocks_real_time")
    path = write(desk, ExportRelation.TRADES)
    desk.connection.execute("DELETE FROM stocks_real_time WHERE time > %s AND symbol = 'AAPL'", [NOON + MILLISECOND])
    missing = len(before) - desk.count("stocks_real_time")
    assert missing == 40
    assert desk.summary(desk.take(path)) == (len(before), missing, len(before) - missing, 0)
    assert rows(desk, "stocks_real_time") == before


@on_postgres
def test_files_of_others_are_read_by_their_columns(desk: Desk) -> None:
    """Any table with a time of a zone, a symbol and prices; what is wrong is counted by row."""
    path = desk.directory / "theirs.parquet"
    event_times = [datetime(2016, 11, 8, 12, 0, n, tzinfo=UTC) for n in range(4)]
    table = pa.table(
        {
            "symbol": pa.array(["EUR/USD", "EUR/USD", None, "EUR/USD"]).dictionary_encode(),
            "time": pa.array([*event_times[:3], None], pa.timestamp("ms", "Europe/Berlin")),
            "bid": [1.1, 1.3, 1.1, 1.1],
            "ask": pa.array([1.2, 1.2, 1.2, 1.2], pa.float32()),
        }
    )
    pq.write_table(table, path)
    assert desk.summary(desk.take(path)) == (4, 1, 0, 3)
    assert [(row[1], row[2][:12]) for row in desk.rejected()] == [
        ("row 2: ask is below bid", '{"time": 147'),
        ("row 3: invalid symbol", '{"time": 147'),
        ("row 4: time is null", '{"time": nul'),
    ]
    assert [row[:3] for row in desk.quotes()] == [(event_times[0], "EUR/USD", 1.1)]


@on_postgres
def test_a_table_without_rows_is_a_file_without_ticks(desk: Desk) -> None:
    """An export of nothing is no error."""
    for kind in (Format.PARQUET, Format.ARROW):
        assert desk.summary(desk.take(write(desk, ExportRelation.QUOTES, kind))) == (0, 0, 0, 0)


@on_postgres
def test_tables_that_are_no_ticks_are_refused(desk: Desk) -> None:
    """Candles follow from ticks; times need a zone; broken files are told from others."""
    path = desk.directory / "some.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    assert desk.refusal(path) == (
        "some.parquet has the columns a: ticks have time, symbol and price, or time, symbol, bid and ask;"
        " name other columns with --columns time=...,price=..."
    )
    pq.write_table(pa.table({"time": [datetime(2020, 1, 1)], "symbol": ["A"], "price": [1.0]}), path)  # noqa: DTZ001
    assert desk.refusal(path).startswith("some.parquet has time as timestamp[us] without a time zone: name the zone")
    path.write_bytes(path.read_bytes()[:-20])
    assert desk.refusal(path).startswith("some.parquet is a broken parquet file (")
    candles = write(desk, ExportRelation.CANDLES_1M)
    assert (
        desk.refusal(candles)
        == "candles_1m.parquet contains candles_1m, which are computed from ticks: import ticks instead."
    )


TRADES = {"symbol": ["AAPL", "MSFT"], "time": [NOON, NOON], "price": [1.23456, 2.34567]}


def theirs(desk: Desk, columns: dict[str, Any], name: str = "ticks.parquet") -> Path:
    """Write a table of somebody else."""
    path = desk.directory / name
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
        return path
    table = pa.table(columns)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return path


@on_postgres
@pytest.mark.parametrize("name", ["ticks.parquet", "ticks.arrow"])
def test_columns_of_a_table_are_mapped(desk: Desk, name: str) -> None:
    """By names in any case or by numbers; only what is mapped is read, sizes of trades are volumes."""
    path = theirs(desk, {"TS": [NOON], "last": [1.5], "Qty": [7], "price": [99.0], "symbol": ["AAPL"]}, name)
    taken = desk.take(path, columns={"time": "ts", "price": "Last", "size": "qty", "symbol": "symbol"})
    assert desk.summary(taken) == (1, 1, 0, 0)
    assert [row[:5] for row in rows(desk, "stocks_real_time")] == [(NOON, "AAPL", 1.5, None, 7.0)]
    taken = desk.take(path, again=True, columns={"time": "1", "price": "4", "symbol": "5"})
    assert desk.summary(taken) == (1, 1, 0, 0)
    assert sorted(row[2] for row in rows(desk, "stocks_real_time")) == [1.5, 99.0]


@on_postgres
def test_columns_that_a_table_does_not_have_are_refused(desk: Desk) -> None:
    """As is who takes bars for ticks."""
    path = theirs(desk, TRADES)
    assert desk.refusal(path, columns={"time": "time", "price": "px"}) == (
        "ticks.parquet has the columns symbol,time,price: there is no px, which --columns names."
    )
    bars = {"time": [NOON], **{name: [1.0] for name in ("open", "high", "low", "close")}}
    path = theirs(desk, bars, "bars.parquet")
    assert desk.refusal(path, columns={"time": "time", "price": "close"}) == (
        "bars.parquet has open, high, low and close, so it contains bars: map bars, not ticks."
    )


@on_postgres
def test_the_symbol_of_a_table_is_honoured(desk: Desk) -> None:
    """It is that of all rows where no column has it, else the only one taken; a file's name may say it too."""
    assert desk.summary(desk.take(theirs(desk, TRADES), symbol="AAPL")) == (2, 1, 0, 1)
    assert desk.rejected()[0][1] == "row 2: symbol is not AAPL"
    bare = {name: column for name, column in TRADES.items() if name != "symbol"}
    assert desk.summary(desk.take(theirs(desk, bare, "bare.arrow"), symbol="BTC/USD")) == (2, 2, 0, 0)
    assert desk.summary(desk.take(theirs(desk, bare, "EURUSD.parquet"))) == (2, 2, 0, 0)
    assert {row[1] for row in rows(desk, "stocks_real_time")} == {"AAPL", "BTC/USD", "EUR/USD"}


@on_postgres
def test_a_table_of_one_symbol_does_not_guess_it(desk: Desk) -> None:
    """Where neither a column nor the name says it."""
    path = theirs(desk, {"time": [NOON], "price": [1.0]})
    assert desk.refusal(path).startswith("ticks.parquet has no symbol in its name")


@on_postgres
def test_prices_of_a_table_are_rounded_to_digits(desk: Desk) -> None:
    """As those of a text are."""
    desk.take(theirs(desk, TRADES), digits=2)
    assert [row[2] for row in rows(desk, "stocks_real_time")] == [1.23, 2.35]


@on_postgres
def test_times_of_a_table_without_a_zone_are_those_of_timezone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour that the clock tells twice is told by the rows' order, over batches; one that never was is rejected."""
    monkeypatch.setattr(tables, "BATCH_ROWS", 1)
    local = ["2016-10-30T02:30:00", "2016-10-30T02:00:00", "2016-10-30T03:00:00", "2016-03-27T02:30:00"]
    local_times = pa.array([datetime.fromisoformat(each) for each in local], pa.timestamp("ms"))
    path = theirs(desk, {"symbol": ["AAPL"] * 4, "time": local_times, "price": [1.0, 2.0, 3.0, 4.0]})
    taken = desk.take(path, timezone="Europe/Zurich")
    assert (desk.summary(taken), taken.ambiguous) == ((4, 3, 0, 1), 2)
    assert [row[0].isoformat() for row in rows(desk, "stocks_real_time")] == [
        f"2016-10-30T{clock}+00:00" for clock in ("00:30:00", "01:00:00", "02:00:00")
    ]
    assert desk.rejected()[0][1] == "row 4: time does not exist in Europe/Zurich"
    assert desk.summary(desk.take(theirs(desk, TRADES), timezone="Europe/Zurich")) == (2, 2, 0, 0)
    assert rows(desk, "stocks_real_time")[-1][0] == NOON


@on_postgres
def test_another_format_than_that_of_a_table_is_refused(desk: Desk) -> None:
    """Its own is no contradiction."""
    path = theirs(desk, TRADES)
    assert desk.refusal(path, format="trades") == (
        "ticks.parquet is a parquet file, not of the format trades: leave out --format."
    )
    assert desk.refusal(path, format="arrow").startswith("ticks.parquet is a parquet file")
    assert desk.summary(desk.take(path, format="parquet")) == (2, 2, 0, 0)
