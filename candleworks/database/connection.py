"""Connections to the one database in use, embedded or somebody's own."""

import contextlib
import logging
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool as _ConnectionPool

from candleworks.errors import ConfigurationError, TerminalError, TransientError
from candleworks.processes import stop_signals
from candleworks.settings import Settings

Connection = psycopg.Connection[tuple[Any, ...]]
ConnectionPool = _ConnectionPool[Connection]
CONNECT_TIMEOUT_SECONDS = 10
# By default a pool waits ever longer between attempts, up to minutes after the database is back. When it gives up
# early, the next request starts a new attempt.
RECONNECT_SECONDS = 1.0
# With the default of 4 the planner reads all symbols of a day of candles in order of time: 5.4 ms instead of 0.4 ms.
_SESSION = "-c TimeZone=UTC -c random_page_cost=1.1"

# A COPY that is cut off warns of the connection's loss, which is raised besides; the pool's own logger is another one.
logging.getLogger("psycopg").addFilter(lambda record: "error ignored" not in str(record.msg))


@contextlib.contextmanager
def database(settings: Settings, *, keep_running: bool = False) -> Iterator[str]:
    """Yield the connection string in use; an embedded server runs at least until the context ends.

    `keep_running` leaves an embedded server running afterwards. Errors of the database leave the context as
    TransientError or TerminalError.
    """
    with contextlib.ExitStack() as stack:
        if settings.dsn is not None:
            dsn = settings.dsn.get_secret_value()
        else:
            dsn = stack.enter_context(_embedded(settings, keep_running=keep_running))
        try:
            with transient_errors(dsn):
                yield dsn
        except psycopg.Error as error:
            raise TerminalError(
                f"The database {describe(dsn)} refuses ({_one_line(error)}): put that right, or see --debug."
            ) from error


@contextlib.contextmanager
def _embedded(settings: Settings, *, keep_running: bool) -> Iterator[str]:
    from candleworks.database.embedded import EmbeddedServer  # noqa: PLC0415 - not needed with a server of one's own

    with contextlib.ExitStack() as stack:
        with _signals_held():
            server = EmbeddedServer(settings.home, settings.timescaledb)
            dsn = stack.enter_context(server.use(keep_running=keep_running))
        yield dsn


def has_database(settings: Settings) -> bool:
    """Whether there is a database to open without making one: one of their own, or an embedded one made before."""
    from candleworks.database.embedded import EmbeddedServer  # noqa: PLC0415 - not needed with a server of one's own

    return settings.dsn is not None or EmbeddedServer(settings.home).data.is_dir()


def revive_database(settings: Settings) -> bool:
    """Start an embedded server again that died while it is in use; return whether that was so.

    TransientError when it takes longer than a minute, TerminalError when it cannot start.
    """
    if settings.dsn is not None:
        return False
    from candleworks.database.embedded import EmbeddedServer  # noqa: PLC0415 - not needed with a server of one's own

    return EmbeddedServer(settings.home, settings.timescaledb).revive()


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Let stop signals wait.

    A server that is interrupted while it starts would be left running without a user, or with half a data directory.
    """
    if threading.current_thread() is not threading.main_thread():  # no other thread is interrupted by signals
        yield
        return
    held: list[int] = []
    handlers = {number: signal.getsignal(number) for number in stop_signals()}
    for number in handlers:
        signal.signal(number, lambda received, _: held.append(received))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for received in held:
            signal.raise_signal(received)


def connect(dsn: str, application: str = "candleworks", *, autocommit: bool = True) -> Connection:
    """Open a connection in UTC; TransientError when the server does not answer, ConfigurationError for a bad DSN."""
    try:
        return psycopg.connect(_with_defaults(dsn, application), autocommit=autocommit)
    except psycopg.ProgrammingError:
        raise _malformed() from None
    except psycopg.OperationalError as error:
        if "@" in str(conninfo_to_dict(dsn).get("host")):
            raise _malformed() from None
        raise _unreachable(dsn, error) from None


def _malformed() -> ConfigurationError:
    """The driver's words are left out: they quote parts of the password."""
    return ConfigurationError(
        "CANDLEWORKS_DSN is no connection string: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with characters"
        " such as @ / % and spaces in the password percent-encoded (%40 %2F %25 %20)."
    )


@contextlib.contextmanager
def transient_errors(dsn: str) -> Iterator[None]:
    """Turn what another try may mend, such as a lost connection, into a TransientError; other errors pass."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise _unreachable(dsn, error) from error


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the database is away or overtaxed, whatever was to be stored."""
    return isinstance(error, TransientError | psycopg.OperationalError | psycopg.InterfaceError)


def _unreachable(dsn: str, error: Exception) -> TransientError:
    if isinstance(error, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure):
        return TransientError(
            f"Another writer of the database {describe(dsn)} was in the way ({_one_line(error)}): try again."
        )
    return TransientError(
        f"The database {describe(dsn)} cannot be reached ({_one_line(error)}): start it, or correct CANDLEWORKS_DSN."
    )


def open_pool(dsn: str, application: str, *, max_size: int) -> ConnectionPool:
    """Open a pool that checks a connection before it hands it out."""
    return ConnectionPool(
        _with_defaults(dsn, application),
        min_size=1,
        max_size=max_size,
        kwargs={"autocommit": True},
        check=ConnectionPool.check_connection,
        reconnect_timeout=RECONNECT_SECONDS,
        open=True,
    )


def describe(dsn: str) -> str:
    """Name the server and database without the password."""
    parts = conninfo_to_dict(dsn)
    database = parts.get("dbname") or parts.get("user") or "the default"
    return f"{database} on {parts.get('host', 'localhost')}:{parts.get('port', 5432)}"


def _with_defaults(dsn: str, application: str) -> str:
    given = conninfo_to_dict(dsn)
    options = f"{given.get('options') or ''} {_SESSION}".strip()
    timeout = given.get("connect_timeout") or CONNECT_TIMEOUT_SECONDS
    # A server that cannot convert texts, as with SQL_ASCII, would otherwise decide how they are encoded.
    return make_conninfo(
        dsn, options=options, connect_timeout=timeout, application_name=application, client_encoding="UTF8"
    )


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()
