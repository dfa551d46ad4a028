"""A database for Prefect beside ours, on an external server."""

import logging

import psycopg
from psycopg import sql

from candleworks.database.connection import Connection, connect
from candleworks.database.profiles import ADMIN
from candleworks.database.queries import query

SUFFIX = "_prefect"

log = logging.getLogger(__name__)


def prefect_database(dsn: str) -> str | None:
    """Return the URL of the database `NAME_prefect`, which is created if it does not exist.

    None where the server lacks pg_trgm, which Prefect needs, or where our role must not create a database: Prefect then
    keeps its state in a file.
    """
    with connect(dsn, "prefect database", profile=ADMIN) as connection:
        row = connection.execute(query("prefect_database_state"), {"suffix": SUFFIX}).fetchone()
        name, exists, possible = row or ("", False, False)
        if not possible:
            return None
        if not exists:
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            except psycopg.errors.DuplicateDatabase:
                log.info("Another process created the database %s meanwhile.", name)
        return _address(connection, name)


def _address(connection: Connection, name: str) -> str:
    info = connection.info
    given = info.get_parameters()
    options = {"host": info.host} if info.host.startswith("/") else {}
    if mode := given.get("sslmode"):
        options["ssl"] = mode
    from sqlalchemy import URL  # noqa: PLC0415 - 0.5 s to import, and every command would pay them

    return URL.create(
        "postgresql+asyncpg",
        username=info.user,
        password=info.password or None,
        host=None if "host" in options else info.host,
        port=info.port,
        database=name,
        query=options,
    ).render_as_string(hide_password=False)
