"""The budget of API credits that all processes share."""

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
    """The budget of one account: a URL and a key, hashed so that the database does not hold the key.

    `wait` sleeps for the given number of seconds. `spent` are the credits that this object took.
    """

    def __init__(self, connection: Connection, settings: Settings, wait: Callable[[float], None] = time.sleep) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self.account = hashlib.sha256(f"{settings.rest_url} {key}".encode()).hexdigest()[:16]
        self.spent = 0
        self._connection = connection
        self._limits = settings.rest
        self._wait = wait

    def spend(self, amount: int = 1) -> None:
        """Take credits, at most those of one minute; waits until they are available. Raises NoCreditsTodayError."""
        while seconds := self._take(amount):
            self._wait(seconds)
        self.spent += amount

    def _take(self, amount: int) -> float:
        limits = self._limits
        seconds = take_credits(
            self._connection, self.account, amount, limits.credits_per_minute, limits.credits_per_day
        )
        if seconds is None:
            raise NoCreditsTodayError(self._no_credits_message())
        return seconds

    def _no_credits_message(self) -> str:
        if pause := credits_pause(self._connection, self.account):
            return (
                f"The vendor grants no more API credits today: it said {pause.words!r} at {pause.said_at:%H:%M} UTC."
                f" The next request is made after {pause.until:%Y-%m-%d %H:%M} UTC, or now with `candleworks fill-gaps"
                " --retry-credits`."
            )
        used = credits_used_today(self._connection, self.account)
        return (
            f"Today's API credits are used up ({used:,} of {self._limits.credits_per_day:,}): wait for the next UTC"
            " day, or raise rest.credits_per_day to the limit of your plan."
        )

    def pause(self, retry_after_seconds: float | None, vendor_message: str, *, whole_day: bool) -> None:
        """Record that the vendor is out of credits: all processes pause, for a minute or the rest of the day."""
        pause_credits(self._connection, self.account, retry_after_seconds, vendor_message, whole_day=whole_day)

    def lift_pause(self) -> bool:
        """End a pause early; return whether there was one."""
        return lift_credits_pause(self._connection, self.account)
