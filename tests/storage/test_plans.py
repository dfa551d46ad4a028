"""What is compared with stored ticks reads those of its own time, whatever the planner knows about a long history."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from psycopg.errors import Diagnostic

from candleworks.database.connection import Connection, connect
from candleworks.database.queries import query
from tests.conftest import clone

FIRST, DAYS = datetime(2024, 1, 1, tzinfo=UTC), 36
TICKS = 3_000  # that are read or compared, of 311,039
STEP = timedelta(seconds=10)
START = FIRST + timedelta(days=12)
STOP = START + TICKS * STEP
WORK = 30  # rows that a plan may handle per tick; joined by the symbol alone it handles 300,000

EXPLAIN_NESTED = """
    LOAD 'auto_explain';
    SET LOCAL auto_explain.log_min_duration = 0;
    SET LOCAL auto_explain.log_nested_statements = on;
    SET LOCAL auto_explain.log_analyze = on;
    SET LOCAL auto_explain.log_timing = off;
    SET LOCAL auto_explain.log_format = json;
    SET LOCAL client_min_messages = log
"""


class Statement(NamedTuple):
    """A statement, what comes before it in its transaction, and the parameters of all."""

    before: tuple[str, ...]
    text: str
    parameters: dict[str, object]


def _merge(name: str, staging: str, insertion: str) -> Statement:
    within = "time >= %(start)s AND time < %(stop)s"
    bounds = {"resolution": timedelta(seconds=1), "start": START, "stop": STOP}
    return Statement((query(staging), f"{insertion} WHERE {within}"), query(name), bounds)


def _undo(table: str) -> Statement:
    names = {"table": f"public.{table}", "moved": "moved"}
    before = (
        query("create_removed_ticks"),
        query("create_moved_ticks").format(**names),
        f"INSERT INTO removed_ticks SELECT time FROM {table} WHERE time >= %(first)s AND time < %(last)s",
    )
    bounds = {"symbol": "S", "first": START, "last": STOP}
    return Statement(before, query("take_moved_ticks").format(**names), bounds)


def _streamed(name: str) -> Statement:
    """Ranges from all over the history, thirty ticks in each."""
    firsts = [FIRST + n * timedelta(hours=8) for n in range(TICKS // 30)]
    ranges = {
        "symbols": ["S"] * len(firsts),
        "firsts": firsts,
        "lasts": [first + 29 * STEP for first in firsts],
        "received_firsts": [datetime(2000, 1, 1, tzinfo=UTC)] * len(firsts),
        "received_lasts": [datetime(2200, 1, 1, tzinfo=UTC)] * len(firsts),
    }
    return Statement((), query(name), {**ranges, "first": firsts[0], "last": firsts[-1] + 29 * STEP})


STATEMENTS = {
    "insert_surplus": _merge(
        "insert_surplus",
        "create_staging",
        "INSERT INTO staged_trades SELECT row_number() OVER (), false, time, symbol, price, day_volume, NULL, NULL,"
        " NULL, now(), 'file', date_trunc('day', time), date_trunc('day', time) + interval '1 day'"
        " FROM stocks_real_time",
    ),
    "insert_surplus_quotes": _merge(
        "insert_surplus_quotes",
        "create_quote_staging",
        "INSERT INTO staged_quotes SELECT row_number() OVER (), false, time, symbol, bid, ask, NULL, NULL, now(),"
        " 'file' FROM quotes",
    ),
    "take_moved_ticks of trades": _undo("stocks_real_time"),
    "take_moved_ticks of quotes": _undo("quotes"),
    "streamed_trades": _streamed("streamed_trades"),
    "streamed_quotes": _streamed("streamed_quotes"),
    "newest_second": Statement((), query("newest_second"), {"symbols": ["S"]}),
}


@pytest.fixture(scope="module")
def history(server_dsn: str, template: str) -> Iterator[Connection]:
    """36 days of trades and quotes of one symbol, with fresh statistics."""
    with clone(server_dsn, template) as dsn, connect(dsn, "test") as connection:
        prepare = (
            "SELECT candleworks.prepare_ticks(%(first)s, %(last)s), candleworks.prepare_quotes(%(first)s, %(last)s)"
        )
        connection.execute(prepare, {"first": FIRST, "last": FIRST + timedelta(days=DAYS)})
        ticks = "SELECT %s + n * %s, 'S', 100 + n %% 7, 101 + n %% 7 FROM generate_series(1, %s) n"
        for insertion in ("stocks_real_time (time, symbol, price, day_volume)", "quotes (time, symbol, bid, ask)"):
            connection.execute(f"INSERT INTO {insertion} {ticks}", [FIRST, STEP, DAYS * 8_640 - 1])
        connection.execute("ANALYZE")
        connection.execute("SET statement_timeout = '30s'")  # a join by the symbol alone takes minutes
        yield connection


@pytest.mark.parametrize("name", STATEMENTS)
def test_ticks_are_read_by_symbol_and_time(name: str, history: Connection) -> None:
    """A merge, an undo and a stream read the ticks of their own times, not the symbol's history for each of them."""
    statement = STATEMENTS[name]
    with history.transaction(force_rollback=True):
        for text in statement.before:
            history.execute(text, statement.parameters)
        assert _work(history, statement) < WORK * TICKS


def test_volumes_are_computed_from_the_trades_of_their_days(history: Connection) -> None:
    """The statement is one of a function's: the server sends its plan as a note."""
    days = [FIRST + n * timedelta(days=1) for n in range(DAYS)]
    ends = [day + timedelta(days=1) for day in days]
    plans: list[dict[str, Any]] = []

    def keep(note: Diagnostic) -> None:
        _, _, plan = (note.message_primary or "").partition("plan:\n")
        plans.extend([json.loads(plan)["Plan"]] if "WITH touched" in plan else [])

    history.add_notice_handler(keep)
    with history.transaction(force_rollback=True):
        history.execute(EXPLAIN_NESTED)
        history.execute(
            "SELECT candleworks.recompute_volumes('file', %s, %s, %s, %s, %s, %s)",
            [["S"] * DAYS, days, ends, days, ends, [1e9] * DAYS],
        )
    history.remove_notice_handler(keep)
    assert plans
    assert sum(_rows(node) for plan in plans for node in _nodes(plan)) < WORK * DAYS * 8_640


def _work(connection: Connection, statement: Statement) -> int:
    """Run a statement; return how many rows its plan returned, or compared in vain, in all of its nodes."""
    explained = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement.text}"
    row = connection.execute(explained, statement.parameters).fetchone()
    assert row is not None
    return sum(map(_rows, _nodes(row[0][0]["Plan"])))


def _rows(node: dict[str, Any]) -> int:
    """Bitmaps are not counted: of a block range index they are estimates of blocks."""
    if "Bitmap" in node["Node Type"] and "Heap" not in node["Node Type"]:
        return 0
    removed = sum(count for name, count in node.items() if name.startswith("Rows Removed by"))
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)
