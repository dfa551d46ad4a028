"""`candleworks export`, as people call it."""

from pathlib import Path

import pyarrow.parquet
import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from tests.cli.conftest import Invoke
from tests.test_times import INVALID_TIME

only_postgres = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


@pytest.fixture
def _three_days(connection: Connection) -> None:
    connection.execute("SELECT candleworks.prepare_ticks('2024-03-04', '2024-03-06')")
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price)"
        " SELECT timestamptz '2024-03-04 00:00+00' + n * interval '1 hour', 'S' || n % 2, n"
        " FROM generate_series(0, 71) n"
    )


@only_postgres
@pytest.mark.usefixtures("_three_days")
def test_it_says_what_it_wrote(invoke: Invoke, dsn: str, tmp_path: Path) -> None:
    """Without options a Parquet file in the working directory, called like the relation."""
    ended = invoke("export", "stocks_real_time", CANDLEWORKS_DSN=dsn)
    size = (tmp_path / "stocks_real_time.parquet").stat().st_size
    span = "2024-03-04 00:00:00 to 2024-03-06 23:00:00 UTC"
    line = f"stocks_real_time.parquet: 72 rows of stocks_real_time, {span}, {size:,} bytes\n"
    assert ended == (0, line, "")
    again = invoke("export", "stocks_real_time", CANDLEWORKS_DSN=dsn)
    sentence = "stocks_real_time.parquet exists: name another file, or replace it with --overwrite.\n"
    assert again == (2, "", sentence)


@only_postgres
@pytest.mark.usefixtures("_three_days")
def test_options_select_and_partition(invoke: Invoke, dsn: str, tmp_path: Path) -> None:
    """Symbols, an offset in a time, days as files."""
    options = ["--symbol", "S1", "--from", "2024-03-04T23:00:00-02:00", "--to", "2024-03-06", "--partition-by", "day"]
    ended = invoke("export", "candles_1h", *options, "--output", "lake", CANDLEWORKS_DSN=dsn)
    assert ended.status == 0
    assert ended.output.startswith("2 files in lake/candles_1h: 24 rows of candles_1h, 2024-03-05 01:00:00 to ")
    days = sorted((tmp_path / "lake/candles_1h").iterdir())
    assert [day.name for day in days] == ["date=2024-03-05", "date=2024-03-06"]
    assert [pyarrow.parquet.read_metadata(day / "part.parquet").num_rows for day in days] == [12, 12]


@only_postgres
@pytest.mark.usefixtures("_three_days")
@pytest.mark.parametrize(
    ("options", "name", "start"),
    [
        (["-o", "a.csv"], "a.csv", b'"time",'),
        (["-o", "a.csv.zst"], "a.csv.zst", b"\x28\xb5\x2f\xfd"),
        (["--format", "csv", "--zstd"], "stocks_real_time.csv.zst", b"\x28\xb5\x2f\xfd"),
        (["--format", "arrow"], "stocks_real_time.arrow", b"ARROW1"),
        (["-o", "b.arrow"], "b.arrow", b"ARROW1"),
        (["-o", "without-an-ending"], "without-an-ending", b"PAR1"),
    ],
)
def test_the_format_follows_the_name_or_the_option(
    invoke: Invoke, dsn: str, tmp_path: Path, options: list[str], name: str, start: bytes
) -> None:
    """And without either it is Parquet."""
    assert invoke("export", "stocks_real_time", *options, CANDLEWORKS_DSN=dsn).status == 0
    assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--from", "yesterday"],
            INVALID_TIME.format("yesterday"),
        ),
        (
            ["--from", "2024-03-06", "--to", "2024-03-05"],
            "--from 2024-03-06T00:00:00Z is not before the end 2024-03-06T00:00:00Z: change --from or --to.",
        ),
        (
            ["-o", "a.csv", "--format", "parquet"],
            "The name a.csv ends with .csv, but the format is parquet: use the suffix .parquet.",
        ),
        (
            ["-o", "a.csv", "--zstd"],
            "The name a.csv ends with .csv, but the format is csv with --zstd: use the suffix .csv.zst.",
        ),
        (["--zstd"], "--zstd is for CSV, parquet files are always compressed: leave it out."),
    ],
)
def test_a_wrong_option_is_refused_in_a_sentence(invoke: Invoke, options: list[str], sentence: str) -> None:
    """Before any database is asked."""
    ended = invoke("export", "quotes", *options, CANDLEWORKS_DSN="postgresql://nowhere.invalid/")
    assert ended == (2, "", f"{sentence}\n")


def test_a_relation_that_cannot_be_exported_is_refused(invoke: Invoke) -> None:
    """With those that can."""
    ended = invoke("export", "company")
    assert ended.status == 2
    assert "'stocks_real_time', 'quotes', 'candles_1m'" in " ".join(ended.errors.split())


@only_postgres
def test_a_symbol_that_is_not_there_fails(invoke: Invoke, dsn: str, tmp_path: Path) -> None:
    """With status 1, and without a file."""
    ended = invoke("export", "quotes", "--symbol", "EUR/USD", CANDLEWORKS_DSN=dsn)
    assert ended == (1, "", "quotes has no rows of 'EUR/USD': correct the symbol.\n")
    assert list(tmp_path.glob("*quotes*")) == []
