"""The buckets of a period in UTC, as `candleworks.bucket_start` and `bucket_end` count them; a test compares both."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from candleworks.candles.reads import Period
from candleworks.model.trades import MICROSECONDS, microseconds_of, moment_of

_ORIGIN_US = microseconds_of(datetime(2000, 1, 3, tzinfo=UTC))  # a Monday
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Buckets:
    """Bucket arithmetic in microseconds since 1970."""

    period: Period

    @property
    def of_days(self) -> bool:
        """Whether candles are made of days, which vendors' daily bars may complete."""
        return bool(self.period.months) or self.period.seconds % DAY_SECONDS == 0

    @property
    def width_us(self) -> int:
        """The shortest width of a bucket."""
        return (self.period.seconds or self.period.months * 28 * DAY_SECONDS) * MICROSECONDS

    def start(self, us: int) -> int:
        """Return the start of the bucket that holds a moment."""
        if self.period.months:
            return self._month(us, 0)
        width = self.period.seconds * MICROSECONDS
        return us - (us - _ORIGIN_US) % width

    def stop(self, us: int) -> int:
        """Return the end of the bucket that holds a moment."""
        if self.period.months:
            return self._month(us, 1)
        return self.start(us) + self.period.seconds * MICROSECONDS

    def spans(self, changed: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the buckets that hold moments of [first, last], as spans [start, stop) in order, merged."""
        found: list[tuple[int, int]] = []
        for first, last in sorted(changed):
            start, stop = self.start(first), self.stop(last)
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], stop))
            else:
                found.append((start, stop))
        return found

    def _month(self, us: int, further: int) -> int:
        moment = moment_of(us)
        months = (moment.year - 2000) * 12 + moment.month - 1
        months = (months // self.period.months + further) * self.period.months
        return microseconds_of(datetime(2000 + months // 12, months % 12 + 1, 1, tzinfo=UTC))
