"""Rejected rows of Parquet and Arrow files and of adopted tables: JSON objects with our names of the columns.

Times are microseconds since 1970, or texts in ISO 8601.
"""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from candleworks.errors import UsageError
from candleworks.imports.reading import OPTIONAL, REQUIRED, RowType
from candleworks.imports.table_rows import TEXTS, TIMES, TableLayout, TableRules
from candleworks.imports.times import ISO, read_times, texts_of
from candleworks.imports.validation import Bounds
from candleworks.model.tick_validation import NOT_A_NUMBER
from candleworks.rejected.corrections import corrected_value


def corrected_row(name: str, payload: str, corrections: Mapping[str, str]) -> str:
    """Return the row with corrected fields; UsageError when it is not a row of ticks, or does not have a field."""
    _, fields = _row(name, payload)
    if not corrections:
        return payload
    for field, text in corrections.items():
        if field not in fields:
            raise UsageError(f"The rows of {name} have no {field!r}: set one of {', '.join(fields)}.")
        fields[field] = text if field in TEXTS else corrected_value(text)
    return json.dumps(fields)


def read_row(name: str, payload: str, bounds: Bounds) -> tuple[RowType, pl.DataFrame, str | None]:
    """Return what a row is, the row as sinks take it (empty when it is rejected), and why it is rejected, or None."""
    row_type, fields = _row(name, payload)
    typed = {field: _typed(field, value) for field, value in fields.items()}
    rules = TableRules(TableLayout(row_type, {field: field for field in fields}), bounds)
    schema = {field: _type(field) for field in fields}
    row = pl.DataFrame({field: [value] for field, (value, _) in typed.items()}, schema=schema).with_row_index("row")
    row = row.cast({"row": pl.Int64})
    reason = next((fault for _, fault in typed.values() if fault), None)
    reason = reason or row.select(rules.reason(pl.Series([False]))).item()
    return row_type, rules.accepted(row.head(0 if reason else 1)), reason


def _row(name: str, payload: str) -> tuple[RowType, dict[str, Any]]:
    try:
        fields = json.loads(payload)
    except ValueError:
        fields = None
    row_type = _row_type(fields) if isinstance(fields, dict) else None
    if row_type is None:
        raise UsageError(
            f"The payload is not a row of {name}: write a JSON object such as"
            ' {"time": "2026-01-05T15:00:00Z", "symbol": "AAPL", "price": 143.2}.'
        )
    return row_type, fields


def _row_type(fields: Mapping[str, Any]) -> RowType | None:
    """Return what a row is, None when its fields are not those of a table of ticks."""
    found = (each for each in REQUIRED if {*REQUIRED[each]} <= {*fields} <= {*REQUIRED[each], *OPTIONAL[each]})
    return next(found, None)


def _type(name: str) -> type[pl.DataType]:
    return pl.Int64 if name in TIMES else pl.String if name in TEXTS else pl.Float64


def _typed(name: str, value: Any) -> tuple[int | float | str | None, str | None]:
    """Return a value by the type of its column, and what is wrong with it, or None."""
    if value is None or name in TEXTS:
        return (None if value is None else str(value)), None
    if name in TIMES:
        return _time(name, value)
    try:
        return float(value), None
    except (TypeError, ValueError):
        return None, f"{name} {str(value)!r} {NOT_A_NUMBER}"


def _time(name: str, value: Any) -> tuple[int | None, str | None]:
    if isinstance(value, int) and abs(value) < 2**63:
        return value, None
    times = read_times(texts_of([str(value)]), ISO)
    if times.valid[0] and not times.local[0]:
        return int(times.us[0]), None
    return None, f"{name} {str(value)!r} is not {ISO.said}"
