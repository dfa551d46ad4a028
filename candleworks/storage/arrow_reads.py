"""Rows in bulk as Arrow tables, over ADBC, which parses binary COPY: a million in about a second."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import pyarrow as pa
from psycopg import sql
from psycopg.conninfo import make_conninfo

from candleworks.database.connection import describe, one_line
from candleworks.database.profiles import READER, session_parameters
from candleworks.database.queries import query
from candleworks.errors import TerminalError, TransientError, UsageError

# Compiling the statements took longer than running them. What functions return is kept in memory: a million candles
# take 1.7 s instead of 2.1.
_PROFILE = replace(READER, compiles=False)
_MEMORY = "SET work_mem = '256MB'"
_INVALID_PARAMETER = "22023"


def read_table(dsn: str, name: str, values: Mapping[str, str | datetime | None]) -> pa.Table:
    """Return the rows of a named query, in which these values are literals.

    UsageError where the database refuses a parameter, TransientError when it is unavailable.
    """
    statement = sql.SQL(query(name)).format(**{key: sql.Literal(value) for key, value in values.items()})
    conninfo = make_conninfo("", **session_parameters(dsn, _PROFILE, "reader"))
    try:
        with (
            adbc_driver_postgresql.dbapi.connect(conninfo) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(_MEMORY)
            cursor.execute(statement.as_string())
            return cursor.fetch_arrow_table()
    except adbc_driver_manager.Error as error:
        raise _explained(dsn, error) from None


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
    return TerminalError(f"The database {describe(dsn)} returned an error ({reason}): fix its cause.")
