"""The result of loading history: per symbol, and of a run."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, get_args

from candleworks.storage.backfills import BackfillOutcome, BackfillRecord
from candleworks.wording import counted

BACKFILL_OUTCOMES: tuple[BackfillOutcome, ...] = get_args(BackfillOutcome)


class BackfillProgress(NamedTuple):
    """Progress before each request and each wait: loaded minutes and days, all of them, and the current step."""

    done: int
    wanted: int
    now: str


class PlannedBackfill(NamedTuple):
    """What a dry run would request: minutes from `wanted_from` until what is loaded begins; None: no minutes are left.

    `days` counts the days, traded or not, of daily bars from `daily_wanted_from` on.
    """

    feed: str
    symbol: str
    wanted_from: datetime | None
    until: datetime | None
    minutes: int
    daily_wanted_from: datetime | None
    days: int


@dataclass
class BackfillReport:
    """The result of a run; `planned` is that of a dry run. `credits` were spent, or in a dry run would be.

    `named` counts the companies whose names were stored, `busy` are feeds that another process loads, and symbols that
    it fills, and `stopped` is why the run ended early.
    """

    records: list[BackfillRecord] = field(default_factory=list)
    planned: list[PlannedBackfill] = field(default_factory=list)
    bars: int = 0
    daily_bars: int = 0
    credits: int = 0
    named: int = 0
    busy: list[str] = field(default_factory=list)
    stopped: str | None = None

    @property
    def complete(self) -> bool:
        """Whether everything was loaded that could be loaded now."""
        return self.stopped is None and all(record.outcome in ("complete", "waiting") for record in self.records)

    @property
    def stored(self) -> str:
        """The number of bars that were stored, such as `1,440 bars and 3,650 daily bars`."""
        bars = counted(self.bars, "bar")
        return f"{bars} and {counted(self.daily_bars, 'daily bar', 'daily bars')}" if self.daily_bars else bars

    @property
    def outcomes(self) -> str:
        """The number of symbols per outcome, such as `5 complete, 2 failed`."""
        counts = Counter(record.outcome for record in self.records)
        return ", ".join(f"{counts[name]:,} {name}" for name in BACKFILL_OUTCOMES if counts[name]) or "nothing to load"
