"""The vendor's API credits, which all processes share."""

from datetime import datetime
from typing import NamedTuple

from candleworks.database.connection import Connection
from candleworks.database.queries import query


class CreditsPause(NamedTuple):
    """Until when the vendor grants no credits, its message, and when that was received."""

    until: datetime
    words: str | None
    said_at: datetime


def take_credits(
    connection: Connection, account: str, wanted: int, per_minute: int, per_day: int | None
) -> float | None:
    """Take credits and return 0, else the seconds to wait before the next try, or None when none are left today."""
    parameters = {"account": account, "wanted": wanted, "per_minute": per_minute, "per_day": per_day}
    row = connection.execute(query("take_credits"), parameters).fetchone()
    return row[0] if row else None


def pause_credits(connection: Connection, account: str, seconds: float | None, words: str, *, whole_day: bool) -> None:
    """Pause the requests of all processes: for some seconds, until the next minute (None), or for the UTC day."""
    parameters = {"account": account, "seconds": seconds, "whole_day": whole_day, "words": words}
    connection.execute(query("pause_credits"), parameters)


def credits_pause(connection: Connection, account: str) -> CreditsPause | None:
    row = connection.execute(query("credits_paused"), {"account": account}).fetchone()
    return CreditsPause(*row) if row else None


def lift_credits_pause(connection: Connection, account: str) -> bool:
    """End the pause; return whether there was one."""
    return bool(connection.execute(query("lift_credits_pause"), {"account": account}).rowcount)


def credits_used_today(connection: Connection, account: str) -> int:
    row = connection.execute(query("credits_used_today"), {"account": account}).fetchone()
    return int(row[0]) if row else 0
