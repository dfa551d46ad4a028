"""How commands come to a connection."""

from collections.abc import Iterator
from contextlib import contextmanager

from candleworks.settings import Settings
from candleworks.storage.connection import Connection, connect, database, transient_errors
from candleworks.storage.migrations import migrate


@contextmanager
def migrated(settings: Settings, purpose: str) -> Iterator[Connection]:
    """Yield a connection to the database in use, brought up to this version; it is lost with one clear sentence."""
    with database(settings) as dsn:
        migrate(dsn, settings)
        with transient_errors(dsn), connect(dsn, f"candleworks {purpose}") as connection:
            yield connection
