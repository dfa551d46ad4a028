"""The database in use, on the embedded server or the one that CANDLEWORKS_DSN names, and Prefect's beside it."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from typing import NamedTuple

import psycopg
from psycopg import sql

from candleworks.database.connection import Connection, connect, database_errors, transient_errors
from candleworks.database.connection_string import read_connection_string
from candleworks.database.profiles import ADMIN
from candleworks.database.queries import query
from candleworks.errors import TerminalError
from candleworks.processes import stop_signals
from candleworks.settings import Settings

PREFECT_SUFFIX = "_prefect"
# How long an embedded server may take to stop before it is killed. That is safe: its next start recovers, which takes
# long after much was written.
PATIENT_STOP_SECONDS = 60.0
QUICK_STOP_SECONDS = 1.0  # of what ends within ten seconds whatever happens

log = logging.getLogger(__name__)


@contextlib.contextmanager
def database(
    settings: Settings, *, keep_running: bool = False, stop_seconds: float = PATIENT_STOP_SECONDS
) -> Iterator[str]:
    """Yield the connection string in use; an embedded server runs at least until the context ends.

    `keep_running` leaves an embedded server running afterwards; otherwise it is killed if it has not stopped after
    `stop_seconds`. Errors of the database are raised as TransientError or TerminalError, an invalid connection string
    as ConfigurationError.
    """
    with contextlib.ExitStack() as stack:
        if settings.dsn is not None:
            dsn = settings.dsn.get_secret_value()
            read_connection_string(dsn)
        else:
            dsn = stack.enter_context(_embedded(settings, stop_seconds, keep_running=keep_running))
        with database_errors(dsn):
            yield dsn


def dsn_of(settings: Settings) -> str:
    """Return the connection string in use, whether the server runs or not."""
    if settings.dsn is not None:
        return settings.dsn.get_secret_value()
    from candleworks.database.embedded import EmbeddedServer  # noqa: PLC0415 - not needed with an external server

    return EmbeddedServer(settings.home).dsn


@contextlib.contextmanager
def _embedded(settings: Settings, stop_seconds: float, *, keep_running: bool = False) -> Iterator[str]:
    from candleworks.database.embedded import EmbeddedServer  # noqa: PLC0415 - not needed with an external server

    with contextlib.ExitStack() as stack:
        with _deferred_signals():
            server = EmbeddedServer(settings.home, settings.timescaledb, settings.postgres)
            dsn = stack.enter_context(server.use(keep_running=keep_running, stop_seconds=stop_seconds))
        yield dsn


def has_database(settings: Settings) -> bool:
    """Whether there is a database to open without creating one: an external one, or an existing embedded one."""
    from candleworks.database.embedded import EmbeddedServer  # noqa: PLC0415 - not needed with an external server

    return settings.dsn is not None or EmbeddedServer(settings.home).data.is_dir()


def revive_database(settings: Settings) -> bool:
    """Restart an embedded server that crashed while in use; return whether it had.

    TransientError when it takes longer than a minute, TerminalError when it cannot start.
    """
    if settings.dsn is not None:
        return False
    from candleworks.database.embedded import EmbeddedServer  # noqa: PLC0415 - not needed with an external server

    return EmbeddedServer(settings.home, settings.timescaledb, settings.postgres).revive()


class PrefectDatabase(NamedTuple):
    """The SQLAlchemy URL of Prefect's database, and the settings that open or revive the server that it is on."""

    url: str
    server: Settings


@contextlib.contextmanager
def prefect_database(settings: Settings, dsn: str) -> Iterator[PrefectDatabase]:
    """Yield the database `NAME_prefect` beside ours, created if it does not exist.

    Where the server at `dsn` lacks pg_trgm, which Prefect needs, or our role must not create a database there, it is on
    an embedded server, which runs at least until the context ends.
    """
    with contextlib.ExitStack() as stack:
        url = _prefect_url(dsn)
        if url is None and settings.dsn is not None:
            settings = settings.model_copy(update={"dsn": None, "timescaledb": None})
            url = _prefect_url(stack.enter_context(_embedded(settings, QUICK_STOP_SECONDS)))
        if url is None:
            raise TerminalError(
                f"Prefect needs the extension pg_trgm, which {settings.postgres} lacks: install PostgreSQL's contrib"
                " modules there, or unset CANDLEWORKS_POSTGRES."
            )
        yield PrefectDatabase(url, settings)


def _prefect_url(dsn: str) -> str | None:
    with transient_errors(dsn), connect(dsn, "prefect database", profile=ADMIN) as connection:
        row = connection.execute(query("prefect_database_state"), {"suffix": PREFECT_SUFFIX}).fetchone()
        name, exists, possible = row or ("", False, False)
        if not possible:
            return None
        if not exists:
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            except psycopg.errors.DuplicateDatabase:
                log.info("Another process created the database %s meanwhile.", name)
        return _sqlalchemy_address(connection, name)


def _sqlalchemy_address(connection: Connection, name: str) -> str:
    info = connection.info
    given = info.get_parameters()
    on_socket = info.host.startswith("/")
    options = {"host": info.host, "port": str(info.port)} if on_socket else {}
    if mode := given.get("sslmode"):
        options["ssl"] = mode
    from sqlalchemy import URL  # noqa: PLC0415 - 0.5 s to import, and every command would pay them

    return URL.create(
        "postgresql+asyncpg",
        username=info.user,
        password=info.password or None,
        host=None if on_socket else info.host,
        port=None if on_socket else info.port,
        database=name,
        query=options,
    ).render_as_string(hide_password=False)


@contextlib.contextmanager
def _deferred_signals() -> Iterator[None]:
    """Defer stop signals.

    A server that is interrupted while it starts would be left running unused, or with an incomplete data directory.
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
