"""Trading days of the simulated exchanges: from one local midnight to the next, on every day of the year."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


@lru_cache(maxsize=16_384)
def _bounds_of_hour(timezone: ZoneInfo, hour: int) -> tuple[int, int]:
    """Both bounds are the same for all seconds of a UTC hour: no zone in use here moves its clock at midnight."""
    local = datetime.fromtimestamp(hour * 3600, UTC).astimezone(timezone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return int(midnight.timestamp()), int((midnight + timedelta(days=1)).timestamp())


def day_start(timezone: ZoneInfo, second: int) -> int:
    """The second at which the trading day that `second` belongs to began."""
    return _bounds_of_hour(timezone, second // 3600)[0]


def day_end(timezone: ZoneInfo, second: int) -> int:
    """The first second of the next trading day."""
    return _bounds_of_hour(timezone, second // 3600)[1]
