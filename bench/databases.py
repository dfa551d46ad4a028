"""One embedded server for a run, and a fresh database on it for each measurement."""

import contextlib
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

from candleworks.database.connection import Connection, connect
from candleworks.database.embedded import EmbeddedServer
from candleworks.database.migrations import migrate
from candleworks.settings import load_settings

_numbers = itertools.count()


class Databases:
    """Hands out empty databases; the server's settings are those that candleworks ships."""

    def __init__(self, server_dsn: str, directory: Path) -> None:
        self._server_dsn = server_dsn
        self.directory = directory

    @contextlib.contextmanager
    def fresh(self, *, migrated: bool) -> Iterator[str]:
        """Yield the connection string of an empty database; `migrated` gives it candleworks' tables.

        The checkpoint keeps the writing back of what ran before out of what runs next.
        """
        name = f"bench_{next(_numbers)}"
        dsn = self._server_dsn.replace("/candleworks?", f"/{name}?")
        with connect(self._server_dsn, "bench") as admin:
            admin.execute(f"CREATE DATABASE {name}")
            if migrated:
                migrate(dsn, load_settings({}))
            admin.execute("CHECKPOINT")
            try:
                yield dsn
            finally:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def running_databases() -> Iterator[Databases]:
    """Start a server in a temporary directory that goes away with it."""
    with tempfile.TemporaryDirectory(prefix="candleworks-bench-") as path:
        directory = Path(path)
        with EmbeddedServer(directory / "home").use() as dsn:
            yield Databases(dsn, directory)


def single(connection: Connection, sql: str) -> int:
    """Return the one number that a query yields."""
    row = connection.execute(sql).fetchone()
    return int(row[0] or 0) if row else 0
