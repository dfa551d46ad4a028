"""What was exported and imported into an empty database is what was there."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from candleworks.database.connection import Connection, connect
from candleworks.database.engine import Engine
from candleworks.exports.exporter import export
from candleworks.exports.request import Export, Format
from candleworks.imports import chunks
from candleworks.imports.importer import import_paths
from candleworks.imports.reading import Reading
from candleworks.settings import load_settings
from candleworks.storage.exports import ExportRelation, ExportSelection
from tests.conftest import clone

MONDAY = datetime(2024, 3, 4, 14, tzinfo=UTC)
INSERT = {
    ExportRelation.TRADES: "COPY stocks_real_time"
    " (time, symbol, price, day_volume, volume, bid, ask, received_at, origin)",
    ExportRelation.QUOTES: "COPY quotes (time, symbol, bid, ask, bid_volume, ask_volume, received_at, origin)",
}


def times(chance: random.Random, *, whole_seconds: bool) -> list[datetime]:
    """Some minutes of two days; those of one event time follow each other by a microsecond."""
    step = 1_000_000 if whole_seconds else 1_000
    found = []
    for day in (0, 1):
        for _ in range(90):
            event_time = MONDAY + timedelta(days=day, microseconds=step * chance.randrange(300_000_000 // step))
            found += [event_time + timedelta(microseconds=ordinal) for ordinal in range(chance.choice([1, 1, 3]))]
    return sorted(set(found))


def trades(chance: random.Random) -> Iterator[tuple[Any, ...]]:
    total: dict[str, float] = {}
    for time in times(chance, whole_seconds=True):
        symbol = chance.choice(["AAPL", "BTC/USD"])
        added = chance.choice([None, 0.0, 12.5, 300.0])
        key = f"{symbol} {time:%j}"
        volume = None if key not in total else added
        total[key] = total.get(key, 1_000.0) + (added or 0.0)
        day_volume = None if added is None else total[key]
        price = round(chance.uniform(100, 101), 5)
        bid, ask = chance.choice([(None, None), (price, price)])
        origin = chance.choice(["twelvedata", "bar", "adopted"])
        yield time, symbol, price, day_volume, volume, bid, ask, time + timedelta(microseconds=212_345), origin


def quotes(chance: random.Random) -> Iterator[tuple[Any, ...]]:
    for time in times(chance, whole_seconds=False):
        bid = round(chance.uniform(1.1, 1.2), 5)
        volumes = (chance.choice([None, 0.75, 1.12]), chance.choice([None, 2.25]))
        received_at = time + timedelta(days=30, microseconds=1)
        yield time, chance.choice(["EUR/USD", "XAU/USD"]), bid, bid + 1e-5, *volumes, received_at, "file"


HEADER = "time,symbol,price,day_volume,volume,bid,ask,received_at,origin"
ROWS = {ExportRelation.TRADES: trades, ExportRelation.QUOTES: quotes}


def everything(connection: Connection, relation: ExportRelation) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT * FROM {relation} ORDER BY symbol, time").fetchall()


@pytest.fixture
def other(server_dsn: str, template: str) -> Iterator[Connection]:
    """An empty database beside the test's own."""
    with clone(server_dsn, template) as dsn, connect(dsn, "test") as connection:
        yield connection


def import_all(path: Path, into: Connection) -> None:
    settings = load_settings({"CANDLEWORKS_DSN": into.info.dsn, "CANDLEWORKS_HOME": str(path.parent / "home")})
    assert list(import_paths(into, settings, [str(path)], Reading()))


