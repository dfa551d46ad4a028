"""The budget of API credits that all processes share."""

import hashlib
import time
from collections.abc import Callable
from typing import Literal

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

Purpose = Literal["gaps", "backfill", "checks"]

# The share of the credits, of a minute and of a day, that is kept for purposes which come before.
KEPT_SHARE: dict[Purpose, float] = {"gaps": 0.0, "backfill": 0.2, "checks": 0.4}

_BEFORE: dict[Purpose, str] = {"backfill": "gaps", "checks": "gaps and backfill"}


class NoCreditsTodayError(TransientError):
    """The day's credits are used up; the next UTC day brings new ones."""


class Credits:
    """The budget of one account: a URL and a key, hashed so that the database does not hold the key.

    `wait` sleeps for the given number of seconds. `spent` are the credits that this object took. Credits are spent for
    gaps first, then for backfill, then for checks: a `purpose` leaves a share of them, and at least `reserved`, to
    those before it. Requests to the simulator take none.
    """

    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        wait: Callable[[float], None] = time.sleep,
        purpose: Purpose = "gaps",
    ) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self.account = hashlib.sha256(f"{settings.rest_url} {key}".encode()).hexdigest()[:16]
        self.spent = 0
        self.reserved = 0
        self._free = settings.shows_simulated
        self._purpose = purpose
        self._connection = connection
        self._limits = settings.rest
        self._wait = wait

    def spend(self, amount: int = 1) -> None:
        """Take credits, at most those of one minute; waits until they are available. Raises NoCreditsTodayError."""
        if self._free:
            return
        while seconds := self._take(amount):
            self._wait(seconds)
        self.spent += amount

    def _take(self, amount: int) -> float:
        limits = self._limits
        per_day = None if limits.credits_per_day is None else self._available(limits.credits_per_day, 0)
        per_minute = self._available(limits.credits_per_minute, amount)
        seconds = take_credits(self._connection, self.account, amount, per_minute, per_day)
        if seconds is None:
            raise NoCreditsTodayError(self._no_credits_message())
        return seconds

    def _available(self, limit: int, at_least: int) -> int:
        """Return how many of the credits may be used for the purpose."""
        kept = max(int(limit * KEPT_SHARE[self._purpose]), self.reserved)
        return max(limit - kept, at_least)

    def _no_credits_message(self) -> str:
        if pause := credits_pause(self._connection, self.account):
            return (
                f"The vendor grants no more API credits today: it said {pause.words!r} at {pause.said_at:%H:%M} UTC."
                f" The next request is made after {pause.until:%Y-%m-%d %H:%M} UTC, or now with `candleworks fill-gaps"
                " --retry-credits`."
            )
        used = credits_used_today(self._connection, self.account)
        kept = "" if self._purpose == "gaps" else f", and the rest is kept for {_BEFORE[self._purpose]}"
        return (
            f"Today's API credits are used up ({used:,} of {self._limits.credits_per_day:,}{kept}): wait for the next"
            " UTC day, or raise rest.credits_per_day to the limit of your plan."
        )

    def pause(self, retry_after_seconds: float | None, vendor_message: str, *, whole_day: bool) -> None:
        """Record that the vendor is out of credits: all processes pause, for a minute or the rest of the day."""
        pause_credits(self._connection, self.account, retry_after_seconds, vendor_message, whole_day=whole_day)

    def lift_pause(self) -> bool:
        """End a pause early; return whether there was one."""
        return lift_credits_pause(self._connection, self.account)
