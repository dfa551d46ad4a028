"""Opening the database for a command or a flow, and which of them may change its schema.

`migrate`, `up` and `ingest` may, the latter two unless storage.migrate is manual. All others refuse a database without
this program's schema; docs/decisions/0016-who-migrates.md.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal, NamedTuple

from candleworks.candles.calendars import sync_calendars
from candleworks.database.connection import Connection, connect, describe, transient_errors
from candleworks.database.migrations import count_migrations, is_empty, listed, migrate, require_schema
from candleworks.database.profiles import ADMIN, READER, WRITER
from candleworks.database.reader_role import set_up_reader
from candleworks.database.server import QUICK_STOP_SECONDS, database, has_database, revive_database
from candleworks.errors import CandleworksError, TerminalError, TransientError
from candleworks.processes import MAX_BACKOFF_SECONDS, stopped_within
from candleworks.settings import Settings
from candleworks.storage.tick_retention import prepare_partitions
from candleworks.threads import unless_stopped

POLL_SECONDS = 1.0
REVIVED = "The database server died and was restarted."

log = logging.getLogger(__name__)

# Where an empty database may be set up: nowhere, on the embedded server only, on any server.
Create = Literal["never", "embedded", "anywhere"]
# Takes one line about a change of the schema.
Report = Callable[[str], None]


@contextmanager
def reading(settings: Settings, purpose: str) -> Iterator[Connection]:
    """Yield a connection that only reads: no right to write is needed, and nothing is created."""
    require_database(settings)
    with database(settings) as dsn, transient_errors(dsn), connect(dsn, purpose, profile=READER) as connection:
        require_schema(connection)
        yield connection


@contextmanager
def prepared(settings: Settings, *, create: Create = "never", report: Report = log.info) -> Iterator[str]:
    """Yield the connection string of a database with the current schema and the configured calendars."""
    if create == "never":
        require_database(settings)
    with database(settings) as dsn:
        create_if_empty(dsn, settings, create, report)
        _require_and_sync(dsn, settings)
        yield dsn


@contextmanager
def writing(
    settings: Settings, purpose: str, *, create: Create = "never", report: Report = log.info
) -> Iterator[Connection]:
    """Yield a connection to a prepared database; TransientError when it is lost."""
    with (
        prepared(settings, create=create, report=report) as dsn,
        transient_errors(dsn),
        connect(dsn, purpose, profile=WRITER) as connection,
    ):
        yield connection


@contextmanager
def migrated(settings: Settings, report: Report = log.info) -> Iterator[str]:
    """Yield the connection string of a migrated database; sync() computes its calendars, when they are due.

    With storage.migrate manual the schema is only checked.
    """
    with database(settings, stop_seconds=QUICK_STOP_SECONDS) as dsn:
        migrate_or_require(dsn, settings, report)
        yield dsn


@contextmanager
def migrated_or_later(settings: Settings) -> Iterator[tuple[str, Callable[[], object] | None]]:
    """Do as migrated() and sync(); also yield a function that does so later if the database is away now, else None."""
    with database(settings, stop_seconds=QUICK_STOP_SECONDS) as dsn:
        try:
            _migrate_and_sync(dsn, settings)
        except TransientError as error:
            log.warning("%s Ticks are kept on disk until then.", error)
            yield dsn, partial(_migrate_and_sync, dsn, settings)
        else:
            yield dsn, None


def create_if_empty(dsn: str, settings: Settings, create: Create, report: Report) -> None:
    """Set up an empty database where `create` and storage.migrate allow it."""
    allowed = create == "anywhere" or (create == "embedded" and settings.dsn is None)
    if not allowed or settings.storage.migrate == "manual":
        return
    with transient_errors(dsn), connect(dsn, "schema", profile=READER) as connection:
        new = is_empty(connection)
    if new:
        prepare(dsn, settings, report)


def check_schema(dsn: str) -> None:
    """Raise TerminalError unless the database has this program's schema, TransientError when it is unavailable."""
    with transient_errors(dsn), connect(dsn, "schema", profile=READER) as connection:
        require_schema(connection)


class Prepared(NamedTuple):
    """The names of the migrations that were applied, and of the calendars that were computed."""

    migrations: list[str]
    calendars: list[str]


def prepare(dsn: str, settings: Settings, report: Report = log.info) -> Prepared:
    """Apply pending migrations and compute calendars; on the embedded server also create the dashboards' role."""
    return Prepared(_migrate(dsn, settings, report), sync(dsn, settings))


def sync(dsn: str, settings: Settings) -> list[str]:
    """Compute the calendars that are due, and return their names."""
    with transient_errors(dsn), connect(dsn, "calendars", profile=WRITER) as connection:
        return sync_calendars(connection, settings)


def migrate_or_require(dsn: str, settings: Settings, report: Report) -> None:
    """Apply pending migrations; with storage.migrate manual raise TerminalError unless the schema is current."""
    if settings.storage.migrate == "auto":
        _migrate(dsn, settings, report)
    else:
        check_schema(dsn)


def _migrate(dsn: str, settings: Settings, report: Report) -> list[str]:
    applied = migrate(dsn, settings, report)
    if applied:
        report(f"Applied {count_migrations(applied)} to {describe(dsn)}: {listed(applied)}.")
        with transient_errors(dsn), connect(dsn, "partitions", profile=WRITER) as connection:
            prepare_partitions(connection, settings)
    if applied and settings.dsn is None:
        with transient_errors(dsn), connect(dsn, "reader", profile=ADMIN) as connection:
            set_up_reader(connection)
    return applied


def _migrate_and_sync(dsn: str, settings: Settings) -> None:
    migrate_or_require(dsn, settings, log.info)
    sync(dsn, settings)


def _require_and_sync(dsn: str, settings: Settings) -> None:
    check_schema(dsn)
    sync(dsn, settings)


def require_database(settings: Settings) -> None:
    """Raise TerminalError where an embedded database would have to be created first."""
    if not has_database(settings):
        raise TerminalError(
            f"There is no database in {settings.home} yet: run `candleworks up` or `candleworks import FILE`, or set"
            " CANDLEWORKS_DSN."
        )


class Revival:
    """Revives a server with back-off; `problem` says why it cannot be started, null while it runs."""

    def __init__(self, settings: Settings, report: Callable[[str], object]) -> None:
        self._settings = settings
        self._report = report
        self._failures = 0
        self.problem: str | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Look every second until the stop; with an external server there is nothing to do."""
        while self._settings.dsn is None and not await stopped_within(stop, self._pause_seconds()):
            await self._look(stop)

    async def _look(self, stop: asyncio.Event) -> None:
        try:
            revived = await unless_stopped(stop, revive_database, self._settings)
        except (CandleworksError, OSError) as error:
            self._failures += 1
            self.problem = f"The database server died and cannot be started: {error}"
            return
        self._failures, self.problem = 0, None
        if revived:
            self._report(REVIVED)

    def _pause_seconds(self) -> float:
        return min(MAX_BACKOFF_SECONDS, POLL_SECONDS * 2.0**self._failures)


async def keep_database(settings: Settings, stop: asyncio.Event) -> None:
    """Revive the embedded server until the stop, and log it."""
    await Revival(settings, lambda sentence: log.warning("%s", sentence)).run(stop)