def fill(connection: Connection, relation: ExportRelation) -> None:
    rows = list(ROWS[relation](random.Random(5)))
    prepare = "prepare_ticks" if relation is ExportRelation.TRADES else "prepare_quotes"
    connection.execute(f"SELECT candleworks.{prepare}(%s, %s)", [rows[0][0], rows[-1][0]])
    with connection.cursor().copy(f"{INSERT[relation]} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


@pytest.mark.parametrize("relation", ROWS)
def test_a_round_trip_is_the_identity(
    connection: Connection, other: Connection, tmp_path: Path, relation: ExportRelation
) -> None:
    """Every column of every row, its microsecond, its origin and when it was received; and twice is once."""
    fill(connection, relation)
    export(connection, Export(ExportSelection(relation), tmp_path / "out", Format.PARQUET))
    for _ in range(2):
        import_all(tmp_path / "out", into=other)
        assert everything(other, relation) == everything(connection, relation)


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
@pytest.mark.parametrize("relation", ROWS)
@pytest.mark.parametrize(
    ("kind", "options"),
    [(Format.PARQUET, {"by_day": True}), (Format.ARROW, {}), (Format.CSV, {}), (Format.CSV, {"zstd": True})],
)
def test_other_files_make_the_same_round_trip(
    connection: Connection,
    other: Connection,
    tmp_path: Path,
    relation: ExportRelation,
    kind: Format,
    options: dict[str, bool],
) -> None:
    """A file per day, Arrow, and CSV, plain and compressed."""
    fill(connection, relation)
    export(connection, Export(ExportSelection(relation), tmp_path / "out", kind, **options))
    import_all(tmp_path / "out", into=other)
    assert everything(other, relation) == everything(connection, relation)


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
@pytest.mark.parametrize("relation", ROWS)
def test_pieces_of_a_table_as_csv_are_put_together(
    connection: Connection, other: Connection, tmp_path: Path, relation: ExportRelation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece never ends between ticks of one event time."""
    monkeypatch.setattr(chunks, "BLOCK_BYTES", 1_000)
    fill(connection, relation)
    export(connection, Export(ExportSelection(relation), tmp_path / "out.csv", Format.CSV, by_day=False))
    import_all(tmp_path / "out.csv", into=other)
    assert everything(other, relation) == everything(connection, relation)


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_bad_lines_of_a_table_as_csv_are_kept_apart(connection: Connection, tmp_path: Path) -> None:
    """Each with what is wrong with it; the others are stored as they are."""
    lines = (
        HEADER,
        "2024-03-04 14:00:01.000001Z,AAPL,1.1040100000000002,,1e-12,,1.5,2024-03-04 14:00:02Z,bar",
        "2024-03-04 14:00:02Z,AAPL,1,,many,,,2024-03-04 14:00:02Z,bar",
        "2024-03-04 14:00:03Z,AAPL,1,,,,inf,2024-03-04 14:00:02Z,bar",
        "2024-03-04 14:00:04Z,AAPL,1,,,,,2024-03-04 14:00:02,bar",
        "2024-03-04 14:00:05Z,AAPL,1,,,,,2024-03-04 14:00:02Z,",
    )
    (tmp_path / "bad.csv").write_text("\n".join(lines))
    import_all(tmp_path / "bad.csv", into=connection)
    ((time, symbol, *values),) = everything(connection, ExportRelation.TRADES)
    assert (time, symbol) == (MONDAY + timedelta(seconds=1, microseconds=1), "AAPL")
    assert values == [1.1040100000000002, None, 1e-12, None, 1.5, MONDAY + timedelta(seconds=2), "bar"]
    assert [reason for (reason,) in connection.execute("SELECT reason FROM rejected_ticks ORDER BY id")] == [
        "line 3: volume 'many' is not a number",
        "line 4: ask 'inf' is not a number",
        "line 5: received_at '2024-03-04 14:00:02' is not an ISO time with an offset from UTC",
        "line 6: origin is missing",
    ]


@pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
def test_a_line_ends_within_quotes_too(connection: Connection, tmp_path: Path) -> None:
    """Else lines would be numbered wrongly, and pieces cut in the middle of one."""
    lines = (HEADER, '2024-03-04 14:00:01Z,"AAPL",1,,,,,2024-03-04 14:00:02Z,"b', 'ar"')
    (tmp_path / "broken.csv").write_text("\n".join(lines))
    import_all(tmp_path / "broken.csv", into=connection)
    assert [row[-1] for row in everything(connection, ExportRelation.TRADES)] == ["b"]
    rejected = connection.execute("SELECT reason, payload FROM rejected_ticks").fetchall()
    assert rejected == [("line 3: 1 fields instead of 9", 'ar"')]
