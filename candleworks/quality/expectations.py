"""Great Expectations on the database: SQL of a check as one expectation, or several of its own on a table.

Importing it takes 3 s of a core and 200 MB, so only a run of checks imports this module.
"""

import contextlib
import itertools
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from candleworks.database.connection import sqlalchemy_url
from candleworks.database.profiles import CHECK
from candleworks.errors import TerminalError, TransientError
from candleworks.model.bars import OHLC_ORDER
from candleworks.quality.gx import (
    Column,
    ExpectationSuite,
    ExpectColumnPairValuesAToBeGreaterThanB,
    ExpectColumnValueLengthsToBeBetween,
    ExpectColumnValuesToBeBetween,
    ExpectColumnValuesToNotBeNull,
    GxDatasourceWarning,
    ProgressBarsConfig,
    TestConnectionError,
    UnexpectedRowsExpectation,
    gx,
)

SHOWN_ROWS = 200  # of a native expectation; when more rows offend, not all of them are known
# The SQL of a check limits itself to a window, so the batch is a single row that it is joined with. Its result is one
# row, because Great Expectations fetches at most 200.
_ONE_ROW = """
SELECT jsonb_agg(to_jsonb(found)) AS found FROM (
STATEMENT
) AS found CROSS JOIN {batch} AS run HAVING count(*) > 0
"""
_BIND = re.compile(r"(?<![:\w\\]):(?=\w)|::")

logging.getLogger("great_expectations").setLevel(logging.CRITICAL)  # errors are results here


@dataclass(slots=True)
class ExpectationOutcome:
    """The rows that an expectation found, or the `error` because of which it could not be validated.

    `rows` are dictionaries with `subject`, `observed`, `expected` and `sample` where they come from SQL, otherwise with
    the identifying columns. `partial`: there are more than `rows` holds.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    partial: bool = False
    error: str | None = None


class UnreadableBatchError(TerminalError):
    """The rows of a check cannot be read."""


class FailFast:
    """Rejects the statements of a check after one of them failed, with the same error.

    Great Expectations computes a metric that fails three times, then the metrics of one statement one by one, and
    counts rows in a statement of its own: SQL that ran into the time limit was run 6 times, `candle-shape` 45 times.
    """

    def __init__(self, *engines: Engine) -> None:
        self._failure: BaseException | None = None
        self._listeners = [
            (engine, name, listener)
            for engine in engines
            for name, listener in (("handle_error", self._remember), ("before_cursor_execute", self._reject))
        ]
        for each in self._listeners:
            event.listen(*each)

    def close(self) -> None:
        """Remove the listeners: SQLAlchemy keeps parts of an engine beyond its end."""
        self._failure = None
        for each in self._listeners:
            event.remove(*each)

    def next_check(self) -> None:
        """Accept statements again."""
        self._failure = None

    def _remember(self, context: ExceptionContext) -> None:
        self._failure = context.sqlalchemy_exception or context.original_exception

    def _reject(self, *_: Any) -> None:
        if self._failure is not None:
            raise self._failure


class ExpectationSession:
    """A context of Great Expectations with one data source, whose database sessions are read-only.

    A check ends at its first statement that fails: call `next_check` before each.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._numbers = itertools.count()
        self._fail_fast = FailFast(source.get_engine(), source.get_execution_engine().engine)
        self._run = self.result("SELECT 1 AS run")

    def next_check(self) -> None:
        self._fail_fast.next_check()

    def close(self) -> None:
        self._fail_fast.close()
        self._source.get_execution_engine().close()
        self._source.get_engine().dispose()

    def rows(self, statement: str) -> ExpectationOutcome:
        """Expect that a statement finds no rows."""
        query = _ONE_ROW.replace("STATEMENT", _escaped(statement))
        result = self._validate(self._run, UnexpectedRowsExpectation(unexpected_rows_query=query))
        if result.success:
            return ExpectationOutcome()
        if error := _error(result.exception_info):
            return ExpectationOutcome(error=error)
        found = result.result["details"]["unexpected_rows"]  # read after they were counted: they may be gone
        return ExpectationOutcome(found[0]["found"] if found else [])

    def native(
        self, batch: Any, expectations: Mapping[str, Any], identity: Sequence[str]
    ) -> Iterator[tuple[str, ExpectationOutcome]]:
        """Validate expectations, named by the problem that they find; yield those that fail with the offending rows."""
        # Together they cost one statement, and rows are asked for only when there are any.
        for problem, expectation in expectations.items():
            expectation.meta = {"problem": problem}
        suite = ExpectationSuite("native", expectations=list(expectations.values()))
        judged = self._validate(batch, suite, "BOOLEAN_ONLY")
        details = {
            "result_format": "SUMMARY",
            "unexpected_index_column_names": list(identity),
            "partial_unexpected_count": SHOWN_ROWS,
        }
        for problem in [result.expectation_config.meta["problem"] for result in judged.results if not result.success]:
            result = self._validate(batch, expectations[problem], details)
            error = _error(result.exception_info)
            rows = list(result.result.get("partial_unexpected_index_list") or [])
            partial = result.result.get("unexpected_count", 0) > len(rows)
            yield problem, ExpectationOutcome(rows, partial=partial, error=error)

    def table(self, name: str) -> Any:
        """Return a table of the schema public as a batch; its expectations have to limit themselves to a window.

        UnreadableBatchError when it cannot be read.
        """
        try:
            asset = self._source.add_table_asset(f"table {next(self._numbers)}", table_name=name)
        except TestConnectionError as error:
            raise UnreadableBatchError(_sentence(str(error.__cause__ or error))) from error
        return asset.add_batch_definition_whole_table("all")

    def result(self, statement: str) -> Any:
        """Return the rows of a statement as a batch.

        The statement is run once to learn its columns: its result must not be large.
        """
        asset = self._source.add_query_asset(f"query {next(self._numbers)}", query=statement)
        return asset.add_batch_definition_whole_table("all")

    @staticmethod
    def _validate(batch: Any, expectation: Any, result_format: Mapping[str, Any] | str = "COMPLETE") -> Any:
        return batch.get_batch().validate(expectation, result_format=result_format)


