"""Reads companies from CSV: `symbol,name` and, where known, `exchange,currency,type`."""

import csv
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
    return REQUIRED <= set(header) <= REQUIRED | OPTIONAL and len(header) == len(set(header))


def parse_companies(text: bytes, header: Sequence[str], received_us: int) -> ParsedCompanies:
    """Parse the lines after the header, each by itself; every refusal names its line."""
    parsed = ParsedCompanies([], [])
    for number, line in enumerate(text.decode().replace("\r\n", "\n").split("\n")[1:], start=2):
        if not line.strip():
            continue
        values = _values(line, header)
        if isinstance(values, str):
            parsed.rejections.append(Rejection(received_us, f"line {number}: {values}", line))
        else:
            parsed.rows.append(
                tuple(values.get(name) or None for name in ("symbol", "name", "exchange", "currency", "type"))
            )
    return parsed


def _values(line: str, header: Sequence[str]) -> dict[str, str] | str:
    """Return the line's values by column, or what is wrong with it."""
    try:
        (cells,) = csv.reader([line], strict=True)
    except csv.Error as error:
        return f"no CSV: {error}"
    if len(cells) != len(header):
        return f"{len(cells)} fields instead of {len(header)}"
    values = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    if "\x00" in line:
        return "a NUL character, which the database cannot keep"
    missing = [name for name in header if name in REQUIRED and not values[name]]
    return f"{missing[0]} is empty" if missing else values
