"""Opens connections, each by a profile, and turns the database's errors into ours. Nothing else opens any."""

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool as _ConnectionPool

from candleworks.database.connection_string import read_connection_string
from candleworks.database.profiles import WRITER, Profile, session_parameters
from candleworks.database.sqlstates import AWAY, Outage, outage_of
from candleworks.errors import TerminalError, TransientError

Connection = psycopg.Connection[tuple[Any, ...]]
ConnectionPool = _ConnectionPool[Connection]
# By default a pool waits ever longer between attempts, up to minutes after the database is back. When it gives up
# early, the next request starts a new attempt.
RECONNECT_SECONDS = 1.0
CLOSE_SECONDS = 0.2  # how long each thread of a pool that is closed may take to end

# A COPY that is cut off warns of the connection's loss, which is raised besides; the pool's own logger is another one.
logging.getLogger("psycopg").addFilter(lambda record: "error ignored" not in str(record.msg))
logging.getLogger("psycopg.pool").addFilter(lambda record: "couldn't stop thread" not in str(record.msg))


def connect(dsn: str, purpose: str | None = None, *, profile: Profile = WRITER, autocommit: bool = True) -> Connection:
    """Open a connection, named "candleworks PURPOSE" in pg_stat_activity.

    TransientError when the server does not answer, ConfigurationError for an invalid connection string.
    """
    try:
        parameters = make_conninfo("", **session_parameters(dsn, profile, purpose))
        return psycopg.connect(parameters, autocommit=autocommit)
    except psycopg.OperationalError as error:
        raise _transient(dsn, AWAY, error) from None


def open_pool(dsn: str, purpose: str, *, profile: Profile, max_size: int) -> ConnectionPool:
    """Open a pool that checks a connection before it hands it out."""
    return ConnectionPool(
        make_conninfo("", **session_parameters(dsn, profile, purpose)),
        min_size=1,
        max_size=max_size,
        kwargs={"autocommit": True},
        check=ConnectionPool.check_connection,
        reconnect_timeout=RECONNECT_SECONDS,
        open=True,
    )


def close_pool(pool: ConnectionPool) -> None:
    """Close a pool; a thread of it that is connecting to a server that does not answer is left behind."""
    pool.close(timeout=CLOSE_SECONDS)


def sqlalchemy_url(dsn: str, profile: Profile, purpose: str) -> str:
    """Return the address of the database for SQLAlchemy, whose sessions then have the same profile."""
    from sqlalchemy import URL  # noqa: PLC0415 - 0.2 s, and only checks need it

    parameters = session_parameters(dsn, profile, purpose)
    user, password, database = (parameters.pop(key, None) for key in ("user", "password", "dbname"))
    return URL.create(
        "postgresql+psycopg", username=user, password=password, database=database, query=parameters
    ).render_as_string(hide_password=False)


@contextlib.contextmanager
def transient_errors(dsn: str) -> Iterator[None]:
    """Raise TransientError for errors that a retry may cure, such as a lost connection; others pass."""
    try:
        yield
    except psycopg.Error as error:
        if outage := outage_of(error):
            raise _transient(dsn, outage, error) from error
        raise


@contextlib.contextmanager
def database_errors(dsn: str) -> Iterator[None]:
    """Raise TransientError for errors of the database that a retry may cure, and TerminalError for others."""
    try:
        with transient_errors(dsn):
            yield
    except psycopg.Error as error:
        raise TerminalError(
            f"The database {describe(dsn)} returned an error ({one_line(error)}): fix its cause, or see --debug."
        ) from error


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the database is unreachable or overloaded, whatever was to be stored."""
    return isinstance(error, TransientError) or outage_of(error) is not None


def _transient(dsn: str, outage: Outage, error: Exception) -> TransientError:
    return TransientError(f"The database {describe(dsn)} {outage.what} ({one_line(error)}): {outage.advice}.")


def describe(dsn: str) -> str:
    """Name the server and database without the password; ConfigurationError for an invalid connection string."""
    parts = read_connection_string(dsn)
    database = parts.get("dbname") or parts.get("user") or "the default"
    return f"{database} on {parts.get('host', 'localhost')}:{parts.get('port', 5432)}"


def one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()