@contextlib.contextmanager
def expectation_session(dsn: str) -> Iterator[ExpectationSession]:
    """Open a context without files, progress bars and telemetry.

    TransientError when the database accepts no more connections.
    """
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    with warnings.catch_warnings():  # add_postgres() rejects addresses of sockets
        warnings.simplefilter("ignore", GxDatasourceWarning)
        try:
            source = context.data_sources.add_sql("candleworks", connection_string=sqlalchemy_url(dsn, CHECK, "check"))
        except TestConnectionError as error:
            reason = _sentence(str(error.cause or error))
            raise TransientError(f"Great Expectations cannot connect to the database ({reason}): try again.") from error
    session = ExpectationSession(source)
    try:
        yield session
    finally:
        session.close()


def required_fields(limits: Sequence[Mapping[str, Any]], bounds: Mapping[str, Any]) -> dict[str, Any]:
    """Expect a value in the columns that each symbol requires, and a symbol that is not empty."""
    found: dict[str, Any] = {
        "symbol is empty": ExpectColumnValueLengthsToBeBetween(
            column="symbol", min_value=1, row_condition=_in_window(bounds)
        )
    }
    for column in sorted({column for row in limits for column in row["required"]}):
        symbols = [row["symbol"] for row in limits if column in row["required"]]
        condition = _in_window(bounds)
        if len(symbols) < len(limits):
            condition = condition & Column("symbol").is_in(symbols)
        found[f"{column} is missing"] = ExpectColumnValuesToNotBeNull(column=column, row_condition=condition)
    return found


def price_positive(limits: Sequence[Mapping[str, Any]], bounds: Mapping[str, Any]) -> dict[str, Any]:
    """Expect prices above zero, or zero as well where ingest accepts it."""
    accept_zero = any(row["accept_zero_prices"] for row in limits)
    return {
        "price is not above zero": ExpectColumnValuesToBeBetween(
            column="price", min_value=0, strict_min=not accept_zero, row_condition=_in_window(bounds)
        )
    }


def candle_shape() -> dict[str, Any]:
    """Expect low <= open, close <= high."""
    return {
        f"{upper} is below {lower}": ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=upper, column_B=lower, or_equal=True
        )
        for lower, upper in OHLC_ORDER
    }


def _in_window(bounds: Mapping[str, Any]) -> Any:
    """Return the condition of the window; ticks that are selected by event time may have arrived at any time."""
    condition = Column("time") >= bounds["time_from"]
    if isinstance(bounds["received_from"], str):
        return condition
    received = Column("received_at")
    return condition & (received >= bounds["received_from"]) & (received < bounds["received_until"])


def _escaped(statement: str) -> str:
    """Double braces and escape colons, which would be placeholders and parameters."""
    doubled = statement.replace("{", "{{").replace("}", "}}")
    return _BIND.sub(lambda match: match[0].replace(":", r"\:"), doubled)


def _error(info: Mapping[str, Any]) -> str | None:
    """Return why an expectation could not be validated; the information is flat or grouped by metric."""
    if "raised_exception" in info:
        message = info.get("exception_message") if info["raised_exception"] else None
    else:
        message = next((part["exception_message"] for part in info.values() if part.get("raised_exception")), None)
    return _sentence(message) if message else None


def _sentence(message: str) -> str:
    return re.sub(r"\s+", " ", message.split("\n[SQL:", maxsplit=1)[0]).strip()
