"""Applies the numbered SQL files of `sql/`, each exactly once and whole.

Everything that is pending runs in one transaction behind an advisory lock, so that an interrupted run leaves nothing
half done and twenty runs at once do the work of one. docs/decisions/0004-migrations.md tells why this is not yoyo.
"""

import hashlib
import logging
from collections.abc import Callable
from typing import NamedTuple

from candleworks.database.adoption import adopt, set_aside
from candleworks.database.connection import Connection, connect, describe
from candleworks.database.engine import Engine, detect, engine_of, licence_lost
from candleworks.database.queries import sql_directory
from candleworks.errors import TerminalError
from candleworks.settings import Settings

LOCK_KEY = 7_164_801_233  # any number, the same in every version

_log = logging.getLogger(__name__)


class Migration(NamedTuple):
    """One file of `sql/common` or of an engine's directory."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrate(dsn: str, settings: Settings, tell: Callable[[str], None] = _log.info) -> list[str]:
    """Apply what is pending and return its names in order; harmless to repeat and to run at the same time.

    Old tables that are in the place of ours are adopted; `tell` is given sentences about that as it goes. Raises
    TerminalError when they cannot be, when the database does not hold Unicode, when an applied file was changed
    afterwards, or when the database was made by a newer version of this program or by one that it cannot upgrade.
    """
    with connect(dsn, "candleworks migrate", autocommit=False) as connection:
        check_encoding(connection)
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
        connection.execute(
            "CREATE TABLE IF NOT EXISTS public.candleworks_migrations ("
            " name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        pending = pending_migrations(connection, chosen_engine(connection))
        if not pending:
            return []
        old_tables = set_aside(connection, [migration.sql for migration in pending])
        for migration in pending:
            connection.execute(
                "SELECT set_config('candleworks.chunk_interval', %s, true)",
                [f"{settings.storage.chunk_interval_days} days"],
            )
            connection.execute(migration.sql)
            connection.execute(
                "INSERT INTO public.candleworks_migrations (name, sha256) VALUES (%s, %s)",
                [migration.name, migration.sha256],
            )
        for sentence in adopt(connection, settings, old_tables):
            tell(sentence)
        return [migration.name for migration in pending]


def has_migrations(connection: Connection) -> bool:
    """Whether any version was ever applied to the database."""
    row = connection.execute("SELECT to_regclass('public.candleworks_migrations')").fetchone()
    return row is not None and row[0] is not None


def pending_migrations(connection: Connection, engine: Engine) -> list[Migration]:
    """Return what is to be applied, in order; changes nothing. Raises TerminalError as migrate() does."""
    applied: dict[str, str] = {}
    if has_migrations(connection):
        applied = dict(connection.execute("SELECT name, sha256 FROM public.candleworks_migrations").fetchall())
    available = read_migrations(engine)
    _check(connection, applied, available)
    return [migration for migration in available if migration.name not in applied]


def read_migrations(engine: Engine) -> list[Migration]:
    """Return the files of `sql/common` and of the engine, by their number."""
    paths = [path for part in ("common", engine) for path in (sql_directory() / part).glob("*.sql")]
    return [
        Migration(f"{path.parent.name}/{path.stem}", path.read_text()) for path in sorted(paths, key=lambda p: p.name)
    ]


def check_encoding(connection: Connection) -> None:
    """Raise TerminalError unless the database holds all of Unicode: symbols and names may have any letter."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise TerminalError(
            f"Database {describe(connection.info.dsn)} has the encoding {encoding}, which cannot hold every name:"
            " create one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0, and name it in CANDLEWORKS_DSN."
        )


def chosen_engine(connection: Connection) -> Engine:
    """Return the engine once chosen, which a database keeps, else the best one."""
    if not has_migrations(connection):
        return detect(connection).engine
    try:
        engine = engine_of(connection)
    except LookupError:
        return detect(connection).engine
    if engine is Engine.TIMESCALE and (problem := licence_lost(connection)):
        raise TerminalError(problem)
    return engine


def _check(connection: Connection, applied: dict[str, str], available: list[Migration]) -> None:
    known = {migration.name: migration.sha256 for migration in available}
    unknown = sorted(applied.keys() - known)
    database = describe(connection.info.dsn)
    if unknown and known.keys() <= applied.keys():
        raise TerminalError(
            f"Database {database} is newer than this candleworks, which does not know the migration {unknown[0]}:"
            " upgrade candleworks."
        )
    if unknown:
        raise TerminalError(
            f"Database {database} was made by an earlier candleworks, whose schema this one cannot upgrade: save its"
            " ticks with `candleworks export` of that version, and import them into a new database."
        )
    for name, sha256 in applied.items():
        if known[name] != sha256:
            raise TerminalError(f"The migration {name} was changed after it was applied: restore sql/{name}.sql.")
