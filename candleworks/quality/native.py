"""The checks that consist of expectations of Great Expectations; failures are grouped by symbol."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from candleworks.database.queries import query
from candleworks.quality.expectations import (
    SHOWN_ROWS,
    ExpectationOutcome,
    ExpectationSession,
    UnreadableBatchError,
    candle_shape,
    price_positive,
    required_fields,
)
from candleworks.quality.limits import SAMPLE_ROWS
from candleworks.quality.rechecks import EMPTY_SYMBOL
from candleworks.storage.quality import check_sql
from candleworks.wording import counted

Render = Callable[..., str]
OffendingRow = tuple[str, Mapping[str, Any]]  # the problem, and the row
_ANY_TIME = {"time_from": datetime.min.replace(tzinfo=UTC), "received_from": "-infinity"}
_TICKS = "stocks_real_time"
_TICK: tuple[str, ...] = ("symbol", "time")
_CANDLE: tuple[str, ...] = ("relation", "symbol", "bucket", "until")
_EXPECTED = {
    "required-fields": "a value in every required column",
    "price-positive": "price > 0",
    "candle-shape": "low <= open, close <= high",
}


def native_outcome(
    session: ExpectationSession, name: str, parameters: Mapping[str, Any], render: Render
) -> ExpectationOutcome:
    """Validate the expectations of a check, and group the offending rows by symbol."""
    offences: dict[str, list[OffendingRow]] = {}
    partial = False
    try:
        for batch, expectations, identity in _batches(session, name, parameters, render):
            for problem, outcome in session.native(batch, expectations, identity):
                if outcome.error is not None:
                    return outcome
                partial = partial or outcome.partial
                for row in outcome.rows:
                    of_symbol = offences.setdefault(row["symbol"], [])
                    if (problem, row) not in of_symbol:  # a row that failed before may be among the new ones
                        of_symbol.append((problem, row))
    except UnreadableBatchError as error:
        return ExpectationOutcome(error=str(error))
    return ExpectationOutcome([_row(name, *offending, partial) for offending in sorted(offences.items())], partial)


def _batches(
    session: ExpectationSession, name: str, parameters: Mapping[str, Any], render: Render
) -> Iterator[tuple[Any, dict[str, Any], tuple[str, ...]]]:
    """Yield batches with their expectations and identifying columns: the table itself, and rows that failed before."""
    if name == "candle-shape":
        statement = "\nUNION\n".join(render(check_sql(name), **each) for each in parameters["ranges"])
        yield session.result(statement), candle_shape(), _CANDLE
        return
    made = {"required-fields": required_fields, "price-positive": price_positive}[name]
    yield session.table(_TICKS), made(parameters["limits"], parameters), _TICK
    if parameters["rechecks"]:
        yield session.result(render(query("ticks_to_recheck"))), made(parameters["limits"], _ANY_TIME), _TICK


def _row(name: str, symbol: str, offences: Sequence[OffendingRow], partial: bool) -> dict[str, Any]:
    problems = ", ".join(sorted({problem for problem, _ in offences}))
    more = f" (more than {SHOWN_ROWS} rows fail, only these are counted)" if partial else ""
    return {
        "subject": symbol or EMPTY_SYMBOL,
        "observed": f"{counted(len(offences), 'row')}: {problems}{more}",
        "expected": _EXPECTED[name],
        "sample": [_plain(row) for _, row in offences[:SAMPLE_ROWS]],
        "failing": _times(row for _, row in offences),
    }


def _times(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the times of ticks or buckets as a multirange's text."""
    spans = {f"[{start.isoformat()},{stop.isoformat()})" for start, stop in map(_span, rows)}
    return f"{{{','.join(sorted(spans))}}}"


def _span(row: Mapping[str, Any]) -> tuple[datetime, datetime]:
    if "bucket" in row:
        return row["bucket"], row["until"]
    return row["time"], row["time"] + timedelta(microseconds=1)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in row.items()}
