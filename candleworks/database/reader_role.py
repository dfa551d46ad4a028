"""The role that dashboards read with: it sees the public relations and can change nothing."""

from typing import NamedTuple

from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict

from candleworks.database.connection import Connection
from candleworks.errors import TerminalError

READER = "candleworks_reader"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Address(NamedTuple):
    """Where a database is, in the words of Grafana's data source; `host` is host:port or the directory of a socket."""

    host: str
    database: str
    sslmode: str

    @property
    def is_socket(self) -> bool:
        return self.host.startswith("/")


def address_of(dsn: str) -> Address:
    """Return the address in a connection string.

    Grafana knows no sslmode that tries: where none is demanded, only this machine is spoken to in the clear.
    """
    parts = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    host = parts.get("host", "localhost")
    database = parts.get("dbname") or parts.get("user", "")
    if host.startswith("/"):
        return Address(host, database, "disable")
    written = f"[{host}]" if ":" in host else host
    demanded = parts.get("sslmode", "prefer")
    tried = "disable" if host in LOOPBACK else "require"
    sslmode = tried if demanded in {"prefer", "allow"} else demanded
    return Address(f"{written}:{parts.get('port', 5432)}", database, sslmode)


def set_up_reader(connection: Connection, password: str | None = None) -> None:
    """Make the role, give it its rights in this database, and a password when one is given; harmless to repeat.

    Raises TerminalError when there is no such role and none can be made. The server never sees the password itself: it
    is hashed here.
    """
    row = connection.execute("SELECT candleworks.make_reader()").fetchone()
    if row and row[0]:
        raise TerminalError(row[0])
    if password is None:
        return
    hashed = connection.pgconn.encrypt_password(password.encode(), READER.encode()).decode()
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(READER), sql.Literal(hashed))
    try:
        connection.execute(statement)
    except errors.InsufficientPrivilege:
        raise TerminalError(
            f"The password of {READER} was not set, because {connection.info.user} may not alter that role:"
            f" let an administrator run ALTER ROLE {READER} LOGIN PASSWORD '...'."
        ) from None
