"""Rows of ticks and candles in bulk, from one snapshot of the database."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from psycopg import sql

from candleworks.database.connection import Connection
from candleworks.database.queries import query

# Ticks are read and sorted week by week, as they are partitioned without TimescaleDB; candles, which are not, at once.
WEEK = timedelta(days=7)
_MONDAY = datetime(2000, 1, 3, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)
CopiedRow = bytes | bytearray | memoryview


class ExportRelation(StrEnum):
    """A relation that can be exported."""

    TRADES = "stocks_real_time"
    QUOTES = "quotes"
    CANDLES_1M = "candles_1m"
    CANDLES_5M = "candles_5m"
    CANDLES_15M = "candles_15m"
    CANDLES_1H = "candles_1h"
    CANDLES_4H = "candles_4h"
    CANDLES_1D = "candles_1d"
    QUOTE_CANDLES_1M = "quote_candles_1m"
    QUOTE_CANDLES_5M = "quote_candles_5m"
    QUOTE_CANDLES_15M = "quote_candles_15m"
    QUOTE_CANDLES_1H = "quote_candles_1h"
    QUOTE_CANDLES_4H = "quote_candles_4h"
    QUOTE_CANDLES_1D = "quote_candles_1d"

    @property
    def is_ticks(self) -> bool:
        return self in (ExportRelation.TRADES, ExportRelation.QUOTES)

    @property
    def level(self) -> str:
        """The level of candles: 1m ... 1d."""
        return self.rpartition("_")[2]

    @property
    def time(self) -> str:
        """The column that rows are selected and ordered by."""
        return "time" if self.is_ticks else "bucket"


@dataclass(frozen=True)
class ExportSelection:
    """Rows of [start, stop) of these symbols, or of all when there are none; None leaves a bound open."""

    relation: ExportRelation
    symbols: tuple[str, ...] = ()
    start: datetime | None = None
    stop: datetime | None = None


class Extent(NamedTuple):
    """The number of rows from `first` to `last`, which are None where there are no rows."""

    rows: int
    first: datetime | None
    last: datetime | None


class Snapshot:
    """Reads the rows as they were when the snapshot was taken."""

    def __init__(self, connection: Connection, selection: ExportSelection) -> None:
        self._connection = connection
        self._selection = selection

    def columns(self) -> dict[str, str]:
        """Return the columns in their order, with PostgreSQL's names of their types; candles also say `closed`."""
        name = "export_columns" if self._selection.relation.is_ticks else "export_candle_columns"
        cursor = self._connection.execute(self._statement(name))
        types = self._connection.adapters.types
        return {column.name: types[column.type_code].name for column in cursor.description or ()}

    def has_symbol(self, symbol: str) -> bool:
        """Whether the relation has any row of the symbol, at any time."""
        row = self._connection.execute(self._statement("export_knows"), {"symbol": symbol}).fetchone()
        return bool(row and row[0])

    def extent(self) -> Extent:
        selection = self._selection
        parameters = {"start": selection.start, "stop": selection.stop, "symbols": list(selection.symbols) or None}
        row = self._connection.execute(self._statement("export_extent"), parameters).fetchone()
        return Extent(*row) if row else Extent(0, None, None)

    def blocks(self, extent: Extent, block_bytes: int) -> Iterator[bytes]:
        """Yield the rows in order of time and symbol as CSV, in blocks of complete rows of about so many bytes.

        An empty cell is null, an empty text is quoted.
        """
        parts: list[CopiedRow] = []
        size = 0
        for row in self._rows(extent):
            parts.append(row)
            size += len(row)
            if size >= block_bytes:
                yield b"".join(parts)
                parts, size = [], 0
        if parts:
            yield b"".join(parts)

    def _rows(self, extent: Extent) -> Iterator[CopiedRow]:
        relation = self._selection.relation
        statement = self._statement("export_rows" if relation.is_ticks else "export_candle_rows")
        for start, stop in self._windows(extent):
            parameters: dict[str, object] = {"start": start, "stop": stop}
            parameters["symbols"] = list(self._selection.symbols) or None
            if not relation.is_ticks:
                parameters["level"] = relation.level
            with self._connection.cursor().copy(statement, parameters) as copy:
                yield from copy

    def _windows(self, extent: Extent) -> Iterator[tuple[datetime, datetime]]:
        if extent.first is None or extent.last is None:
            return
        start, end = extent.first, extent.last + _INSTANT
        while start < end:
            week_end = start - (start - _MONDAY) % WEEK + WEEK
            stop = min(week_end, end) if self._selection.relation.is_ticks else end
            yield start, stop
            start = stop

    def _statement(self, name: str) -> sql.Composed:
        relation = self._selection.relation
        return sql.SQL(query(name)).format(relation=sql.Identifier(relation), time=sql.Identifier(relation.time))


@contextlib.contextmanager
def snapshot(connection: Connection, selection: ExportSelection) -> Iterator[Snapshot]:
    """Hold one transaction open, which sees one state of the database."""
    with connection.transaction():
        connection.execute(query("export_snapshot"))
        yield Snapshot(connection, selection)
