"""The checks that Great Expectations can say by itself, told per symbol."""

from collections.abc import Callable, Mapping
from typing import Any

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

_TICKS = "stocks_real_time"
_TICK: tuple[str, ...] = ("symbol", "time")
_CANDLE: tuple[str, ...] = ("relation", "symbol", "bucket")
_EXPECTED = {
    "required-fields": "a value in every required column",
    "price-positive": "price > 0",
    "candle-shape": "low <= open, close <= high",
}


def native_outcome(
    database: Database, name: str, parameters: Mapping[str, Any], render: Callable[[str], str]
) -> Outcome:
    """Judge the expectations of a check; those that offend are grouped by symbol."""
    offences: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    partial = False
    try:
        if name == "candle-shape":
            batch, identity, expectations = database.result(render(name)), _CANDLE, candle_shape()
        else:
            made = {"required-fields": required_fields, "price-positive": price_positive}[name]
            batch, identity, expectations = database.table(_TICKS), _TICK, made(parameters["limits"], parameters)
    except BrokenBatchError as error:
        return Outcome(error=str(error))
    for problem, outcome in database.native(batch, expectations, identity):
        if outcome.error is not None:
            return outcome
        partial = partial or outcome.partial
        for row in outcome.rows:
            offences.setdefault(row["symbol"], []).append((problem, _plain(row)))
    return Outcome([_row(name, *offence, partial) for offence in sorted(offences.items())], partial)


def _row(name: str, symbol: str, rows: list[tuple[str, dict[str, Any]]], partial: bool) -> dict[str, Any]:
    problems = ", ".join(sorted({problem for problem, _ in rows}))
    more = f" (of all symbols {SHOWN_ROWS} of a kind are shown, there are more)" if partial else ""
    return {
        "subject": symbol or "(empty)",
        "observed": f"{len(rows):,} rows: {problems}{more}",
        "expected": _EXPECTED[name],
        "sample": [row for _, row in rows[:SAMPLE_ROWS]],
    }


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in row.items()}
