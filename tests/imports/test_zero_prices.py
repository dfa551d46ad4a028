"""A price, bid or ask of 0 in a file is rejected, in every format, unless the setting accepts it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from candleworks.database.engine import Engine
from candleworks.imports.importer import import_file
from candleworks.model.trades import moment_of
from tests.imports.conftest import Desk

ON_PLAIN_POSTGRESQL = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
SECOND, MINUTE = "2022-10-19 12:00:0", "2022-10-19 12:0"
EXPORTED = "time,symbol,price,day_volume,volume,bid,ask,received_at,origin"
# The first row is good, each of the others has a number that is 0.
FILES = {
    "trades.csv": (
        f"time,symbol,price\n{SECOND}1+00,AAPL,2\n{SECOND}2+00,AAPL,0\n{SECOND}3+00,AAPL,-0.0\n",
        ["line 3: price '0' is zero", "line 4: price '-0.0' is zero"],
    ),
    "quotes.csv": (
        f"time,symbol,bid,ask\n{SECOND}1Z,EUR/USD,1,2\n{SECOND}2Z,EUR/USD,0,2\n{SECOND}3Z,EUR/USD,0,0.00\n",
        ["line 3: bid '0' is zero", "line 4: bid '0' is zero"],
    ),
    "exported.csv": (
        f"{EXPORTED}\n{SECOND}1+00,AAPL,2,,0,,,{SECOND}1+00,x\n{SECOND}2+00,AAPL,2,,,1,0,{SECOND}2+00,x\n",
        ["line 3: ask '0' is zero"],
    ),
    "EURUSD_bars.csv": (
        f"time,open,high,low,close\n{MINUTE}0Z,1,2,1,2\n{MINUTE}1Z,1,2,1,2\n{MINUTE}2Z,1,2,0,2\n",
        ["line 4: low '0' is zero"],
    ),
}


def accepting(desk: Desk) -> None:
    ingest = desk.settings.ingest.model_copy(update={"accept_zero_prices": True})
    desk.settings = desk.settings.model_copy(update={"ingest": ingest})


@ON_PLAIN_POSTGRESQL
@pytest.mark.parametrize("name", FILES)
def test_a_zero_price_in_a_text_is_rejected(desk: Desk, name: str) -> None:
    """With its line and the reason; the rows around it are stored."""
    content, reasons = FILES[name]
    result = import_file(desk.connection, desk.settings, desk.write(content, name))
    assert [reason for _, reason, _ in desk.rejected()] == reasons
    assert result.record.rejected == len(reasons)


@ON_PLAIN_POSTGRESQL
@pytest.mark.parametrize("name", FILES)
def test_a_zero_price_in_a_text_is_stored_where_it_is_accepted(desk: Desk, name: str) -> None:
    """Every row then counts."""
    accepting(desk)
    result = import_file(desk.connection, desk.settings, desk.write(FILES[name][0], name))
    assert (desk.rejected(), result.record.rejected) == ([], 0)


def parquet(path: Path, **columns: list[float | None]) -> Path:
    times = pa.array([moment_of(1_666_180_801_000_000)] * 3, pa.timestamp("us", "UTC"))
    values: dict[str, Any] = {"time": times, "symbol": ["AAPL"] * 3, **columns}
    pq.write_table(pa.table(values), path)
    return path


@ON_PLAIN_POSTGRESQL
def test_a_zero_price_in_a_table_is_rejected(desk: Desk) -> None:
    """Of trades and quotes; also the bid beside a trade, which may be null."""
    trades = parquet(desk.directory / "trades.parquet", price=[2.0, 0.0, 2.0], bid=[None, 1.0, 0.0])
    quotes = parquet(desk.directory / "quotes.parquet", bid=[1.0, 0.0, 1.0], ask=[2.0, 2.0, 0.0])
    assert desk.summary(desk.take(trades)) == (3, 1, 0, 2)
    assert desk.summary(desk.take(quotes)) == (3, 1, 0, 2)
    assert [reason for _, reason, _ in desk.rejected()] == [
        "row 2: price is zero",
        "row 3: bid is zero",
        "row 2: bid is zero",
        "row 3: ask is zero",
    ]
    accepting(desk)
    assert desk.summary(desk.take(trades, again=True))[1:] == (2, 1, 0)
