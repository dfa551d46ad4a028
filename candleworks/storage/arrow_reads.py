"""Rows in bulk as Arrow tables, over ADBC, which parses binary COPY: a million in less than a second.

Many rows are read in halves, by two connections with one snapshot, because parsing them takes as long as sending them.
"""

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

import adbc_driver_manager
import adbc_driver_postgresql
import numpy as np
import pyarrow as pa
from adbc_driver_manager import AdbcConnection, AdbcDatabase, dbapi
from psycopg import sql
from psycopg.conninfo import make_conninfo

from candleworks.database.connection import describe, one_line
from candleworks.database.profiles import READER, session_parameters
from candleworks.database.queries import query
from candleworks.database.sqlstates import outage_of_state
from candleworks.errors import TerminalError, TransientError, UsageError

Values = Mapping[str, str | datetime | None]

MANY_ROWS = 200_000
# Compiling the statements took longer than running them. What functions return is kept in memory: a million candles
# take 1.7 s instead of 2.1.
_PROFILE = replace(READER, compiles=False)
_MEMORY = "SET work_mem = '256MB'"
_ONE_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
_INVALID_PARAMETER = "22023"


def read_table(dsn: str, name: str, values: Values) -> pa.Table:
    """Return the rows of a named query, in which these values are literals, in order of their first column, a time.

    A query that ends with _statement returns the statement that reads candles, in any order. UsageError where the
    database refuses a parameter, TransientError when it is unavailable.
    """
    with _transaction(dsn) as cursor:
        middle = _middle(cursor, name, values)
        if middle is None:
            return _fetch(cursor, name, values)
        snapshot = _first(cursor, query("arrow_snapshot"))
        with ThreadPoolExecutor(1) as beside:
            second = beside.submit(fetch_as_of, dsn, snapshot, name, {**values, "start": middle})
            first = _fetch(cursor, name, {**values, "stop": middle})
            return pa.concat_tables([first, second.result()])


def _middle(cursor: dbapi.Cursor, name: str, values: Values) -> datetime | None:
    """Return where the second half begins; None for few rows, and where nobody knows how many."""
    if name == "arrow_trades_with_quotes":
        return None
    quotes = name == "arrow_quotes" or values.get("price", "trade") != "trade"
    relation = "public.quote_candles_4h" if quotes else "public.candles_4h"
    if not _first(cursor, _statement("arrow_countable", {"relation": relation})):
        return None
    wanted = {"period": None, "zone": None, **values, "enough": str(MANY_ROWS)}
    literals = {key: sql.Literal(value) for key, value in wanted.items()}
    statement = sql.SQL(query("arrow_middle")).format(relation=sql.SQL(relation), **literals)
    middle: datetime | None = _first(cursor, statement.as_string())
    return middle


def fetch_as_of(dsn: str, snapshot: str, name: str, values: Values) -> pa.Table:
    """Return the rows of read_table() as another transaction sees them, in one piece."""
    with _transaction(dsn) as cursor:
        cursor.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)).as_string())
        return _fetch(cursor, name, values)


def _fetch(cursor: dbapi.Cursor, name: str, values: Values) -> pa.Table:
    statement = _statement(name, values)
    if name.endswith("_statement"):
        # Text of the server's own, in which all values are literals.
        rows = sql.SQL(_first(cursor, statement))
        statement = sql.SQL(query("arrow_candles")).format(statement=rows).as_string()
    cursor.execute(statement)
    return _in_order(cursor.fetch_arrow_table())


def _first(cursor: dbapi.Cursor, statement: str) -> Any:
    """Return the first value of the first row; None without rows."""
    cursor.execute(statement)
    row = cursor.fetchone()
    return row and row[0]


def _statement(name: str, values: Values) -> str:
    return sql.SQL(query(name)).format(**{key: sql.Literal(value) for key, value in values.items()}).as_string()


def _in_order(table: pa.Table) -> pa.Table:
    """Sort what is not sorted, in a third of the time that the server would take for all."""
    times = table.column(0).cast(pa.int64()).to_numpy()
    return table if np.all(times[1:] >= times[:-1]) else table.sort_by(table.column_names[0])


class _Kept:
    """What a connection closes in place of the database, which others share."""

    def close(self) -> None:
        pass


@contextmanager
def _transaction(dsn: str) -> Iterator[dbapi.Cursor]:
    """Begin a transaction that reads from one snapshot."""
    try:
        database = _database(make_conninfo("", **session_parameters(dsn, _PROFILE, "reader")))
        with (
            dbapi.Connection(cast(AdbcDatabase, _Kept()), AdbcConnection(database)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(_ONE_SNAPSHOT)
            cursor.execute(_MEMORY)
            yield cursor
    except adbc_driver_manager.Error as error:
        raise _explained(dsn, error) from None


@lru_cache(maxsize=16)
def _database(conninfo: str) -> AdbcDatabase:
    """Return the database without a connection; it knows the types, which takes 0.2 s to find out with 700 chunks."""
    database: AdbcDatabase = adbc_driver_postgresql.connect(conninfo)
    return database


def _explained(dsn: str, error: adbc_driver_manager.Error) -> Exception:
    """Take the server's sentence out of the driver's message, which has the place of the error besides."""
    said = re.search(r"ERROR: +(.*)", str(error))
    reason = said[1] if said else one_line(error)
    if error.sqlstate == _INVALID_PARAMETER:
        return UsageError(reason)
    if said is None and isinstance(error, adbc_driver_manager.OperationalError):
        return TransientError(
            f"The database {describe(dsn)} cannot be reached ({reason}): start it, or correct the dsn."
        )
    if outage := outage_of_state(error.sqlstate or ""):
        return TransientError(f"The database {describe(dsn)} {outage.what} ({reason}): {outage.advice}.")
    return TerminalError(f"The database {describe(dsn)} returned an error ({reason}): fix its cause.")
