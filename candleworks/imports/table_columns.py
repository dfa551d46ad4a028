"""Which columns of a Parquet or Arrow file are read as what, by its schema and by what the caller says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from candleworks.errors import TerminalError
from candleworks.imports.columns import bar_columns
from candleworks.imports.file_symbols import symbol_of
from candleworks.imports.files import Content
from candleworks.imports.formats import OPTIONAL, REQUIRED, Reading, Relation, mapped_relation, our_names


@dataclass(frozen=True)
class TableLayout:
    """How to read the rows of a table: `columns` maps our names to those of the schema.

    `symbol` is that of all rows where no column names it, else the only one that is wanted; `zone` is that of times
    without one; prices are rounded to `digits` decimal places.
    """

    relation: Relation
    columns: Mapping[str, str]
    symbol: str | None = None
    zone: str | None = None
    digits: int | None = None

    @property
    def exact(self) -> bool:
        """Whether the table has all columns of our own, whose microseconds and volumes are kept as they are."""
        return {*REQUIRED[self.relation], *OPTIONAL[self.relation]} <= set(self.columns)


def table_layout(content: Content, names: Sequence[str], relation: str, reading: Reading) -> TableLayout:
    """Return the layout of a table whose schema has the `names`; `relation` is what the file says it holds, or empty.

    TerminalError when it holds no ticks or the caller says what cannot be.
    """
    if reading.format not in (None, content.kind):
        raise TerminalError(
            f"{content.name} is a {content.kind} file, not one of the format {reading.format}: leave --format out."
        )
    if reading.columns is None:
        layout = _recognised(content.name, names, relation)
    else:
        layout = _mapped(content.name, names, our_names(reading.columns))
    if twice := [theirs for theirs in layout.columns.values() if names.count(theirs) > 1]:
        raise TerminalError(f"{content.name} has the column {twice[0]} more than once: give one of them another name.")
    symbol = reading.symbol
    if "symbol" not in layout.columns and symbol is None:
        symbol = symbol_of(content.name)
    return TableLayout(layout.relation, layout.columns, symbol, reading.timezone, reading.digits)


def _recognised(file: str, names: Sequence[str], relation: str) -> TableLayout:
    quotes = {"bid", "ask"} <= set(names) and "price" not in names
    found = relation or (Relation.QUOTES if quotes else Relation.TRADES)
    if found not in REQUIRED:
        raise TerminalError(f"{file} holds {found}, which follow from ticks: import those instead.")
    held = Relation(found)
    if not {*REQUIRED[held]} - {"symbol"} <= set(names):
        raise TerminalError(
            f"{file} has the columns {','.join(names)[:200]}: ticks have time, symbol and price, or time, symbol, bid"
            " and ask; --columns time=...,price=... names others."
        )
    return TableLayout(held, {name: name for name in (*REQUIRED[held], *OPTIONAL[held]) if name in names})


def _mapped(file: str, names: Sequence[str], columns: Mapping[str, str]) -> TableLayout:
    """Apply `--columns`: by the schema's names, in upper or lower case, or by numbers from 1."""
    relation = mapped_relation(columns)
    if relation not in REQUIRED:  # bars that candleworks exported: candles follow from ticks
        raise TerminalError(f"{file} holds candles, which follow from ticks: import those instead.")
    if bar_columns([name.lower() for name in names]) is not None:
        raise TerminalError(f"{file} has open, high, low and close, so it holds bars: map these, not ticks.")
    numbered = all(value.isdecimal() for value in columns.values())
    known = {str(n + 1) if numbered else name.lower(): name for n, name in enumerate(names)}
    missing = [value for value in columns.values() if value.lower() not in known]
    if missing:
        raise TerminalError(
            f"{file} has the columns {','.join(names)[:200]}: --columns names {', '.join(missing)} besides."
        )
    return TableLayout(relation, {ours: known[theirs.lower()] for ours, theirs in columns.items()})
