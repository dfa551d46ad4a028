"""How commands come to a database that is ready for them, and which of them may change its schema.

`migrate`, `up` and `ingest` do, the latter two unless storage.migrate is manual. All others refuse a database that does
not have the schema of this program; docs/decisions/0016-who-migrates.md.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal, NamedTuple

from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection, connect, describe, transient_errors
from candleworks.database.migrations import count_migrations, is_empty, listed, migrate, require_schema
from candleworks.database.profiles import ADMIN, READER, WRITER
from candleworks.database.reader_role import set_up_reader
from candleworks.database.server import database, has_database
from candleworks.errors import TerminalError, TransientError
from candleworks.settings import Settings

log = logging.getLogger(__name__)

# Where a command may set up a database in which there is nothing yet: nowhere, on the embedded server, anywhere.
Create = Literal["never", "embedded", "anywhere"]


@contextmanager
def reading(settings: Settings, purpose: str) -> Iterator[Connection]:
    """Yield a connection for what only reads: the right to read suffices, and nothing is made or written."""
    require_database(settings)
    with database(settings) as dsn, transient_errors(dsn), connect(dsn, purpose, profile=READER) as connection:
        require_schema(connection)
        yield connection


@contextmanager
def prepared(settings: Settings, *, create: Create = "never") -> Iterator[str]:
    """Yield the connection string of the database in use for what writes; its calendars follow the configuration."""
    if create == "never":
        require_database(settings)
    with database(settings) as dsn:
        create_if_empty(dsn, settings, create, _to_stderr)
        _require_and_sync(dsn, settings)
        yield dsn


@contextmanager
def migrated(settings: Settings, purpose: str, *, create: Create = "never") -> Iterator[Connection]:
    """Yield a connection to the prepared database; it is lost with one clear sentence."""
    with (
        prepared(settings, create=create) as dsn,
        transient_errors(dsn),
        connect(dsn, purpose, profile=WRITER) as connection,
    ):
        yield connection


@contextmanager
def migrating(settings: Settings) -> Iterator[str]:
    """Yield the connection string; the schema is brought up to date, or required where storage.migrate is manual."""
    with database(settings) as dsn:
        _follow(dsn, settings, print)
        yield dsn


@contextmanager
def prepared_or_later(settings: Settings) -> Iterator[tuple[str, Callable[[], object] | None]]:
    """Do as migrating(); yield besides what prepares the database later when it is away now: ticks need not wait."""
    with database(settings) as dsn:
        try:
            _follow(dsn, settings)
        except TransientError as error:
            log.warning("%s Ticks are kept on disk until then.", error)
            yield dsn, partial(_follow, dsn, settings)
        else:
            yield dsn, None


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201


def create_if_empty(dsn: str, settings: Settings, create: Create, tell: Callable[[str], None]) -> None:
    """Set the database up where there is nothing in it yet, and `create` and storage.migrate let us."""
    allowed = create == "anywhere" or (create == "embedded" and settings.dsn is None)
    if not allowed or settings.storage.migrate == "manual":
        return
    with transient_errors(dsn), connect(dsn, "schema", profile=READER) as connection:
        new = is_empty(connection)
    if new:
        prepare(dsn, settings, tell)


def check_schema(dsn: str) -> None:
    """Raise TerminalError unless the database has the schema of this program, TransientError when it is away."""
    with transient_errors(dsn), connect(dsn, "schema", profile=READER) as connection:
        require_schema(connection)


class Prepared(NamedTuple):
    """The names of the migrations that were applied, and of the calendars that were computed."""

    migrations: list[str]
    calendars: list[str]


def prepare(dsn: str, settings: Settings, tell: Callable[[str], None] = log.info) -> Prepared:
    """Bring tables, views and calendars up to date.

    `tell` takes a line about changes of the schema, and what is worth knowing while they go on: tables that are
    adopted take a while. On the embedded server, which is ours, the role of dashboards is made as well.
    """
    applied = migrate(dsn, settings, tell)
    if applied:
        tell(f"Applied {count_migrations(applied)} to {describe(dsn)}: {listed(applied)}.")
    with transient_errors(dsn), connect(dsn, "calendars", profile=ADMIN) as connection:
        if applied and settings.dsn is None:
            set_up_reader(connection)
        computed = sync_calendars(connection, settings)
    return Prepared(applied, computed)


def _follow(dsn: str, settings: Settings, tell: Callable[[str], None] = log.info) -> None:
    if settings.storage.migrate == "auto":
        prepare(dsn, settings, tell)
    else:
        _require_and_sync(dsn, settings)


def _require_and_sync(dsn: str, settings: Settings) -> None:
    with transient_errors(dsn), connect(dsn, "calendars", profile=WRITER) as connection:
        require_schema(connection)
        sync_calendars(connection, settings)


def require_database(settings: Settings) -> None:
    if not has_database(settings):
        raise TerminalError(
            f"There is no database in {settings.home} yet: run `candleworks up` or `candleworks import FILE`, or set"
            " CANDLEWORKS_DSN."
        )
