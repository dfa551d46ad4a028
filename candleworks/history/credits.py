"""Spends API credits within the budget that all processes share."""

import hashlib
import time
from collections.abc import Callable

from candleworks.errors import TransientError
from candleworks.settings import Settings
from candleworks.storage.connection import Connection
from candleworks.storage.credits import credits_used_today, pause_credits, take_credits


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
            used = credits_used_today(self._connection, self.account)
            raise NoCreditsTodayError(
                f"The day's API credits are used up ({used:,} of {self._allowed}): the next UTC day brings new ones,"
                " rest.credits_per_day says how many."
            )
        return seconds

    @property
    def _allowed(self) -> str:
        per_day = self._limits.credits_per_day
        return "as many as the vendor gives" if per_day is None else f"{per_day:,}"

    def refused(self, retry_after_seconds: float | None, *, whole_day: bool) -> None:
        """Take the vendor's word that there are none left, for all processes: for a minute, or for the day."""
        pause_credits(self._connection, self.account, retry_after_seconds, whole_day=whole_day)
