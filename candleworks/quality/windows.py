"""Which ticks and candles a check covers: those since its last run, or of a requested time, and samples of history."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from candleworks.database.connection import Connection
from candleworks.quality.limits import sampled, shuffled
from candleworks.storage.quality import RecentFailure, day_with_candles, ticks_of_symbols
from candleworks.wording import counted

DAY = timedelta(days=1)
FIRST_RUN = timedelta(hours=1)  # what the first run covers
LONGEST = timedelta(hours=24)  # what any run covers, after a time without runs
OVERLAP = timedelta(minutes=1)  # a tick is stored a moment after its arrival
LATE = timedelta(hours=24)  # ticks with older event times are left to `late-ticks`, and to runs with `since`
REFERENCE = timedelta(days=8)  # how far back the predecessors of a tick are searched
RECENT_SYMBOLS = 100  # all levels of today and yesterday are compared for so many symbols in every run
AUDITED_TICKS = 500_000  # read for the newest two days, and for one day of history: half a second each
_ALWAYS = ("-infinity", "infinity")


@dataclass(frozen=True, slots=True)
class CheckWindow:
    """[start, until); `by_time`: ticks are selected by their event time, whenever they arrived."""

    start: datetime
    until: datetime
    by_time: bool

    @property
    def parameters(self) -> dict[str, Any]:
        """The bounds under their names in the SQL of the checks."""
        received: tuple[object, object]
        hour = self.until.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)  # the last complete one
        if self.by_time:
            received, time_from = _ALWAYS, self.start
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


def check_window(since: datetime | None, checked_until: datetime | None, until: datetime) -> CheckWindow:
    """Return the window of a check that has read up to `checked_until`; `since` requests a time instead."""
    if since is not None:
        return CheckWindow(min(since, until), until, by_time=True)
    start = max(checked_until - OVERLAP, until - LONGEST) if checked_until else until - FIRST_RUN
    return CheckWindow(min(start, until - OVERLAP), until, by_time=False)


@dataclass(frozen=True, slots=True)
class CheckInput:
    """What one check covers in a run: the number of new ticks per symbol, and failures that are checked again.

    `parameters` are those of its SQL, `day` is the day of history among its candles.
    """

    window: CheckWindow
    new_ticks: Mapping[str, int]
    rechecked: Sequence[RecentFailure]
    parameters: dict[str, Any]
    day: datetime | None = None

    def describe(self) -> str:
        """Say how much it is: `1,234 new ticks of 5 symbols, candles of 2026-03-01`."""
        parts = [f"{sum(self.new_ticks.values()):,} new ticks of {counted(len(self.new_ticks), 'symbol')}"]
        if self.rechecked:
            parts.append(f"{len(self.rechecked):,} checked again")
        if self.day:
            parts.append(f"candles of {self.day:%Y-%m-%d}")
        return ", ".join(parts)


class CandleScope(NamedTuple):
    """Ranges of candles; `symbols` are those whose new candles are covered, `day` is the day of history among them."""

    ranges: list[dict[str, Any]]
    symbols: Sequence[str]
    day: datetime | None = None


def candle_range(symbols: Iterable[str], start: datetime, stop: datetime) -> dict[str, Any]:
    """Return the candles of some symbols in a time, as the SQL of the checks takes them."""
    return {"symbols": sorted(symbols), "start": start.isoformat(), "stop": stop.isoformat()}


def midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def new_candles(symbols: Iterable[str], window: CheckWindow) -> CandleScope:
    """Return the candles of symbols in the window of a run."""
    names = sorted(symbols)
    ranges = [candle_range(names, window.parameters["candles_from"], window.until)] if names else []
    return CandleScope(ranges, names)


def candles_of_all_levels(
    connection: Connection,
    symbols: Iterable[str],
    streamed: Iterable[str],
    window: CheckWindow,
    last_day: datetime | None,
) -> CandleScope:
    """Return where levels are compared with each other: new candles, today and yesterday, and a day of history.

    A day holds complete candles of every level. `last_day` is the day of history that was compared last.
    """
    new = new_candles(symbols, window)
    if window.by_time:
        return new
    recent = sampled({*new.symbols, *streamed}, RECENT_SYMBOLS, window.until)
    ranges = [candle_range(recent, midnight(window.until) - DAY, window.until)] if recent else []
    scope = CandleScope([*new.ranges, *ranges], new.symbols)
    return _with_history(connection, scope, window, last_day, RECENT_SYMBOLS)


def audited_candles(
    connection: Connection, symbols: Iterable[str], count: int, window: CheckWindow, last_day: datetime | None
) -> CandleScope:
    """Return where one-minute candles are compared with their ticks: of at least `count` symbols, others in each run.

    In a run without `since`: today and yesterday, and a day of history, of as many symbols as AUDITED_TICKS allow.
    """
    if window.by_time:
        return new_candles(sampled(symbols, count, window.until), window)
    start = midnight(window.until) - DAY
    recent = _affordable(ticks_of_symbols(connection, start, window.until), count, window.until)
    ranges = [candle_range(recent, start, window.until)] if recent else []
    return _with_history(connection, CandleScope(ranges, sorted(set(recent) & set(symbols))), window, last_day, count)


def _affordable(ticks: Mapping[str, int], count: int, at: datetime) -> list[str]:
    """Choose symbols, others in each run, that have AUDITED_TICKS together, but at least `count`."""
    chosen: list[str] = []
    total = 0
    for symbol in shuffled(ticks, at):
        total += ticks[symbol]
        if len(chosen) >= count and total > AUDITED_TICKS:
            break
        chosen.append(symbol)
    return chosen


def _with_history(
    connection: Connection, scope: CandleScope, window: CheckWindow, last_day: datetime | None, count: int
) -> CandleScope:
    """Add the day before the one that was covered last, or the newest after the oldest; not today or yesterday."""
    newest = midnight(window.until) - DAY
    before = min(last_day, newest) if last_day else newest
    day = day_with_candles(connection, before) or day_with_candles(connection, newest)
    if day is None:
        return scope
    symbols = _affordable(ticks_of_symbols(connection, day, day + DAY), count, window.until)
    return CandleScope([*scope.ranges, candle_range(symbols, day, day + DAY)], scope.symbols, day)
