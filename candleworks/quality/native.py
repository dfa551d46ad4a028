"""The checks that Great Expectations can say by itself, told per symbol."""

from collections.abc import Iterator, Mapping
from typing import Any

from candleworks.quality.expectations import (
    SHOWN_ROWS,
    Database,
    Outcome,
    candle_shape,
    price_positive,
    required_fields,
)
from candleworks.quality.limits import SAMPLE_ROWS

_EXPECTED = {
    "required-fields": "a value in every required column",
    "price-positive": "price > 0",
    "candle-shape": "low <= open, close <= high",
}


def native_outcome(database: Database, name: str, parameters: Mapping[str, Any]) -> Outcome:
    """Judge the expectations of a check; those that offend are grouped by symbol."""
    offences: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    partial = False
    for problem, table, expectation, identity in _expectations(name, parameters):
        outcome = database.native(table, expectation, identity)
        if outcome.error is not None:
            return outcome
        partial = partial or outcome.partial
        for row in outcome.rows:
            offences.setdefault(row["symbol"], []).append((problem, {"relation": table, **_plain(row)}))
    return Outcome([_row(name, *offence, partial) for offence in sorted(offences.items())], partial)


def _expectations(name: str, parameters: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, tuple[str, ...]]]:
    if name == "candle-shape":
        for level, start in parameters["level_starts"].items():
            for problem, expectation in candle_shape(parameters["symbols"], start):
                yield problem, f"candles_{level}", expectation, ("symbol", "bucket")
        return
    made = {"required-fields": required_fields, "price-positive": price_positive}[name]
    for problem, expectation in made(parameters["limits"], parameters):
        yield problem, "stocks_real_time", expectation, ("symbol", "time")


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
