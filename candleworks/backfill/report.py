"""The result of loading history: per symbol, and of a run."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, get_args

from candleworks.storage.backfills import BackfillOutcome, BackfillRecord

BACKFILL_OUTCOMES: tuple[BackfillOutcome, ...] = get_args(BackfillOutcome)


class BackfillProgress(NamedTuple):
    """Progress before each request and each wait: loaded minutes, all minutes to load, and the current step."""

    done: int
    minutes: int
    now: str


class PlannedBackfill(NamedTuple):
    """What a dry run would request; `until` is where what is loaded begins."""

    feed: str
    symbol: str
    wanted_from: datetime
    until: datetime
    minutes: int


@dataclass
class BackfillReport:
    """The result of a run; `planned` is that of a dry run. `credits` were spent, or in a dry run would be.

    `named` counts the companies whose names were stored, `busy` are feeds that another process loads, and symbols that
    it fills, and `stopped` is why the run ended early.
    """

    records: list[BackfillRecord] = field(default_factory=list)
    planned: list[PlannedBackfill] = field(default_factory=list)
    bars: int = 0
    credits: int = 0
    named: int = 0
    busy: list[str] = field(default_factory=list)
    stopped: str | None = None

    @property
    def complete(self) -> bool:
        """Whether everything was loaded that could be loaded now."""
        return self.stopped is None and all(record.outcome in ("complete", "waiting") for record in self.records)

    @property
    def outcomes(self) -> str:
        """The number of symbols per outcome, such as `5 complete, 2 failed`."""
        counts = Counter(record.outcome for record in self.records)
        return ", ".join(f"{counts[name]:,} {name}" for name in BACKFILL_OUTCOMES if counts[name]) or "nothing to load"
