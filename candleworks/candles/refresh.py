"""Brings stored candles up to date with their ticks."""

from collections import Counter

from candleworks.storage.candles import refresh_once
from candleworks.storage.connection import Connection


def refresh(connection: Connection) -> Counter[str]:
    """Refresh until nothing is noted as changed; return the number of changed candles per level.

    Each step is a transaction of its own, so an interrupted refresh keeps what it has done.
    """
    changed: Counter[str] = Counter()
    while step := refresh_once(connection):
        changed.update(step)
    return changed
