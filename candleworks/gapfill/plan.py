"""Which gaps are due to be filled, and which symbols they affect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from candleworks.database.connection import Connection
from candleworks.gapfill.symbol_fill import minute_end
from candleworks.model.trades import MICROSECONDS, microseconds_of
from candleworks.settings import Instrument, Settings
from candleworks.storage.gaps import (
    Gap,
    StreamedSymbol,
    streamed_symbols,
    unfilled_gaps,
)


class GapFilter(NamedTuple):
    """Which gaps to fill: of a feed, of a symbol, ended after `since`; None: no restriction."""

    feed: str | None = None
    symbol: str | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class FillPlan:
    """Gaps that ended long enough ago, with the symbols that each affects; `waiting` counts more recent ones.

    `unknown` are gaps of feeds without symbols; `only` is the chosen symbol, if any.
    """

    only: str | None
    gaps: dict[int, tuple[Gap, tuple[str, ...]]]
    unknown: tuple[Gap, ...]
    waiting: int

    @property
    def symbols(self) -> list[str]:
        """Every symbol that has a gap, that of the latest gap first."""
        latest: dict[str, datetime] = {}
        for gap, symbols in self.gaps.values():
            latest |= dict.fromkeys((symbol for symbol in symbols if self.only in (None, symbol)), gap.ended_at)
        return sorted(latest, key=lambda symbol: (-microseconds_of(latest[symbol]), symbol))

    def gaps_of(self, symbol: str) -> list[Gap]:
        return [gap for gap, symbols in self.gaps.values() if symbol in symbols]


def make_plan(connection: Connection, settings: Settings, chosen: GapFilter, now: datetime) -> FillPlan:
    """Find the gaps whose last minute ended at least the settling time ago."""
    gaps = unfilled_gaps(connection, *chosen)
    latest_us = microseconds_of(now) - settings.rest.settle_seconds * MICROSECONDS
    due = [gap for gap in gaps if minute_end(microseconds_of(gap.ended_at)) <= latest_us]
    streamed = streamed_symbols(connection)
    affected = {gap.id: (gap, _affected_symbols(gap, settings, streamed)) for gap in due}
    return FillPlan(
        chosen.symbol,
        {number: found for number, found in affected.items() if found[1]},
        tuple(gap for gap, symbols in affected.values() if not symbols),
        len(gaps) - len(due),
    )


def listing_of(settings: Settings, feed: str, symbol: str) -> str | Instrument:
    """Return what to request from the vendor; a symbol that is not configured any more is requested by its name."""
    for configured in settings.feeds:
        if configured.name == feed:
            return configured.instruments.get(symbol, symbol)
    return symbol


def _affected_symbols(
    gap: Gap, settings: Settings, streamed: Mapping[str, Sequence[StreamedSymbol]]
) -> tuple[str, ...]:
    """Return the gap's symbols: those that the feed had when it began, else those of the configuration."""
    if gap.symbol is not None:
        return (gap.symbol,)
    if gap.feed in streamed:
        return tuple(
            known.symbol
            for known in streamed[gap.feed]
            if known.removed_at is None or known.removed_at > gap.started_at
        )
    return next((feed.names for feed in settings.feeds if feed.name == gap.feed), ())
