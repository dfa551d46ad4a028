"""Candles as the database keeps them."""

from candleworks.storage.connection import Connection
from candleworks.storage.queries import query


def refresh_once(connection: Connection) -> dict[str, int]:
    """Bring a bounded number of changed minutes up to date.

    Returns how many candles changed per level, empty when no minute was due.
    """
    return dict(connection.execute(query("refresh_candles")).fetchall())
