"""Reads companies from CSV: `symbol,name` and, where known, `exchange,currency,type`."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from candleworks.errors import TerminalError
from candleworks.imports.files import Source
from candleworks.model.trades import Rejection

REQUIRED = frozenset({"symbol", "name"})
OPTIONAL = frozenset({"exchange", "currency", "type"})


@dataclass(frozen=True)
class ParsedCompanies:
    """`rows` are (symbol, name, exchange, currency, type), with None where the file has no value."""

    rows: list[tuple[str | None, ...]]
    rejections: list[Rejection]


def is_companies(header: Sequence[str]) -> bool:
    """Whether a file with these columns contains companies."""
    return REQUIRED <= set(header) <= REQUIRED | OPTIONAL and len(header) == len(set(header))


def parse_companies(text: bytes, header: Sequence[str], received_us: int) -> ParsedCompanies:
    """Parse the lines after the header one by one; every rejection names its line."""
    parsed = ParsedCompanies([], [])
    for number, line in enumerate(text.decode().replace("\r\n", "\n").split("\n")[1:], start=2):
        if not line.strip():
            continue
        values = _values(line, header)
        if isinstance(values, str):
            parsed.rejections.append(Rejection(received_us, f"line {number}: {values}", line, "company", number))
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
        return f"not CSV: {error}"
    if len(cells) != len(header):
        return f"{len(cells)} fields instead of {len(header)}"
    values = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    if "\x00" in line:
        return "contains a NUL character, which PostgreSQL cannot store"
    missing = [name for name in header if name in REQUIRED and not values[name]]
    return f"{missing[0]} is empty" if missing else values


def read_text(path: Path) -> bytes:
    """Return a file's text; TerminalError when it is missing, empty, broken or in another encoding."""
    with Source(str(path), path).opened() as content:
        if content.kind != "text":
            raise TerminalError(f"{path} is a {content.kind} file: a CSV file is expected.")
        return content.path.read_bytes()[content.start :]
