"""Feeds that a person has stopped and nobody has started again."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg.rows import args_row

from candleworks.database.connection import Connection
from candleworks.database.queries import query


class StoppedFeed(NamedTuple):
    """`reason` says who or what stopped it, such as "cancelled in Prefect"."""

    feed: str
    stopped_at: datetime
    reason: str


class Stops(NamedTuple):
    """The stopped feeds in the order of their names; `everything` when no other feed has symbols."""

    feeds: list[StoppedFeed]
    everything: bool


def read_stops(connection: Connection) -> Stops:
    """Read which feeds a person has stopped."""
    with connection.cursor(row_factory=args_row(StoppedFeed)) as cursor:
        feeds = cursor.execute(query("stopped_feeds")).fetchall()
    row = connection.execute(query("feeds_not_stopped")).fetchone()
    return Stops(feeds, bool(feeds) and row == (0,))


def confirm_stops(connection: Connection, feeds: Sequence[str], reason: str) -> None:
    """Call the stops of these feeds deliberate that happened just now together with the process that ran them."""
    connection.execute(query("confirm_stops"), {"feeds": list(feeds), "reason": reason})
