"""The result of filling gaps: per symbol of a gap, and of a run."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from candleworks.model.notices import Notice
from candleworks.storage.gaps import FillOutcome, Gap

OUTCOMES: tuple[FillOutcome, ...] = get_args(FillOutcome)


class GapFill(NamedTuple):
    """The result for one symbol of a gap; `error` is why it failed, or why there is nothing to fill.

    In a dry run the outcome is `planned`, and `bars` the number of minutes to fetch.
    """

    gap: Gap
    symbol: str
    outcome: FillOutcome | Literal["planned"]
    bars: int
    error: str | None


class FillProgress(NamedTuple):
    """Progress before each request and each wait: finished symbols, all symbols, and the current step."""

    done: int
    symbols: int
    now: str


@dataclass
class FillReport:
    """The result of a run. `credits` were spent, or in a dry run would be.

    `waiting` counts gaps that closed too recently, `busy` are symbols that another process fills, `unknown` are gaps of
    feeds whose symbols are unknown, and `stopped` is why the run ended early.
    """

    fills: list[GapFill] = field(default_factory=list)
    closed: list[Gap] = field(default_factory=list)
    credits: int = 0
    waiting: int = 0
    busy: list[str] = field(default_factory=list)
    unknown: tuple[Gap, ...] = ()
    stopped: str | None = None

    @property
    def complete(self) -> bool:
        """Whether all minutes that were due were fetched."""
        return self.stopped is None and all(fill.outcome != "failed" for fill in self.fills)

    @property
    def outcomes(self) -> str:
        """The number of symbols of gaps per outcome, such as `2 filled, 5 market closed`."""
        counts = Counter(fill.outcome for fill in self.fills)
        known = [f"{counts[name]:,} {name.replace('_', ' ')}" for name in OUTCOMES if counts[name]]
        return ", ".join(known) or "nothing to fill"


def filled_notice(gap: Gap, fills: Sequence[GapFill]) -> Notice:
    """Return the event that a gap is filled; `fills` are those of its symbols."""
    return Notice(
        "feed.gap-filled",
        gap.feed if gap.symbol is None else f"{gap.feed}/{gap.symbol}",
        {
            "gap": gap.id,
            "started_at": gap.started_at.isoformat(),
            "ended_at": gap.ended_at.isoformat(),
            "reason": gap.reason,
            "bars": sum(fill.bars for fill in fills),
            "empty": sorted(fill.symbol for fill in fills if fill.outcome == "empty"),
            "market_closed": sorted(fill.symbol for fill in fills if fill.outcome == "market_closed"),
        },
    )
