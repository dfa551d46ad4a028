"""Takes the rows of an import away again: its ticks are those that have the received_at of one of its runs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from psycopg import sql

from candleworks.database.connection import Connection
from candleworks.database.queries import query
from candleworks.model.trades import microseconds_of
from candleworks.storage.bars import RemovedTick, remove_bars
from candleworks.storage.imports import ImportRecord

_COLUMNS = {
    "stocks_real_time": ("symbol", "price", "day_volume", "volume", "bid", "ask", "received_at", "origin"),
    "quotes": ("symbol", "bid", "ask", "bid_volume", "ask_volume", "received_at", "origin"),
}
TRADES, QUOTES = _COLUMNS
_DECOMPRESS_ANY = "SELECT set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true)"


class Runs(NamedTuple):
    """What marks an import's ticks, and between which stamps they are; None where it has read none."""

    received_at: list[datetime]
    first: datetime | None
    last: datetime | None


class RemovedBars(NamedTuple):
    """How many bars were deleted, and their ticks."""

    bars: int
    ticks: list[RemovedTick]


def find_imports(connection: Connection, path: str) -> list[str]:
    """Return the contents that were imported under this name and not taken back."""
    return [sha256 for (sha256,) in connection.execute(query("find_imports"), {"path": path}).fetchall()]


def read_runs(connection: Connection, sha256: str) -> Runs | None:
    """Return the runs of an import; None when retention has dropped ticks of its time."""
    row = connection.execute(query("import_runs"), {"sha256": sha256}).fetchone()
    return Runs(*row) if row and row[0] is not None else None


class Removal:
    """Removes an import's ticks from one table, inside a transaction of the caller."""

    def __init__(self, connection: Connection, table: str, runs: Runs) -> None:
        self._connection = connection
        self._table = table
        self._runs = runs
        connection.execute(_DECOMPRESS_ANY)
        connection.execute(query("create_removed_ticks"))
        connection.execute(self._statement("create_moved_ticks"))

    def symbols(self) -> list[str]:
        """Return whose ticks the import has brought."""
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
        """Delete the import's ticks of one symbol, and let those behind them move up; return how many were deleted.

        `removed_days` tells about them until the next call.
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
        """Return the trading days of what was removed, by the dates of a zone: first moment and the first after it."""
        return self._connection.execute(query("removed_days"), {"zone": str(zone)}).fetchall()

    def _execute(self, name: str, **parameters: object) -> Any:
        bounds = {"first": self._runs.first, "last": self._runs.last, "runs": self._runs.received_at}
        # Never prepared: a plan that does not know the symbol decompresses all symbols of a chunk.
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
    """Take away what an import brought of bars of quotes, and the quotes of bars that are whole no more; count them."""
    rows = connection.execute(query("remove_quote_bar_sides"), {"runs": runs.received_at}).fetchall()
    for symbol, start, stop, stored in rows:
        if stored:
            bounds = {"symbol": symbol, "start": start, "stop": stop}
            connection.execute(query("delete_quotes_of_bar"), bounds, prepare=False)
    return len(rows)


def restore_vendor_bars(connection: Connection, sha256: str) -> list[tuple[str, datetime, datetime]]:
    """Bring back bars of trades that an import had replaced; return symbol, beginning and end of each."""
    return connection.execute(query("restore_vendor_bars"), {"sha256": sha256}).fetchall()


def restore_quote_bars(connection: Connection, sha256: str) -> int:
    """Bring back bars of quotes that an import had replaced, where nothing else stands by now; count them."""
    row = connection.execute(query("restore_quote_bars"), {"sha256": sha256}).fetchone()
    return int(row[0]) if row else 0


def forget_replaced_bars(connection: Connection, sha256: str, runs: Runs) -> int:
    """Forget what an import had replaced, and those of its own bars that gave way to others, which are counted."""
    row = connection.execute(query("forget_replaced_bars"), {"sha256": sha256, "runs": runs.received_at}).fetchone()
    return int(row[0]) if row else 0


def forget_import(connection: Connection, record: ImportRecord, received_at: Sequence[datetime]) -> int:
    """Mark an import as undone; return how many of its rejected lines left the quarantine."""
    parameters = {"sha256": record.sha256, "path": record.path, "runs": list(received_at)}
    row = connection.execute(query("forget_import"), parameters).fetchone()
    return int(row[0]) if row else 0


def reopen_imports(connection: Connection, sha256: str, runs: Runs) -> list[str]:
    """Let contents that may have met ticks of this import be read again the next time; return their names."""
    parameters = {"sha256": sha256, "since": min(runs.received_at), "first": runs.first, "last": runs.last}
    return [path for (path,) in connection.execute(query("reopen_imports"), parameters).fetchall()]
