"""The checks that Great Expectations can say by itself, told per symbol."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from candleworks.database.queries import query
from candleworks.quality.expectations import (
    SHOWN_ROWS,
    BrokenBatchError,
    Database,
    Outcome,
    candle_shape,
    price_positive,
    required_fields,
)
from candleworks.quality.limits import SAMPLE_ROWS
from candleworks.quality.rechecks import EMPTY_SYMBOL
from candleworks.storage.quality import check_sql
from candleworks.wording import counted

Render = Callable[..., str]
Offence = tuple[str, Mapping[str, Any]]  # the problem, and the row
_ANY_TIME = {"time_from": datetime.min.replace(tzinfo=UTC), "received_from": "-infinity"}
_TICKS = "stocks_real_time"
_TICK: tuple[str, ...] = ("symbol", "time")
_CANDLE: tuple[str, ...] = ("relation", "symbol", "bucket", "until")
_EXPECTED = {
    "required-fields": "a value in every required column",
    "price-positive": "price > 0",
    "candle-shape": "low <= open, close <= high",
}


def native_outcome(database: Database, name: str, parameters: Mapping[str, Any], render: Render) -> Outcome:
    """Judge the expectations of a check; those that offend are grouped by symbol."""
    offences: dict[str, list[Offence]] = {}
    partial = False
    try:
        for batch, expectations, identity in _batches(database, name, parameters, render):
            for problem, outcome in database.native(batch, expectations, identity):
                if outcome.error is not None:
                    return outcome
                partial = partial or outcome.partial
                for row in outcome.rows:
                    of_symbol = offences.setdefault(row["symbol"], [])
                    if (problem, row) not in of_symbol:  # what failed before may be among what is new
                        of_symbol.append((problem, row))
    except BrokenBatchError as error:
        return Outcome(error=str(error))
    return Outcome([_row(name, *offence, partial) for offence in sorted(offences.items())], partial)


def _batches(
    database: Database, name: str, parameters: Mapping[str, Any], render: Render
) -> Iterator[tuple[Any, dict[str, Any], tuple[str, ...]]]:
    """Yield rows, what is expected of them, and what identifies one: of the table itself, and of what failed before."""
    if name == "candle-shape":
        statement = "\nUNION\n".join(render(check_sql(name), **piece) for piece in parameters["pieces"])
        yield database.result(statement), candle_shape(), _CANDLE
        return
    made = {"required-fields": required_fields, "price-positive": price_positive}[name]
    yield database.table(_TICKS), made(parameters["limits"], parameters), _TICK
    if parameters["again"]:
        yield database.result(render(query("ticks_again"))), made(parameters["limits"], _ANY_TIME), _TICK


def _row(name: str, symbol: str, offences: Sequence[Offence], partial: bool) -> dict[str, Any]:
    problems = ", ".join(sorted({problem for problem, _ in offences}))
    more = f" (of all symbols {SHOWN_ROWS} of a kind are shown, there are more)" if partial else ""
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
