"""What a server says about itself: version, settings, and what others than candleworks do to our tables."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from psycopg.rows import class_row

from candleworks.database.connection import Connection
from candleworks.database.queries import query

OLDEST_SERVER = 150_000  # the form of server_version_num


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One row of pg_settings and pg_database. `connections` is how many may be open without the superuser's reserve.

    `timescaledb_version` is null where the extension was not created, `timescaledb_available` where it is not there.
    """

    version: str
    role: str
    is_superuser: bool
    now: datetime
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    encoding: str
    collation_changed: bool
    connections: int
    connections_used: int
    timescaledb_version: str | None
    timescaledb_available: str | None


class ForeignJob(NamedTuple):
    """A job of TimescaleDB on one of our relations, such as policy_retention."""

    number: int
    procedure: str
    relation: str


class ForeignDrop(NamedTuple):
    """Ticks of [start, stop) that others than candleworks dropped, in a number of chunks or partitions."""

    relation: str
    start: datetime
    stop: datetime
    parts: int


def is_too_old(connection: Connection) -> bool:
    """Whether the server is older than PostgreSQL 15; server_facts() would raise an error."""
    return connection.info.server_version < OLDEST_SERVER


def server_facts(connection: Connection) -> ServerFacts:
    """Return the facts; the right to connect suffices."""
    with connection.cursor(row_factory=class_row(ServerFacts)) as cursor:
        row = cursor.execute(query("server_facts")).fetchone()
    assert row is not None  # noqa: S101 - the current database has a row
    return row


def foreign_jobs(connection: Connection) -> list[ForeignJob]:
    """Return the jobs on our relations; none on plain PostgreSQL."""
    return [ForeignJob(*row) for row in connection.execute(query("foreign_jobs")).fetchall()]


def foreign_drops(connection: Connection) -> list[ForeignDrop]:
    """Return what others than candleworks have dropped, by table of ticks."""
    return [ForeignDrop(*row) for row in connection.execute(query("foreign_drops")).fetchall()]
