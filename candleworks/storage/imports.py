"""`import_files`: imported contents, the results of their rows, the progress of interrupted imports, and undoing them.

Each run of an import has a unique time, which is the received_at of its ticks: this identifies them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from psycopg import sql
from psycopg.types.json import Jsonb

from candleworks.database.connection import Connection
from candleworks.database.locks import Lock, locked
from candleworks.database.queries import query
from candleworks.model.trades import microseconds_of
from candleworks.storage.bars import RemovedTick, remove_bars

IMPORTING = "importing"
IMPORTED = "imported"
UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """rows = stored + duplicates + rejected; first and last are the oldest and newest event time, None without times.

    `status` is importing until all rows have been read, and undone when the import was undone. `options` are those that
    determine the meaning of the content, None where an earlier version did not record them.
    """

    path: str
    sha256: str
    rows: int
    stored: int
    duplicates: int
    rejected: int
    first: datetime | None
    last: datetime | None
    status: str
    imported_at: datetime
    options: Mapping[str, Any] | None = None

    @property
    def is_unusable(self) -> bool:
        """Whether every row was rejected; such a content is read again the next time."""
        return 0 < self.rejected == self.rows


def locked_import(connection: Connection, sha256: str) -> AbstractContextManager[None]:
    """Keep other imports of the same content away, over all transactions inside."""
    return locked(connection, Lock.IMPORT, sha256)


@contextmanager
def keeping_replaced_bars(connection: Connection, sha256: str) -> Iterator[None]:
    """Record bars that are replaced inside as replaced by the import of this content."""
    connection.execute("SELECT set_config('candleworks.import', %s, false)", [sha256])
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT set_config('candleworks.import', '', false)")


def begin_run(connection: Connection, sha256: str, now: datetime) -> datetime:
    """Return the time that marks the ticks of a run of this import: now, or the first later time that is not taken."""
    while not connection.execute(query("begin_import_run"), {"sha256": sha256, "received_at": now}).fetchone():
        now += timedelta(microseconds=1)
    return now


def read_import(connection: Connection, sha256: str) -> ImportRecord | None:
    """Return the record of the content."""
    row = connection.execute(query("read_import"), {"sha256": sha256}).fetchone()
    return ImportRecord(**dict(zip((field.name for field in fields(ImportRecord)), row, strict=True))) if row else None


def save_import(connection: Connection, record: ImportRecord) -> None:
    """Save the record of the content's latest import, whose run began at `imported_at`."""
    options = None if record.options is None else Jsonb(record.options)
    connection.execute(query("save_import"), asdict(record) | {"options": options})
    reached = {"received_at": record.imported_at, "first": record.first, "last": record.last}
    connection.execute(query("reach_import_run"), reached)
    if record.status == IMPORTED:
        connection.execute(query("forget_import_progress"), {"sha256": record.sha256})


def read_progress(connection: Connection, sha256: str) -> Mapping[str, Any] | None:
    """Return the reader's state of an interrupted import, None when no import of the content was interrupted."""
    row = connection.execute(query("read_import_progress"), {"sha256": sha256}).fetchone()
    return row[0] if row else None


def save_progress(connection: Connection, sha256: str, state: Mapping[str, Any]) -> None:
    """Save the reader's state, in the transaction that stores the rows before it."""
    connection.execute(query("save_import_progress"), {"sha256": sha256, "state": Jsonb(state)})


class StoredAround(NamedTuple):
    """Whether a symbol has trades in a range to copy to, and the running total of their source before it that day.

    `begun` is whether any source has a running total before it that day.
    """

    taken: bool
    highest_day_volume: float | None
    begun: bool


class CopySpan(NamedTuple):
    """The range of a symbol's trades to copy: from `start` to the end of its last trading day."""

    symbol: str
    day_start: datetime
    start: datetime
    stop: datetime


def stored_around(connection: Connection, origin: str, spans: Sequence[CopySpan]) -> dict[str, StoredAround]:
    """Return what is stored in and before the ranges of trades of an origin, one per symbol."""
    names = ("symbols", "day_starts", "starts", "stops")
    columns = (list(column) for column in zip(*spans, strict=True))
    parameters = {"origin": origin, **dict(zip(names, columns, strict=True))}
    rows = connection.execute(query("stored_around"), parameters).fetchall()
    return {symbol: StoredAround(*stored) for symbol, *stored in rows}


def stage(connection: Connection, relation: str, columns: str, csv: bytes) -> None:
    """Copy CSV into a staging table."""
    with connection.cursor() as cursor, cursor.copy(f"COPY {relation} ({columns}) FROM STDIN (FORMAT csv)") as copy:
        copy.write(csv)


_COLUMNS = {
    "stocks_real_time": ("symbol", "price", "day_volume", "volume", "bid", "ask", "received_at", "origin"),
    "quotes": ("symbol", "bid", "ask", "bid_volume", "ask_volume", "received_at", "origin"),
}
TRADES, QUOTES = _COLUMNS
_DECOMPRESS_ANY = "SELECT set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true)"


class Runs(NamedTuple):
    """The received_at of an import's ticks, and the range of their event times; None where it read no ticks."""

    received_at: list[datetime]
    first: datetime | None
    last: datetime | None


class RemovedBars(NamedTuple):
    """How many bars were deleted, and their ticks."""

    bars: int
    ticks: list[RemovedTick]


