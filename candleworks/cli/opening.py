"""How commands come to a database that is ready for them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from candleworks.candles.calendars import sync_calendars
from candleworks.errors import TransientError
from candleworks.settings import Settings
from candleworks.storage.connection import Connection, connect, database, transient_errors
from candleworks.storage.migrations import migrate

log = logging.getLogger(__name__)


@contextmanager
def prepared(settings: Settings, *, keep_running: bool = False) -> Iterator[str]:
    """Yield the connection string of the database in use, brought up to this version and this configuration."""
    with database(settings, keep_running=keep_running) as dsn:
        prepare(dsn, settings)
        yield dsn


@contextmanager
def prepared_or_later(settings: Settings) -> Iterator[tuple[str, Callable[[], object] | None]]:
    """Yield the connection string, and what prepares the database later when it is away now: ticks need not wait."""
    with database(settings) as dsn:
        try:
            prepare(dsn, settings)
        except TransientError as error:
            log.warning("%s Ticks are kept on disk until then.", error)
            yield dsn, partial(prepare, dsn, settings)
        else:
            yield dsn, None


@contextmanager
def migrated(settings: Settings, purpose: str) -> Iterator[Connection]:
    """Yield a connection to the prepared database; it is lost with one clear sentence."""
    with prepared(settings) as dsn, transient_errors(dsn), connect(dsn, f"candleworks {purpose}") as connection:
        yield connection


def prepare(dsn: str, settings: Settings, tell: Callable[[str], None] = log.info) -> list[str]:
    """Bring tables, views and calendars up to date; return one line for everything that was done.

    `tell` takes what is worth knowing while it goes on: tables that are adopted, which may take a while.
    """
    done = [f"applied {name}" for name in migrate(dsn, settings, tell)]
    with transient_errors(dsn), connect(dsn, "candleworks calendars") as connection:
        return done + [f"computed the sessions of {name}" for name in sync_calendars(connection, settings)]
