"""Connection strings, read in one place, which refuses those that may have cut a password in two.

The driver ends the user's part of a URL at the first `/` or `@`: what follows it in a password that is not encoded
becomes a host, a port or a database, and would be printed as its name.
"""

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict

from candleworks.errors import ConfigurationError

_SCHEME = re.compile(r"postgres(?:ql)?://")
_PORTS = re.compile(r"[0-9,]*")
_HOSTS = re.compile(r"[^@'\"\s]*|/.*")  # the directory of a socket may have any name


def read_connection_string(dsn: str) -> dict[str, str]:
    """Return the parameters of a connection string.

    Raises ConfigurationError for an invalid one, without a part of it.
    """
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    except (psycopg.ProgrammingError, ValueError):
        raise _invalid() from None
    if not (_is_whole(dsn) and _PORTS.fullmatch(parts.get("port", "")) and _HOSTS.fullmatch(parts.get("host", ""))):
        raise _invalid()
    return parts


def has_password(dsn: str) -> bool:
    return "password" in read_connection_string(dsn)


def _is_whole(dsn: str) -> bool:
    """Whether a URL has at most one @, which ends the user's part; others belong to a password, or are encoded."""
    scheme = _SCHEME.match(dsn)
    if scheme is None:
        return "://" not in dsn
    user, at, rest = dsn[scheme.end() :].partition("@")
    return not at or not ("/" in user or "@" in rest)


def _invalid() -> ConfigurationError:
    """The driver's message is left out: it quotes parts of the password."""
    return ConfigurationError(
        "CANDLEWORKS_DSN is not a valid connection string: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with"
        " characters such as @ / % and spaces in the password percent-encoded (%40 %2F %25 %20), or leave the password"
        " out and set PGPASSWORD."
    )
