"""Reads companies from CSV: `symbol,name` and, where known, `exchange,currency,type`."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from candleworks.model.trades import Rejection

REQUIRED = frozenset({"symbol", "name"})
OPTIONAL = frozenset({"exchange", "currency", "type"})


@dataclass(frozen=True)
class ParsedCompanies:
    """`rows` are (symbol, name, exchange, currency, type), with None where the file says nothing."""

    rows: list[tuple[str | None, ...]]
    rejections: list[Rejection]


def is_companies(header: Sequence[str]) -> bool:
    """Whether a file with these columns holds companies."""
    return set(header) >= REQUIRED and set(header) <= REQUIRED | OPTIONAL


def parse_companies(text: bytes, header: Sequence[str], received_us: int) -> ParsedCompanies:
    """Parse the lines after the header; every refusal names its line."""
    parsed = ParsedCompanies([], [])
    reader = csv.reader(io.StringIO(text.decode(), newline=""))
    next(reader)
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        reason = _reason(row, header)
        if reason:
            parsed.rejections.append(Rejection(received_us, f"line {reader.line_num}: {reason}", ",".join(row)))
            continue
        values = dict(zip(header, (cell.strip() for cell in row), strict=True))
        parsed.rows.append(
            tuple(values.get(name) or None for name in ("symbol", "name", "exchange", "currency", "type"))
        )
    return parsed


def _reason(row: Sequence[str], header: Sequence[str]) -> str | None:
    if len(row) != len(header):
        return f"{len(row)} fields instead of {len(header)}"
    missing = [name for name, cell in zip(header, row, strict=True) if name in REQUIRED and not cell.strip()]
    return f"{missing[0]} is empty" if missing else None
