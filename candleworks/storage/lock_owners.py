"""Which feeds are being streamed into this database, told by the locks that their streams hold."""

from collections.abc import Sequence
from typing import NamedTuple

from candleworks.database.connection import Connection
from candleworks.database.queries import query


class Holders(NamedTuple):
    """`database` identifies the database wherever it is asked from; `held` are the feeds that somebody streams."""

    database: str
    held: frozenset[str]


def read_holders(connection: Connection, feeds: Sequence[str]) -> Holders:
    """Look which of `feeds` are held at this moment."""
    row = connection.execute(query("lock_owners"), {"feeds": list(feeds)}).fetchone()
    database, held = row or ("", [])
    return Holders(database, frozenset(held))
