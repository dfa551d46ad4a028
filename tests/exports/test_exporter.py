"""Ticks and candles in files: exact, whole or not there, from one moment, in pieces."""

import contextlib
import itertools
import math
import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from candleworks import clock
from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.errors import TerminalError, UsageError
from candleworks.exports import exporter as exporting
from candleworks.exports.exporter import export
from candleworks.exports.request import Export, Format
from candleworks.storage.exports import ExportRelation, ExportSelection
from tests.conftest import clone

Row = tuple[Any, ...]

SUNDAY = datetime(2024, 3, 3, tzinfo=UTC)  # a week of partitions ends with it
SYMBOLS = ("AAPL", "BTC/USD", 'odd, "quoted"\nname', "")
STRANGE = (0.1 + 0.2, 1e-7, 0.0, 1.1040100000000002, 123456789.125, 1e22, 2.2250738585072014e-100)
UTC_US = pa.timestamp("us", "UTC")
TYPES = {
    ExportRelation.TRADES: {
        "time": UTC_US,
        "symbol": pa.string(),
        **dict.fromkeys(("price", "day_volume", "volume", "bid", "ask"), pa.float64()),
        "received_at": UTC_US,
        "origin": pa.string(),
    },
    ExportRelation.QUOTES: {
        "time": UTC_US,
        "symbol": pa.string(),
        **dict.fromkeys(("bid", "ask", "bid_volume", "ask_volume"), pa.float64()),
        "received_at": UTC_US,
        "origin": pa.string(),
    },
    ExportRelation.CANDLES_1M: {
        "bucket": UTC_US,
        "symbol": pa.string(),
        **dict.fromkeys(("open", "high", "low", "close", "volume", "vwap", "day_volume"), pa.float64()),
        "ticks": pa.int64(),
        **dict.fromkeys(("rebuilt", "closed"), pa.bool_()),
    },
}


