"""The only module that asks for the time, so that tests can set it."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Wall clock, aware, UTC."""
    return datetime.now(UTC)


def now_us() -> int:
    """Wall clock in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def monotonic() -> float:
    """Seconds from an arbitrary start; never goes backwards, so it measures durations."""
    return time.monotonic()
