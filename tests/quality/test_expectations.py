"""Checks that break are over at once: Great Expectations would run what failed up to six times."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext

from candleworks.database.connection import Connection
from candleworks.database.engine import Engine
from candleworks.database.profiles import CHECK
from tests.quality.conftest import Watched, failing

pytestmark = pytest.mark.parametrize("engine", [Engine.POSTGRES], indirect=True)
TOO_LONG = "(psycopg.errors.QueryCanceled) canceling statement due to statement timeout"
CANDLE = "'candles_1m' AS relation, 'AAPL' AS symbol, now() AS bucket, 1 AS open, 1 AS high, 1 AS low, 1 AS close"


@pytest.fixture
def failures() -> Iterator[list[str]]:
    """The statements that the database ended or refused, in order."""
    found: list[str] = []

    def note(context: ExceptionContext) -> None:
        found.append(context.statement or "")

    event.listen(sqlalchemy.Engine, "handle_error", note)
    yield found
    event.remove(sqlalchemy.Engine, "handle_error", note)


@pytest.fixture(autouse=True)
def little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("candleworks.quality.expectations.CHECK", replace(CHECK, statement_timeout_seconds=1))


def test_a_check_that_takes_too_long_costs_one_time_limit(watched: Watched, failures: list[str]) -> None:
    """Each of the two that hang is ended once; the others say what they know."""
    watched.execute("ALTER FUNCTION candleworks.subscribed_symbols() RENAME TO quick")
    watched.execute(
        "CREATE FUNCTION candleworks.subscribed_symbols() RETURNS TABLE (symbol text, since timestamptz) LANGUAGE sql"
        " AS 'SELECT q.* FROM candleworks.quick() q, pg_sleep(30)'"
    )
    report = watched.check("ticks")
    assert failing(report) == {("freshness", "stocks_real_time"), ("tick-rate", "stocks_real_time")}
    assert all((result.observed or "").startswith(TOO_LONG) for result in report.errors)
    assert len(failures) == 2
    assert ("never-seen", "passed") in {(result.check, result.status) for result in report.results}


@pytest.mark.parametrize("slow", [f"SELECT {CANDLE} FROM pg_sleep(30)", f"SELECT {CANDLE}, 1 / 0 AS broken"])
def test_expectations_of_its_own_end_together(dsn: str, failures: list[str], slow: str) -> None:
    """All that stand on the same rows are known to be broken when one is; the next check goes on."""
    from candleworks.quality.expectations import candle_shape, expectation_session  # noqa: PLC0415 - takes seconds

    with expectation_session(dsn) as session:
        outcomes = dict(session.native(session.result(slow), candle_shape(), ("symbol",)))
        assert len(outcomes) == 4
        assert all(outcome.error for outcome in outcomes.values())
        assert len(failures) == 1
        session.next_check()
        assert session.rows("SELECT 1 AS subject").rows == [{"subject": 1}]


def test_a_table_that_is_locked_breaks_only_its_checks(dsn: str, connection: Connection) -> None:
    """Somebody changes it for longer than a statement may wait: an outcome like any other."""
    from candleworks.quality.expectations import expectation_session  # noqa: PLC0415 - takes seconds
    from candleworks.quality.native import native_outcome  # noqa: PLC0415

    with expectation_session(dsn) as session, connection.transaction():
        connection.execute("LOCK TABLE stocks_real_time")
        outcome = native_outcome(session, "price-positive", {}, str)
    assert outcome.error == TOO_LONG