def moments(chance: random.Random, count: int) -> list[datetime]:
    """Distinct times of three days, with microseconds and without, and the first and the last one of each day."""
    edges = [SUNDAY + timedelta(days=n, microseconds=shift) for n in (0, 1, 2) for shift in (0, 86_399_999_999)]
    busy = [SUNDAY + timedelta(days=n, hours=chance.randrange(1, 22)) for n in (0, 1, 2)]
    whole = {chance.choice(busy) + timedelta(seconds=chance.randrange(400)) for _ in range(count // 2)}
    fractions = {chance.choice(busy) + chance.random() * timedelta(seconds=400) for _ in range(count // 2)}
    return sorted({*edges, *whole, *fractions})


def fill(connection: Connection) -> None:
    """Store trades and quotes with every kind of null, number and name."""
    chance = random.Random(1)
    times = moments(chance, 300)
    bounds = [times[0], times[-1]]
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", bounds)
    connection.execute("SELECT candleworks.prepare_quotes(%s, %s)", bounds)

    def number() -> float:
        return chance.choice([chance.uniform(0, 500), round(chance.uniform(1, 2), 5), *STRANGE])

    def maybe() -> float | None:
        return chance.choice([None, number()])

    origins = ("twelvedata", "bar", "file")
    chance.shuffle(times)
    with connection.cursor().copy(
        "COPY stocks_real_time (time, symbol, price, day_volume, volume, bid, ask, received_at, origin) FROM STDIN"
    ) as copy:
        for time in times:
            numbers = (number(), maybe(), maybe(), maybe(), maybe())
            copy.write_row((time, chance.choice(SYMBOLS), *numbers, time, chance.choice(origins)))
    with connection.cursor().copy(
        "COPY quotes (time, symbol, bid, ask, bid_volume, ask_volume, received_at, origin) FROM STDIN"
    ) as copy:
        for time in times:
            bid, ask = sorted((number(), number()))
            copy.write_row((time, chance.choice(SYMBOLS), bid, ask, maybe(), maybe(), time, "file"))


@pytest.fixture(scope="module")
def full(server_dsn: str, template: str) -> Iterator[Connection]:
    """Ticks of three days across a week's end, which no test changes; their candles are computed when they are read."""
    with clone(server_dsn, template) as dsn, connect(dsn, "test") as connection:
        fill(connection)
        yield connection


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some rows at a time, so that every export takes many steps."""
    monkeypatch.setattr(exporting, "BLOCK_BYTES", 1_000)


def stored(connection: Connection, relation: str, where: str = "true") -> list[Row]:
    columns, time = ("*", "time") if relation in ("stocks_real_time", "quotes") else ("*, true", "bucket")
    return connection.execute(f"SELECT {columns} FROM {relation} WHERE {where} ORDER BY {time}, symbol").fetchall()


def rows(table: pa.Table) -> list[Row]:
    return [tuple(row.values()) for row in table.to_pylist()]


def same(found: list[Row], expected: list[Row], relation: ExportRelation) -> bool:
    """Exactly; but sums within candles that are computed while they are read may be added in another order."""
    if relation.is_ticks:
        return found == expected
    cells = zip(itertools.chain(*found), itertools.chain(*expected), strict=True)
    return all(
        one == other or (isinstance(one, float) and math.isclose(one, other, rel_tol=1e-9)) for one, other in cells
    )


def read(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return pyarrow.parquet.ParquetFile(path).read()
    if path.suffix == ".arrow":
        return pa.ipc.open_file(path).read_all()
    with pa.input_stream(str(path), compression="zstd" if path.suffix == ".zst" else None) as text:
        return pyarrow.csv.read_csv(
            text,
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=TYPES[ExportRelation.TRADES],
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )


def order(output: Path, relation: ExportRelation = ExportRelation.TRADES, **changes: Any) -> Export:
    bounds = {name: changes.pop(name) for name in ("symbols", "start", "stop") if name in changes}
    return Export(ExportSelection(relation, **bounds), output, changes.pop("kind", Format.PARQUET), **changes)


def left_behind(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("relation", TYPES)
def test_a_parquet_file_has_the_relations_columns_and_rows(
    full: Connection, tmp_path: Path, relation: ExportRelation
) -> None:
    """Names, order and types, every bit of every number, the name of the relation, in order of time."""
    result = export(full, order(tmp_path / "file.parquet", relation))
    table = read(tmp_path / "file.parquet")
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == TYPES[relation]
    assert table.schema.metadata[b"candleworks.relation"] == relation.encode()
    assert same(rows(table), stored(full, relation), relation)
    assert result.extent.rows == table.num_rows > 15
    assert result.files == [tmp_path / "file.parquet"]
    assert result.size_bytes == (tmp_path / "file.parquet").stat().st_size
    assert pyarrow.parquet.ParquetFile(tmp_path / "file.parquet").num_row_groups > 1


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize(
    ("name", "kind", "zstd"),
    [("a.arrow", Format.ARROW, False), ("a.csv", Format.CSV, False), ("a.csv.zst", Format.CSV, True)],
)
def test_other_formats_hold_the_same(full: Connection, tmp_path: Path, name: str, kind: Format, zstd: bool) -> None:
    """As exactly; CSV tells null from an empty text, and its times say that they are UTC."""
    export(full, order(tmp_path / name, kind=kind, zstd=zstd))
    table = read(tmp_path / name)
    assert rows(table) == stored(full, "stocks_real_time")
    if kind is Format.ARROW:
        assert table.schema.metadata[b"candleworks.relation"] == b"stocks_real_time"
    if name == "a.csv":
        header, first = (tmp_path / name).read_text().splitlines()[:2]
        assert header == ",".join(f'"{column}"' for column in TYPES[ExportRelation.TRADES])
        assert first.startswith("2024-03-03 00:00:00.000000Z,")


@pytest.mark.parametrize("relation", ExportRelation)
def test_every_relation_can_be_exported(full: Connection, tmp_path: Path, relation: ExportRelation) -> None:
    """Ticks and candles of every level, into a directory under the relation's name."""
    export(full, order(tmp_path, relation))
    assert same(rows(read(tmp_path / f"{relation}.parquet")), stored(full, relation), relation)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("relation", [ExportRelation.QUOTES, ExportRelation.QUOTE_CANDLES_15M])
def test_a_file_per_day_holds_what_lies_in_it(full: Connection, tmp_path: Path, relation: ExportRelation) -> None:
    """From its first microsecond to its last, under the day's name."""
    result = export(full, order(tmp_path / "new", relation, by_day=True))
    assert len(result.files) == 3
    for number, path in enumerate(result.files):
        day = SUNDAY + timedelta(days=number)
        assert path == tmp_path / "new" / relation / f"date={day:%Y-%m-%d}" / "part.parquet"
        within = f"{relation.time} >= '{day}' AND {relation.time} < '{day + timedelta(days=1)}'"
        assert same(rows(read(path)), stored(full, relation, within), relation)
    assert result.size_bytes == sum(path.stat().st_size for path in result.files)
    assert left_behind(tmp_path) == ["part.parquet"] * 3


def test_candles_say_whether_they_are_closed(connection: Connection, tmp_path: Path) -> None:
    """In a last column, symbol by symbol: the forming candle is not, nor is one with a gap."""
    now = clock.now()
    times = [now - timedelta(minutes=minutes) for minutes in (9, 5, 0)]
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [times[0], now])
    connection.cursor().executemany(
        "INSERT INTO stocks_real_time (time, symbol, price) VALUES (%s, %s, 1)",
        [(time, symbol) for time in times for symbol in ("AAPL", "MSFT")],
    )
    connection.execute(
        "INSERT INTO feed_gaps (feed, symbol, started_at, ended_at, reason) VALUES ('test', 'MSFT', %s, %s, 'silent')",
        [times[1], times[1] + timedelta(seconds=1)],
    )
    export(connection, order(tmp_path / "a.parquet", ExportRelation.CANDLES_1M))
    table = read(tmp_path / "a.parquet")
    assert table.schema.names[-1] == "closed"
    found = list(zip(table["symbol"].to_pylist(), table["closed"].to_pylist(), strict=True))
    assert [closed for symbol, closed in found if symbol == "AAPL"] == [True, True, False]
    assert [closed for symbol, closed in found if symbol == "MSFT"] == [True, False, False]


def test_symbols_and_times_select(full: Connection, tmp_path: Path) -> None:
    """The start is included and the end is not; several symbols; nothing in a range is an empty file of its type."""
    start, stop = SUNDAY + timedelta(days=1), SUNDAY + timedelta(days=2, microseconds=-1)
    wanted = order(tmp_path / "a.parquet", symbols=("AAPL", "BTC/USD"), start=start, stop=stop)
    export(full, wanted)
    where = f"symbol IN ('AAPL', 'BTC/USD') AND time >= '{start}' AND time < '{stop}'"
    assert rows(read(tmp_path / "a.parquet")) == stored(full, "stocks_real_time", where)
    nothing = order(tmp_path / "b.parquet", start=SUNDAY - timedelta(days=9), stop=SUNDAY)
    assert export(full, nothing).extent == (0, None, None)
    table = read(tmp_path / "b.parquet")
    assert (table.num_rows, table.schema.types) == (0, list(TYPES[ExportRelation.TRADES].values()))
    assert export(full, order(tmp_path / "days", stop=SUNDAY, by_day=True)).files == []


def test_a_symbol_that_is_not_there_is_refused(full: Connection, tmp_path: Path) -> None:
    """A misspelt one would give an empty file."""
    with pytest.raises(TerminalError) as caught:
        export(full, order(tmp_path / "a.parquet", ExportRelation.QUOTES, symbols=("AAPL", "APPL")))
    assert str(caught.value) == "quotes has no rows of 'APPL': correct the symbol."
    assert left_behind(tmp_path) == []


@pytest.mark.usefixtures("_small_blocks")
def test_an_export_shows_one_moment(connection: Connection, dsn: str, tmp_path: Path) -> None:
    """What is written, corrected and deleted meanwhile is not in it; the rows are as many as were announced."""
    fill(connection)
    before = stored(connection, "stocks_real_time")
    seen = []

    def change(progress: exporting.ExportProgress) -> None:
        seen.append(progress)
        if len(seen) == 1:
            with connect(dsn) as other:
                other.execute("UPDATE stocks_real_time SET price = 7")
                other.execute("DELETE FROM stocks_real_time WHERE time > %s", [SUNDAY + timedelta(days=2)])

    export(connection, order(tmp_path / "a.parquet"), change)
    assert stored(connection, "stocks_real_time") != before
    assert rows(read(tmp_path / "a.parquet")) == before
    assert len(seen) > 5
    assert {progress.total for progress in seen} == {len(before)}
    assert seen[-1].rows == len(before)


def test_a_file_that_exists_is_replaced_on_request_only(full: Connection, tmp_path: Path) -> None:
    """Refused with the way out, before anything is written; also a single day's file."""
    (tmp_path / "a.parquet").write_text("mine")
    with pytest.raises(UsageError) as caught:
        export(full, order(tmp_path / "a.parquet"))
    assert str(caught.value) == f"{tmp_path}/a.parquet exists: name another file, or replace it with --overwrite."
    assert (tmp_path / "a.parquet").read_text() == "mine"
    export(full, order(tmp_path / "a.parquet", overwrite=True))
    assert read(tmp_path / "a.parquet").num_rows > 50
    mine = tmp_path / "stocks_real_time/date=2024-03-04/part.parquet"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match=r"part\.parquet exists"):
        export(full, order(tmp_path, by_day=True))
    assert left_behind(tmp_path) == ["a.parquet", "part.parquet"]
    export(full, order(tmp_path, by_day=True, overwrite=True))
    assert left_behind(tmp_path) == ["a.parquet", *["part.parquet"] * 3]


def interrupted(progress: exporting.ExportProgress) -> None:
    if progress.rows > progress.total / 2:
        raise KeyboardInterrupt


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("by_day", [False, True])
@pytest.mark.parametrize("kind", Format)
def test_an_interrupted_export_leaves_no_half_file(
    full: Connection, tmp_path: Path, kind: Format, by_day: bool
) -> None:
    """Neither under the final name nor another one; what was there before stays, and the database is free again."""
    (tmp_path / f"stocks_real_time.{kind}").write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        export(full, order(tmp_path, kind=kind, by_day=by_day, overwrite=True), interrupted)
    assert left_behind(tmp_path) == [f"stocks_real_time.{kind}"]
    assert (tmp_path / f"stocks_real_time.{kind}").read_text() == "mine"
    assert full.execute("SELECT current_setting('transaction_isolation')").fetchone() == ("read committed",)


KILLED = """
import os, signal, sys
from pathlib import Path
from candleworks.exports import exporter as export
from candleworks.exports.request import Export, Format
from candleworks.database.connection import connect
from candleworks.storage.exports import ExportRelation, ExportSelection
export.BLOCK_BYTES = 1_000
kill = lambda progress: progress.rows > 50 and os.kill(os.getpid(), signal.SIGKILL)
with connect(sys.argv[1]) as connection:
    export.export(connection, Export(ExportSelection(ExportRelation.TRADES), Path("a.parquet"), Format.PARQUET), kill)
"""


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_a_killed_export_leaves_nothing_under_the_final_name(full: Connection, tmp_path: Path) -> None:
    """Only a hidden draft, which does not hinder the next one."""
    dsn = f"{full.info.dsn} password={full.info.password}" if full.info.password else full.info.dsn
    done = subprocess.run([sys.executable, "-c", KILLED, dsn], cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == -9
    (draft,) = left_behind(tmp_path)
    assert draft.startswith(".a.parquet.")
    assert draft.endswith(".partial")
    export(full, order(tmp_path / "a.parquet"))
    assert rows(read(tmp_path / "a.parquet")) == stored(full, "stocks_real_time")


@contextlib.contextmanager
def full_disk(max_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("kind", Format)
def test_a_disk_that_is_full_is_told_in_a_sentence(full: Connection, tmp_path: Path, kind: Format) -> None:
    """Naming the file, and nothing is left behind."""
    with full_disk(2_000), pytest.raises(TerminalError) as caught:
        export(full, order(tmp_path / f"a.{kind}", kind=kind))
    assert str(caught.value).startswith(f"{tmp_path}/a.{kind} cannot be written (")
    assert str(caught.value).endswith("): free disk space, or name another file.")
    assert left_behind(tmp_path) == []


def test_a_place_that_cannot_be_is_told_in_a_sentence(full: Connection, tmp_path: Path) -> None:
    """A directory below a file."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TerminalError) as caught:
        export(full, order(tmp_path / "file" / "below" / "a.parquet"))
    assert str(caught.value) == (
        f"{tmp_path}/file/below/a.parquet cannot be written (Not a directory): free disk space, or name another file."
    )


def test_rows_come_in_whole_pieces_of_the_asked_size(full: Connection) -> None:
    """However many rows there are, no more than a piece of them is held."""
    selection = ExportSelection(ExportRelation.TRADES)
    with exporting.snapshot(full, selection) as source:
        blocks = list(source.blocks(source.extent(), 1_000))
    assert all(1_000 <= len(block) < 1_300 for block in blocks[:-1])
    assert all(block.endswith(b"\n") for block in blocks)
    assert b"".join(blocks).count(b"+00,") >= len(stored(full, "stocks_real_time"))
