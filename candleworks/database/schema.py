"""Whether a database has the schema of this program, and what `migrate` would do to it. Nothing here changes it."""

from typing import NamedTuple

from psycopg import sql

from candleworks.database.adoption import adoptable
from candleworks.database.connection import Connection, connect, describe
from candleworks.database.engine import engine_of
from candleworks.database.migrations import (
    check_encoding,
    chosen_engine,
    has_migrations,
    pending_migrations,
)
from candleworks.database.profiles import ADMIN
from candleworks.database.queries import query
from candleworks.errors import TerminalError
from candleworks.wording import counted

SHOWN_NAMES = 5


class Plan(NamedTuple):
    """What `migrate` would do: the files that it would apply, and the rows of each old table that it would adopt."""

    pending: list[str]
    adopted: dict[str, int]


def require_schema(connection: Connection) -> None:
    """Raise TerminalError, which says what to run, unless the schema is that of this program; only reads."""
    database = describe(connection.info.dsn)
    if not has_migrations(connection):
        raise TerminalError(f"Database {database} has no candleworks schema: run `candleworks migrate`.")
    if pending := [migration.name for migration in pending_migrations(connection, engine_of(connection))]:
        raise TerminalError(
            f"Database {database} is older than this candleworks, {count_migrations(pending)}"
            f" wait{'s' if len(pending) == 1 else ''} ({listed(pending)}): run `candleworks migrate`."
        )


def is_empty(connection: Connection) -> bool:
    """Whether nobody has made anything in the database yet."""
    row = connection.execute(query("database_is_empty")).fetchone()
    return row is not None and bool(row[0])


def plan(dsn: str) -> Plan:
    """Find out what `migrate` would do; raises TerminalError where it would refuse."""
    with connect(dsn, "migrate --dry-run", profile=ADMIN) as connection:
        check_encoding(connection)
        engine = chosen_engine(connection)
        with connection.transaction():
            connection.execute("SET TRANSACTION READ ONLY")
            pending = pending_migrations(connection, engine)
            tables = adoptable(connection, [migration.sql for migration in pending])
            adopted = {table: _count_rows(connection, table) for table in sorted(tables, reverse=True)}
    return Plan([migration.name for migration in pending], adopted)


def count_migrations(names: list[str]) -> str:
    return counted(len(names), "migration")


def listed(names: list[str]) -> str:
    """Name all of them where they are few, else the first and the last one."""
    return ", ".join(names) if len(names) <= SHOWN_NAMES else f"{names[0]} to {names[-1]}"


def _count_rows(connection: Connection, table: str) -> int:
    statement = sql.SQL(query("count_rows")).format(table=sql.Identifier(table))
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0