def find_imports(connection: Connection, path: str) -> list[str]:
    """Return the contents that were imported under this name and not undone."""
    return [sha256 for (sha256,) in connection.execute(query("find_imports"), {"path": path}).fetchall()]


def read_runs(connection: Connection, sha256: str) -> Runs | None:
    """Return the runs of an import; None when retention has dropped ticks of its time."""
    row = connection.execute(query("import_runs"), {"sha256": sha256}).fetchone()
    return Runs(*row) if row and row[0] is not None else None


class TickRemoval:
    """Removes an import's ticks from one table, inside a transaction of the caller."""

    def __init__(self, connection: Connection, table: str, runs: Runs) -> None:
        self._connection = connection
        self._table = table
        self._runs = runs
        connection.execute(_DECOMPRESS_ANY)
        connection.execute(query("create_removed_ticks"))
        connection.execute(self._statement("create_moved_ticks"))

    def symbols(self) -> list[str]:
        """Return the symbols of the import's ticks."""
        rows = self._execute("imported_symbols").fetchall()
        return sorted(symbol for (symbol,) in rows)

    def remove_vendor_bars(self, symbol: str) -> RemovedBars:
        """Delete the import's bars of trades."""
        rows = self._connection.execute(
            query("imported_vendor_bars"), {"symbol": symbol, "runs": self._runs.received_at}
        ).fetchall()
        ticks = remove_bars(self._connection, symbol, (microseconds_of(minute) for (minute,) in rows))
        return RemovedBars(len(rows), ticks)

    def remove_ticks(self, symbol: str) -> int:
        """Delete the import's ticks of one symbol, and move later ordinals up; return how many were deleted.

        `removed_days` refers to them until the next call.
        """
        self._connection.execute("TRUNCATE removed_ticks")
        self._execute("remove_imported_ticks", symbol=symbol)
        count, first, last = self._connection.execute(query("removed_bounds")).fetchone() or (0, None, None)
        if count:
            self._connection.execute(sql.SQL("TRUNCATE {}").format(self._moved))
            bounds = {"symbol": symbol, "first": first, "last": last}
            self._connection.execute(self._statement("take_moved_ticks"), bounds, prepare=False)
            self._connection.execute(self._statement("put_moved_ticks"))
        return int(count)

    def removed_days(self, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
        """Return start and end of the trading days of what was removed, by the dates of a zone."""
        return self._connection.execute(query("removed_days"), {"zone": str(zone)}).fetchall()

    def _execute(self, name: str, **parameters: object) -> Any:
        bounds = {"first": self._runs.first, "last": self._runs.last, "runs": self._runs.received_at}
        # Not prepared: a generic plan decompresses all symbols of a chunk.
        return self._connection.execute(self._statement(name), {**bounds, **parameters}, prepare=False)

    @property
    def _moved(self) -> sql.Identifier:
        return sql.Identifier(f"moved_{self._table}")

    def _statement(self, name: str) -> sql.Composed:
        return sql.SQL(query(name)).format(
            table=sql.Identifier("public", self._table),
            moved=self._moved,
            columns=sql.SQL(", ").join(map(sql.Identifier, _COLUMNS[self._table])),
        )


def remove_quote_bar_sides(connection: Connection, runs: Runs) -> int:
    """Remove the sides of quote bars that an import stored, and the quotes of incomplete bars; count the bars."""
    rows = connection.execute(query("remove_quote_bar_sides"), {"runs": runs.received_at}).fetchall()
    for symbol, start, stop, stored in rows:
        if stored:
            bounds = {"symbol": symbol, "start": start, "stop": stop}
            connection.execute(query("delete_quotes_of_bar"), bounds, prepare=False)
    return len(rows)


def restore_vendor_bars(connection: Connection, sha256: str) -> list[tuple[str, datetime, datetime]]:
    """Restore bars of trades that an import had replaced; return symbol, start and end of each."""
    return connection.execute(query("restore_vendor_bars"), {"sha256": sha256}).fetchall()


def restore_quote_bars(connection: Connection, sha256: str) -> int:
    """Restore bars of quotes that an import had replaced, where nothing else is stored now; return their count."""
    row = connection.execute(query("restore_quote_bars"), {"sha256": sha256}).fetchone()
    return int(row[0]) if row else 0


def forget_replaced_bars(connection: Connection, sha256: str, runs: Runs) -> int:
    """Delete the records of bars that an import replaced, and of its own bars that were replaced; count the latter."""
    row = connection.execute(query("forget_replaced_bars"), {"sha256": sha256, "runs": runs.received_at}).fetchone()
    return int(row[0]) if row else 0


def forget_shared_totals(connection: Connection, runs: Runs) -> None:
    """Forget that running totals are the same on days of an import on which one source is left."""
    connection.execute(query("forget_shared_totals"), {"first": runs.first, "last": runs.last})


def forget_import(connection: Connection, record: ImportRecord, received_at: Sequence[datetime]) -> int:
    """Mark an import as undone; return how many of its rejected lines were deleted."""
    parameters = {"sha256": record.sha256, "path": record.path, "runs": list(received_at)}
    row = connection.execute(query("forget_import"), parameters).fetchone()
    return int(row[0]) if row else 0


def reopen_imports(connection: Connection, sha256: str, runs: Runs) -> list[str]:
    """Have contents that may have been compared with ticks of this import read again next time; return their names."""
    parameters = {"sha256": sha256, "since": min(runs.received_at), "first": runs.first, "last": runs.last}
    return [path for (path,) in connection.execute(query("reopen_imports"), parameters).fetchall()]
