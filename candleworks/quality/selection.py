"""Selects what each check of a run covers: new rows, rows that failed before, and facts that SQL cannot see."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from candleworks.database.connection import Connection
from candleworks.quality.limits import SAMPLE_ROWS, facts, limits, suite_limits
from candleworks.quality.rechecks import recheck_ranges, recheck_times, symbol_of
from candleworks.quality.registry import Check
from candleworks.quality.vendor_sample import bars_due, vendor_bars, wanted_minutes
from candleworks.quality.windows import (
    REFERENCE,
    CandleScope,
    CheckInput,
    CheckWindow,
    audited_candles,
    candles_of_all_levels,
    check_window,
    new_candles,
)
from candleworks.settings import Settings
from candleworks.storage.quality import (
    Objects,
    RecentFailure,
    checked_until,
    recent_failures,
    symbols_in_window,
    symbols_of_feeds,
)

HISTORY = "{} history"  # the name in checked_until for the day of history that a check covered last


class CheckInputs:
    """The inputs of the checks of one run. Facts are gathered once, before a check refreshes candles."""

    def __init__(self, connection: Connection, settings: Settings, since: datetime | None, until: datetime) -> None:
        self._connection = connection
        self._settings = settings
        self._since = since
        self._until = until
        self._read_until = checked_until(connection)
        self._streamed = symbols_of_feeds(connection)
        self._facts = facts(connection, settings, until) | suite_limits(settings)
        self._new_ticks: dict[CheckWindow, dict[str, int]] = {}
        self._failures: dict[str, list[RecentFailure]] = defaultdict(list)
        for failure in recent_failures(connection, until):
            self._failures[failure.check].append(failure)

    def recent_failures(self, check: Check) -> list[RecentFailure]:
        """Return the subjects of a check that did not pass recently."""
        return self._failures[check.name]

    def of(self, check: Check) -> CheckInput | None:
        """Return what a check covers; null where there is nothing."""
        window = check_window(self._since, self._read_until.get(check.name), self._until)
        new_ticks = self._ticks(window)
        rechecked = [each for each in self._failures[check.name] if check.covers == "stored" and each.times]
        if check.name == "vendor-bars":
            return self._with_bars(window, new_ticks, rechecked)
        if check.name in ("candle-shape", "candle-levels", "candle-audit"):
            return self._with_candles(check, window, new_ticks, rechecked)
        if check.covers in ("stored", "new") and not new_ticks and not rechecked:
            return None
        return CheckInput(window, new_ticks, rechecked, self._parameters(window, new_ticks, rechecked))

    def _ticks(self, window: CheckWindow) -> dict[str, int]:
        if window not in self._new_ticks:
            self._new_ticks[window] = symbols_in_window(self._connection, window.parameters)
        return self._new_ticks[window]

    def _parameters(
        self, window: CheckWindow, new_ticks: Mapping[str, int], rechecked: Sequence[RecentFailure]
    ) -> dict[str, Any]:
        symbols = {*new_ticks, *(symbol_of(failure.subject) for failure in rechecked)}
        bounds = window.parameters
        oldest = min((start for failure in rechecked for start, _ in failure.times or ()), default=None)
        if oldest is not None:
            bounds["reference_from"] = min(bounds["reference_from"], oldest - REFERENCE)
        return {
            **bounds,
            **self._facts,
            "limits": limits({*symbols, *self._streamed}, self._settings),
            "rechecks": recheck_times(rechecked),
            "streamed": self._streamed,
            "sample": SAMPLE_ROWS,
        }

    def _with_candles(
        self, check: Check, window: CheckWindow, new_ticks: Mapping[str, int], rechecked: Sequence[RecentFailure]
    ) -> CheckInput | None:
        scope = self._scope(check, window, new_ticks)
        ranges = Objects([*scope.ranges, *recheck_ranges(rechecked)])
        if not ranges:
            return None
        covered = {symbol: new_ticks[symbol] for symbol in scope.symbols}
        parameters = self._parameters(window, new_ticks, rechecked) | {"ranges": ranges}
        return CheckInput(window, covered, rechecked, parameters, scope.day)

    def _scope(self, check: Check, window: CheckWindow, new_ticks: Mapping[str, int]) -> CandleScope:
        last_day = self._read_until.get(HISTORY.format(check.name))
        if check.name == "candle-levels":
            return candles_of_all_levels(self._connection, new_ticks, self._streamed, window, last_day)
        if check.name == "candle-audit":
            count = self._settings.quality.candles.audited_symbols
            return audited_candles(self._connection, new_ticks, count, window, last_day)
        return new_candles(new_ticks, window)

    def _with_bars(
        self, window: CheckWindow, new_ticks: Mapping[str, int], rechecked: Sequence[RecentFailure]
    ) -> CheckInput | None:
        """Request bars of a sample, and those of the minutes that failed."""
        if not bars_due(self._settings, window, self._read_until.get("vendor-bars")):
            return None
        failed = {failure.subject: failure.times or () for failure in rechecked}
        bars = vendor_bars(self._connection, self._settings, wanted_minutes(self._settings, new_ticks, failed, window))
        compared = {row["symbol"] for row in bars}
        if not compared:
            return None
        covered = {symbol: new_ticks.get(symbol, 0) for symbol in compared}
        again = [failure for failure in rechecked if failure.subject in compared]
        return CheckInput(window, covered, again, self._parameters(window, new_ticks, rechecked) | {"bars": bars})
