"""Spends API credits within the budget that all processes share."""

import hashlib
import time
from collections.abc import Callable

from candleworks.database.connection import Connection
from candleworks.errors import TransientError
from candleworks.settings import Settings
from candleworks.storage.credits import (
    credits_pause,
    credits_used_today,
    lift_credits_pause,
    pause_credits,
    take_credits,
)


class NoCreditsTodayError(TransientError):
    """The day's credits are used up; the next UTC day brings new ones."""


class Credits:
    """The budget of one account, which an address and a key are; no other process can tell the key from it.

    `wait` sleeps for so many seconds.
    """

    def __init__(self, connection: Connection, settings: Settings, wait: Callable[[float], None] = time.sleep) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self.account = hashlib.sha256(f"{settings.rest_url} {key}".encode()).hexdigest()[:16]
        self.spent = 0
        self._connection = connection
        self._limits = settings.rest
        self._wait = wait

    def spend(self, wanted: int = 1) -> None:
        """Take credits, no more than a minute has, once the minute has them; raises NoCreditsTodayError."""
        while seconds := self._take(wanted):
            self._wait(seconds)
        self.spent += wanted

    def _take(self, wanted: int) -> float:
        limits = self._limits
        seconds = take_credits(
            self._connection, self.account, wanted, limits.credits_per_minute, limits.credits_per_day
        )
        if seconds is None:
            raise NoCreditsTodayError(self._why_none_today())
        return seconds

    def _why_none_today(self) -> str:
        if pause := credits_pause(self._connection, self.account):
            return (
                f"The vendor gives no more API credits today: it said {pause.words!r} at {pause.said_at:%H:%M} UTC. It"
                f" is asked again after {pause.until:%Y-%m-%d %H:%M} UTC, or at once by `candleworks fill-gaps"
                " --retry-credits`."
            )
        used = credits_used_today(self._connection, self.account)
        return (
            f"The day's API credits are used up ({used:,} of {self._limits.credits_per_day:,}): the next UTC day brings"
            " new ones, rest.credits_per_day says how many."
        )

    def refused(self, retry_after_seconds: float | None, words: str, *, whole_day: bool) -> None:
        """Take the vendor's word that there are none left, for all processes: for a minute, or for the day."""
        pause_credits(self._connection, self.account, retry_after_seconds, words, whole_day=whole_day)

    def lift_pause(self) -> bool:
        """Ask the vendor again although it said that there are none left; return whether it had said so."""
        return lift_credits_pause(self._connection, self.account)
