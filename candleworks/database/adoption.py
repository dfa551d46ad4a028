"""Adopts the tables of TimescaleDB's tutorial, `stocks_real_time` and `company`, from an existing database.

An old table is renamed to ..._before_candleworks before the first migration, and its rows are copied into ours after
the last one, in the same transaction: an interrupted run leaves the database as it was.
docs/how-to/adopt-a-database.md explains why the rows are copied.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from psycopg import errors

from candleworks import clock
from candleworks.database.connection import Connection
from candleworks.database.queries import query
from candleworks.errors import TerminalError
from candleworks.model.tick_validation import EARLIEST_US, LARGEST, SMALLEST, SYMBOL_PATTERN
from candleworks.model.trades import moment_of
from candleworks.model.trading_day import zone_lookup
from candleworks.settings import Settings

TRADES = "stocks_real_time"
COMPANIES = "company"
RANGE_ROWS = 2_000_000  # sorted at once, where the old table has no chunks
PROGRESS_INTERVAL_SECONDS = 5.0

# The columns of a table that can be adopted; the optional ones may be missing.
_COLUMNS = {
    TRADES: {"time": "time", "symbol": "text", "price": "number", "day_volume": "number"},
    COMPANIES: {"symbol": "text", "name": "text", "exchange": "text", "currency": "text", "type": "text"},
}
_OPTIONAL = {"exchange", "currency", "type"}
_CREATED = re.compile(r"\bCREATE (?:TABLE|VIEW|MATERIALIZED VIEW) public\.(%?\w+)|\bcreate_ticks\('(\w+)'")
_CREATED_BY_FORMAT = {
    f"{family}candles_{level}" for family in ("", "quote_") for level in ("1m", "5m", "15m", "1h", "4h", "1d")
} | {"tick_candles_1d"}


class AdoptionRefusedError(TerminalError):
    """An object of the database conflicts with ours; `statements` resolve the conflict without losing data.

    `obstacles` maps each statement to its reason.
    """

    def __init__(self, obstacles: Mapping[str, str]) -> None:
        self.statements = [f"{statement};" for statement in obstacles]
        super().__init__(
            f"The tables of the database cannot be adopted ({', '.join(obstacles.values())}): run"
            f" {' '.join(self.statements)} and migrate again; no row is lost."
        )


class _Aggregates(NamedTuple):
    """Continuous aggregates as parallel lists of object ids: the view, its source, its materialization table."""

    aggregates: list[int]
    sources: list[int]
    stores: list[int]


class _Range(NamedTuple):
    """Rows from `start` up to `stop`, as PostgreSQL writes timestamps, because they may be infinite."""

    start: str
    stop: str
    compressed: bool


def set_aside(connection: Connection, pending: Iterable[str]) -> list[str]:
    """Rename the old tables whose names the SQL scripts `pending` create; return their former names.

    Raises AdoptionRefusedError for conflicting objects that cannot be adopted.
    """
    tables = adoptable(connection, pending)
    for rename in tables.values():
        connection.execute(rename)
    return sorted(tables, reverse=True)


def adoptable(connection: Connection, pending: Iterable[str]) -> dict[str, str]:
    """Return the tables that would be adopted, each with the statement that renames it; only reads.

    Raises AdoptionRefusedError for conflicting objects that cannot be adopted.
    """
    names = {name for names in _CREATED.findall("\n".join(pending)) for name in names if name}
    if any(name.startswith("%") for name in names):
        names |= _CREATED_BY_FORMAT
    aggregates = _aggregates(connection)
    found = connection.execute(
        query("relations_named"), {"names": list(names), "aggregates": aggregates.aggregates}
    ).fetchall()
    tables = {name: rename for name, is_table, rename, _ in found if is_table and name in _COLUMNS}
    obstacles = _obstacles_by_name(connection, found) | _obstacles_by_use(connection, aggregates, list(tables))
    if obstacles:
        raise AdoptionRefusedError(obstacles)
    return tables


def _aggregates(connection: Connection) -> _Aggregates:
    extension = connection.execute(query("has_timescaledb")).fetchone()
    if not (extension and extension[0]):
        return _Aggregates([], [], [])
    rows = connection.execute(query("continuous_aggregates")).fetchall()
    return _Aggregates(*([row[column] for row in rows] for column in range(3)))


def _obstacles_by_name(connection: Connection, found: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    """Describe objects that have one of our names and cannot be adopted."""
    obstacles = {}
    for name, is_table, rename, own in found:
        if own is not None:
            obstacles[own] = f"{name} is owned by another role"
        if not is_table or name not in _COLUMNS:
            obstacles[rename] = f"candleworks needs the name {name}"
        elif problem := _problem_with_columns(connection, name):
            obstacles[rename] = problem
        elif kept := _relation(connection, f"{name}_before_candleworks"):
            obstacles[kept] = f"{name}_before_candleworks already exists"
    return obstacles


def _problem_with_columns(connection: Connection, table: str) -> str | None:
    columns: dict[str, str] = dict(connection.execute(query("columns_of"), {"table": table}).fetchall())
    expected = _COLUMNS[table]
    if columns.items() <= expected.items() and expected.keys() - columns.keys() <= _OPTIONAL:
        return None
    return f"{table} has the columns {_listed(columns)} instead of {_listed(expected)}"


def _listed(columns: Mapping[str, str]) -> str:
    return " and ".join(f"{name} {kind}" for name, kind in columns.items())


def _relation(connection: Connection, name: str) -> str | None:
    """Return the statement that renames the relation, None when it does not exist."""
    row = connection.execute(query("relations_named"), {"names": [name], "aggregates": []}).fetchone()
    return str(row[2]) if row else None


def _obstacles_by_use(connection: Connection, aggregates: _Aggregates, tables: list[str]) -> dict[str, str]:
    """Describe what depends on the old tables: it would keep reading them and never see a new row."""
    readers = connection.execute(query("readers_of"), {"tables": tables, **aggregates._asdict()}).fetchall()
    references = connection.execute(query("references_to"), {"tables": tables}).fetchall()
    return {statement: f"{reader} reads the old table and would not see new rows" for reader, statement in readers} | {
        statement: f"{user} has a foreign key on {table}" for user, table, statement in references
    }


def adopt(connection: Connection, settings: Settings, tables: Iterable[str]) -> Iterator[str]:
    """Copy the rows of the renamed tables into ours; yield one sentence about each step.

    Raises TerminalError when the server runs out of locks or disk space.
    """
    with _resource_errors():
        for table in tables:
            yield f"{table}: the old table is kept as {table}_before_candleworks until you drop it."
            for (grant,) in connection.execute(query("grants_of"), {"table": table}).fetchall():
                connection.execute(grant)
            yield from _adopt_trades(connection, settings) if table == TRADES else _adopt_companies(connection)


@contextmanager
def _resource_errors() -> Iterator[None]:
    try:
        yield
    except errors.OutOfMemory as error:
        raise TerminalError(
            f"The old rows need more chunks than the server has locks for ({error.diag.message_primary}): set"
            " storage.chunk_interval_days in the configuration to 7, or max_locks_per_transaction of the server to"
            " 1024, and migrate again; nothing was changed."
        ) from error
    except errors.DiskFull as error:
        raise TerminalError(
            f"The disk of the server is full ({error.diag.message_primary}): free space for a second copy of the old"
            " rows and migrate again; nothing was changed."
        ) from error


def _adopt_trades(connection: Connection, settings: Settings) -> Iterator[str]:
    limits = tick_limits(settings)
    connection.execute(query("create_stage"))
    ranges = _ranges(connection)
    adopted = rejected = 0
    reported_at = clock.monotonic()
    for part in ranges:
        connection.execute(query("stage_compressed_range" if part.compressed else "stage_range"), part._asdict())
        rejected += connection.execute(query("reject_staged"), limits).rowcount
        adopted += _insert(connection, settings, part)
        connection.execute(query("empty_stage"))
        if clock.monotonic() - reported_at > PROGRESS_INTERVAL_SECONDS:
            reported_at = clock.monotonic()
            yield f"{TRADES}: {adopted:,} rows copied so far."
    yield f"{TRADES}: {adopted:,} rows were adopted, {rejected:,} were rejected and are in rejected_ticks."
    if compressed := sum(part.compressed for part in ranges):
        yield (
            f"{TRADES}: {compressed:,} of {len(ranges):,} parts of the old table are compressed, which loses the"
            " order of ticks within a second; it was restored by day_volume where that differs."
        )


def tick_limits(settings: Settings) -> dict[str, object]:
    """Return the limits of valid ticks, as for imports."""
    latest = clock.now() + timedelta(seconds=settings.ingest.max_future_seconds)
    accept_zero = settings.ingest.accept_zero_prices
    return {
        "earliest": moment_of(EARLIEST_US),
        "latest": latest,
        "symbol_pattern": SYMBOL_PATTERN,
        "accept_zero": accept_zero,
        "smallest": SMALLEST,
        "largest": LARGEST,
    }


def _ranges(connection: Connection) -> list[_Range]:
    """Return the ranges in which the rows are copied, oldest first; together they cover all rows."""
    extension = connection.execute(query("has_timescaledb")).fetchone()
    rows = connection.execute(query("chunk_ranges")).fetchall() if extension and extension[0] else []
    rows = rows or connection.execute(query("week_ranges"), {"max_rows": RANGE_ROWS}).fetchall()
    return [_Range(*row) for row in rows] or [_Range("-infinity", "infinity", compressed=False)]


def _insert(connection: Connection, settings: Settings, part: _Range) -> int:
    """Insert the staged rows of `part` and return their number."""
    symbols = [row[0] for row in connection.execute(query("staged_symbols")).fetchall()]
    zone_of = zone_lookup(settings.calendars)
    zones = [str(zone_of(symbol)) for symbol in symbols]
    connection.execute(query("note_symbols"), {"symbols": symbols, "zones": zones})
    connection.execute(query("prepare_staged"))
    return connection.execute(query("place_staged"), {"start": part.start}).rowcount


def _adopt_companies(connection: Connection) -> Iterator[str]:
    adopted = connection.execute(query("adopt_companies")).rowcount
    row = connection.execute(query("count_companies")).fetchone()
    more = (row[0] if row else 0) - adopted
    yield (
        f"{COMPANIES}: {adopted:,} rows were adopted, {more:,} were skipped, which are empty or followed by another row"
        " of the symbol."
    )
