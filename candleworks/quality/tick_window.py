"""Which ticks a run looks at: those that came since the last one, or those of a time that somebody asks for."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

FIRST = timedelta(hours=1)  # what the first run looks back
LONGEST = timedelta(hours=24)  # and any other one, after an outage of the checks
OVERLAP = timedelta(minutes=1)  # a tick is stored a moment after its arrival
LATE = timedelta(hours=24)  # ticks with older stamps are left to `stamp-old`, and to runs that ask for their time
REFERENCE = timedelta(days=8)  # as far as a tick's predecessors are looked for
_EVER = ("-infinity", "infinity")


@dataclass(frozen=True, slots=True)
class Window:
    """What to look at; `by_time` tells that ticks are chosen by their time, whenever they came."""

    start: datetime
    until: datetime
    by_time: bool

    @property
    def parameters(self) -> dict[str, Any]:
        """The bounds as the SQL of the checks names them."""
        received: tuple[object, object]
        hour = self.until.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)  # the last whole one
        if self.by_time:
            received, time_from = _EVER, self.start
        else:
            received, time_from = (self.start, self.until), self.start - LATE
        return {
            "received_from": received[0],
            "received_until": received[1],
            "time_from": time_from,
            "reference_from": time_from - REFERENCE,
            "arrived_from": self.start,
            "stats_from": self.start,
            "candles_from": self.start.replace(second=0, microsecond=0),
            "hour": hour,
            "hour_first": hour - timedelta(days=14),
            "until": self.until,
        }


def window(since: datetime | None, checked_until: datetime | None, until: datetime) -> Window:
    """Return the window of a check that has read up to `checked_until`; `since` asks for a time instead."""
    if since is not None:
        return Window(min(since, until), until, by_time=True)
    start = max(checked_until - OVERLAP, until - LONGEST) if checked_until else until - FIRST
    return Window(min(start, until - OVERLAP), until, by_time=False)
