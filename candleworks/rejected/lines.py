"""Which rejected ticks were lines of files or rows of adopted tables, and how to read them."""

import json
from dataclasses import dataclass

from candleworks.imports.reading import TRADE_COLUMNS
from candleworks.storage.rejected import RejectedTick

ADOPTED = {"time", "symbol", "price", "day_volume"}


@dataclass(frozen=True)
class LineForm:
    """How to read rejected lines whose file is gone or does not describe itself; `header` is its first line."""

    header: str | None = None
    symbol: str | None = None
    timezone: str | None = None


def is_line(tick: RejectedTick) -> bool:
    """Whether a rejected tick was a line of a file, or a row of an adopted table."""
    return tick.reason.startswith("line ") or adopted_line(tick.payload) is not None


def adopted_line(payload: str) -> str | None:
    """Return the row of an adopted table as a line."""
    try:
        row = json.loads(payload)
    except ValueError:
        return None
    if not isinstance(row, dict) or set(row) != ADOPTED:
        return None
    return ",".join("" if row[name] is None else str(row[name]) for name in TRADE_COLUMNS)
