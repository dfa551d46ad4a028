"""`candleworks check`, as people call it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from tests.cli.commands import Ended
from tests.test_times import INVALID_TIME

Invoke = Callable[..., Ended]
pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)


def test_all_is_well_in_an_empty_database(invoke: Invoke, dsn: str) -> None:
    """Status 0; what had nothing to look at is named, and the last line counts."""
    ended = invoke("check", CANDLEWORKS_DSN=dsn, COLUMNS=160)
    assert ended.status == 0
    assert "no new rows: required-fields, price-positive" in ended.output
    assert ended.output.splitlines()[-1].startswith("11 checks: 11 passed, in ")


def test_a_failure_ends_with_status_one(invoke: Invoke, dsn: str, connection: Connection) -> None:
    """One line says which check, about what, what was seen and what was expected; the last one counts."""
    moment = datetime.now(UTC) - timedelta(minutes=2)
    connection.execute("SELECT candleworks.prepare_ticks(%s, %s)", [moment, moment])
    connection.execute(
        "INSERT INTO stocks_real_time (time, symbol, price, received_at) VALUES (%s, 'BTC/USD', 0, %s)",
        [moment, moment],
    )
    ended = invoke("check", "ticks", CANDLEWORKS_DSN=dsn, COLUMNS=200)
    assert ended.status == 1
    *_, line, counts = ended.output.splitlines()
    assert line == "failed: price-positive of BTC/USD: 1 row: price is not above zero (expected: price > 0)"
    assert re.fullmatch(r"13 checks: 1 failed, 12 passed, in \d+\.\d s", counts)
    again = invoke("check", "ticks", "--since", "1h", CANDLEWORKS_DSN=dsn, COLUMNS=200)
    assert again.status == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tick"], "Unknown suite 'tick': choose one of ticks, candles, system, all.\n"),
        (["--since", "soon"], f"{INVALID_TIME.format('soon')}\n"),
        (["--since", "2200-01-01"], "--since is 2200-01-01T00:00:00Z, which is in the future: give a past time.\n"),
    ],
)
def test_wrong_calls_are_refused_in_one_line(invoke: Invoke, dsn: str, arguments: list[str], sentence: str) -> None:
    """Status 2, before any database is opened."""
    ended = invoke("check", *arguments, CANDLEWORKS_DSN=dsn)
    assert (ended.status, ended.errors) == (2, sentence)
