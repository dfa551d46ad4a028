"""The role that dashboards read with: it can read the public relations, and change nothing."""

from typing import NamedTuple

from psycopg import errors, sql

from candleworks.database.connection import Connection
from candleworks.database.connection_string import read_connection_string
from candleworks.database.queries import query
from candleworks.errors import TerminalError

READER = "candleworks_reader"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class DataSourceAddress(NamedTuple):
    """A database as Grafana's data source names it; `host` is host:port, or the directory of a socket."""

    host: str
    database: str
    sslmode: str

    @property
    def is_socket(self) -> bool:
        return self.host.startswith("/")


def address_of(dsn: str) -> DataSourceAddress:
    """Return the address in a connection string; ConfigurationError for an invalid one.

    Grafana has no sslmode "prefer": unless one is required, only connections to this machine are not encrypted.
    """
    parts = read_connection_string(dsn)
    host = parts.get("host", "localhost")
    database = parts.get("dbname") or parts.get("user", "")
    if host.startswith("/"):
        return DataSourceAddress(host, database, "disable")
    written = f"[{host}]" if ":" in host else host
    demanded = parts.get("sslmode", "prefer")
    tried = "disable" if host in LOOPBACK else "require"
    sslmode = tried if demanded in {"prefer", "allow"} else demanded
    return DataSourceAddress(f"{written}:{parts.get('port', 5432)}", database, sslmode)


def save_page_url(connection: Connection, url: str) -> None:
    """Store where the chart page is, which dashboards link to."""
    connection.execute("SELECT candleworks.set_page_address(%s)", [url])


def set_up_reader(connection: Connection, password: str | None = None) -> None:
    """Create the role, grant it its privileges in this database, and set its password if given; idempotent.

    A superuser also takes from PUBLIC what the role must not do, such as taking advisory locks. Raises TerminalError
    when the role does not exist and cannot be created. The password is hashed on the client.
    """
    row = connection.execute("SELECT candleworks.make_reader()").fetchone()
    if row and row[0]:
        raise TerminalError(row[0])
    connection.execute(query("restrict_reader"))
    if password is None:
        return
    hashed = connection.pgconn.encrypt_password(password.encode(), READER.encode()).decode()
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(READER), sql.Literal(hashed))
    try:
        connection.execute(statement)
    except errors.InsufficientPrivilege:
        raise TerminalError(
            f"Permission denied to set the password of {READER} as {connection.info.user}:"
            f" have an administrator run ALTER ROLE {READER} LOGIN PASSWORD '...'."
        ) from None
