"""How to read rejected lines of files."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LineForm:
    """How to read rejected lines whose file is gone or does not describe itself; `header` is its first line."""

    header: str | None = None
    symbol: str | None = None
    timezone: str | None = None
