"""A pool of connections for the web pages: short waits, bounded statements, and errors that say what to do."""

import contextlib
import logging
from collections.abc import Iterator

import psycopg

from candleworks.database.connection import (
    Connection,
    ConnectionPool,
    close_pool,
    describe,
    open_pool,
    transient_errors,
)
from candleworks.database.interruption import shut_down
from candleworks.database.profiles import WEB
from candleworks.errors import TerminalError, TransientError

MAX_CONNECTIONS = 8
MAX_WAIT_SECONDS = 2.0

_log = logging.getLogger(__name__)


class ReadPool:
    """Hands out connections. Raises TransientError while the database is unavailable, and recovers with it."""

    def __init__(self, pool: ConnectionPool, dsn: str) -> None:
        self._pool = pool
        self._dsn = dsn
        self._busy: set[Connection] = set()
        self._unavailable = False

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """Yield a connection; TerminalError where the database has no schema of candleworks."""
        try:
            with explained_reads(self._dsn, "candles"), self._pool.connection(MAX_WAIT_SECONDS) as connection:
                self._busy.add(connection)
                try:
                    yield connection
                finally:
                    self._busy.discard(connection)
        except TransientError as error:
            self._log_change(str(error))
            raise
        self._log_change(None)

    def interrupt(self) -> None:
        """Shut down the connections that wait for a result: their callers get TransientError at once."""
        for connection in list(self._busy):
            shut_down(connection)

    def _log_change(self, problem: str | None) -> None:
        """Log the loss and the return of the database once each, instead of the pool's line per attempt."""
        if problem and not self._unavailable:
            _log.warning("%s", problem)
        elif self._unavailable and not problem:
            _log.warning("The database is available again.")
        self._unavailable = problem is not None


@contextlib.contextmanager
def open_read_pool(dsn: str) -> Iterator[ReadPool]:
    """Yield a pool; the database need not be available yet."""
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    pool = open_pool(dsn, "serve", profile=WEB, max_size=MAX_CONNECTIONS)
    try:
        yield ReadPool(pool, dsn)
    finally:
        close_pool(pool)


@contextlib.contextmanager
def explained_reads(dsn: str, what: str) -> Iterator[None]:
    """Raise TransientError while the database cannot answer, and TerminalError where it has no `what`."""
    with transient_errors(dsn):
        try:
            yield
        except psycopg.errors.QueryCanceled:
            raise TransientError(
                f"The database {describe(dsn)} took longer than {WEB.statement_timeout_seconds} s to answer:"
                " ask for less, or try again later."
            ) from None
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction, psycopg.errors.InvalidSchemaName):
            raise TerminalError(
                f"The database {describe(dsn)} has no {what} of candleworks: run `candleworks migrate`."
            ) from None
