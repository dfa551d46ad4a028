"""The quarantine: ticks that were refused, kept as they came."""

from collections.abc import Sequence

from candleworks.database.connection import Connection
from candleworks.database.queries import query
from candleworks.model.trades import Rejection, moment_of


def quarantine(connection: Connection, feed: str, rejections: Sequence[Rejection], *, once: bool = False) -> None:
    """Keep refused ticks with their reasons; NUL characters, which text cannot hold, become U+FFFD.

    `once` leaves out what is kept of this feed already.
    """
    if rejections:
        connection.execute(
            query("reject_ticks_once" if once else "reject_ticks"),
            {
                "feed": feed,
                "received_at": [moment_of(rejection.received_us) for rejection in rejections],
                "reasons": [rejection.reason.replace("\x00", "\ufffd") for rejection in rejections],
                "payloads": [rejection.payload.replace("\x00", "\ufffd") for rejection in rejections],
            },
        )
