"""Great Expectations against the database: one expectation per check, or several of its own on a table.

Importing it costs 2.7 s and 140 MB, so that only a run of checks imports this module.
"""

import contextlib
import itertools
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import great_expectations as gx
from great_expectations import ExpectationSuite
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.datasource.fluent import GxDatasourceWarning
from great_expectations.datasource.fluent.interfaces import TestConnectionError
from great_expectations.expectations.core import (
    ExpectColumnPairValuesAToBeGreaterThanB,
    ExpectColumnValueLengthsToBeBetween,
    ExpectColumnValuesToBeBetween,
    ExpectColumnValuesToNotBeNull,
    UnexpectedRowsExpectation,
)
from great_expectations.expectations.row_conditions import Column

from candleworks.database.connection import sqlalchemy_url
from candleworks.database.profiles import CHECK
from candleworks.errors import TerminalError, TransientError
from candleworks.model.bars import OHLC_ORDER
from candleworks.quality.first_error import Guard

SHOWN_ROWS = 200  # of a native expectation; when more offend, who offends is known in part
# The SQL of a check bounds itself, so the batch is a single row that it is joined with. Everything that it finds comes
# as one row, because at most 200 would be fetched.
_ONE_ROW = """
SELECT jsonb_agg(to_jsonb(found)) AS found FROM (
STATEMENT
) AS found CROSS JOIN {batch} AS run HAVING count(*) > 0
"""
_BIND = re.compile(r"(?<![:\w\\]):(?=\w)|::")

logging.getLogger("great_expectations").setLevel(logging.CRITICAL)  # errors are results here


@dataclass(slots=True)
class Outcome:
    """The rows that an expectation did not expect; `error` when it could not be judged.

    `rows` are dictionaries with `subject`, `observed`, `expected` and `sample` where SQL made them, and the columns
    that identify them elsewhere. `partial` tells that there are more than `rows` holds.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    partial: bool = False
    error: str | None = None


class BrokenBatchError(TerminalError):
    """The rows that a check is to look at cannot be read."""


class Database:
    """One context of Great Expectations with one data source, whose sessions only read.

    A check ends at its first statement that fails: call `next_check` before each.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._numbers = itertools.count()
        self._guard = Guard(source.get_engine(), source.get_execution_engine().engine)
        self._run = self.result("SELECT 1 AS run")

    def next_check(self) -> None:
        self._guard.next_check()

    def close(self) -> None:
        self._guard.close()
        self._source.get_execution_engine().close()
        self._source.get_engine().dispose()

    def rows(self, statement: str) -> Outcome:
        """Expect a statement to find nothing."""
        query = _ONE_ROW.replace("STATEMENT", _escaped(statement))
        result = self._validate(self._run, UnexpectedRowsExpectation(unexpected_rows_query=query))
        if result.success:
            return Outcome()
        if error := _error(result.exception_info):
            return Outcome(error=error)
        found = result.result["details"]["unexpected_rows"]  # read after they were counted: they may have gone
        return Outcome(found[0]["found"] if found else [])

    def native(
        self, batch: Any, expectations: Mapping[str, Any], identity: Sequence[str]
    ) -> Iterator[tuple[str, Outcome]]:
        """Judge expectations, named by the problem that they tell; yield those that fail with the rows that offend."""
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
            yield problem, Outcome(rows, partial=partial, error=error)

    def table(self, name: str) -> Any:
        """Return a table of the schema public as a batch; what is expected of it has to bound itself.

        BrokenBatchError when it cannot be read.
        """
        try:
            asset = self._source.add_table_asset(f"table {next(self._numbers)}", table_name=name)
        except TestConnectionError as error:
            raise BrokenBatchError(_sentence(str(error.__cause__ or error))) from error
        return asset.add_batch_definition_whole_table("all")

    def result(self, statement: str) -> Any:
        """Return the rows of a statement as a batch.

        It is run as it stands first, because its columns have to be known: it must not be large.
        """
        asset = self._source.add_query_asset(f"query {next(self._numbers)}", query=statement)
        return asset.add_batch_definition_whole_table("all")

    @staticmethod
    def _validate(batch: Any, expectation: Any, result_format: Mapping[str, Any] | str = "COMPLETE") -> Any:
        return batch.get_batch().validate(expectation, result_format=result_format)


@contextlib.contextmanager
def expecting(dsn: str) -> Iterator[Database]:
    """Open a context without files, progress bars or anything that is sent anywhere.

    TransientError when the database lets nobody else in.
    """
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    with warnings.catch_warnings():  # add_postgres() refuses addresses of sockets
        warnings.simplefilter("ignore", GxDatasourceWarning)
        try:
            source = context.data_sources.add_sql("candleworks", connection_string=sqlalchemy_url(dsn, CHECK, "check"))
        except TestConnectionError as error:
            reason = _sentence(str(error.cause or error))
            raise TransientError(f"Great Expectations cannot connect to the database ({reason}): try again.") from error
    database = Database(source)
    try:
        yield database
    finally:
        database.close()


def required_fields(limits: Sequence[Mapping[str, Any]], bounds: Mapping[str, Any]) -> dict[str, Any]:
    """Expect the columns that each symbol requires, and a symbol that is not empty."""
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
    """Expect prices above zero, or also zero where ingest accepts it."""
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
    """Say the bounds of the window; ticks that are chosen by their time may have come at any time."""
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
    """Return the reason why an expectation could not be judged; it stands flat or by metric."""
    if "raised_exception" in info:
        message = info.get("exception_message") if info["raised_exception"] else None
    else:
        message = next((part["exception_message"] for part in info.values() if part.get("raised_exception")), None)
    return _sentence(message) if message else None


def _sentence(message: str) -> str:
    return re.sub(r"\s+", " ", message.split("\n[SQL:", maxsplit=1)[0]).strip()
