"""What each check of a run looks at: new rows, rows that failed before, and what only this process can see."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from candleworks.database.connection import Connection
from candleworks.quality.candle_window import Part, audit_part, levels_part, new_part
from candleworks.quality.limits import SAMPLE_ROWS, facts, limits, suite_limits
from candleworks.quality.rechecks import pieces, spans, symbol_of
from candleworks.quality.registry import Check
from candleworks.quality.tick_window import REFERENCE, Window, window
from candleworks.quality.vendor_sample import bars_due, vendor_bars, wanted_minutes
from candleworks.settings import Settings
from candleworks.storage.quality import (
    Objects,
    Trouble,
    checked_until,
    failing_subjects,
    symbols_in_window,
    symbols_of_feeds,
)
from candleworks.wording import counted

HISTORY = "{} history"  # the check's name in checked_until for the stored day that was looked at last


@dataclass(frozen=True, slots=True)
class Look:
    """What one check looks at. `batch` are new ticks per symbol, `again` what failed before and is among the rows.

    `day` is the stored day that was due.
    """

    span: Window
    batch: Mapping[str, int]
    again: Sequence[Trouble]
    parameters: dict[str, Any]
    day: datetime | None = None

    def describe(self) -> str:
        """Say how much it is: `1,234 new ticks of 5 symbols, all candles of 2026-03-01`."""
        parts = [f"{sum(self.batch.values()):,} new ticks of {counted(len(self.batch), 'symbol')}"]
        if self.again:
            parts.append(f"what failed before of {len(self.again):,}")
        if self.day:
            parts.append(f"candles of {self.day:%Y-%m-%d}")
        return ", ".join(parts)


class Looks:
    """What the checks of one run look at. Facts are gathered once, before a check refreshes candles."""

    def __init__(self, connection: Connection, settings: Settings, since: datetime | None, until: datetime) -> None:
        self._connection = connection
        self._settings = settings
        self._since = since
        self._until = until
        self._read_until = checked_until(connection)
        self._streamed = symbols_of_feeds(connection)
        self._facts = facts(connection, settings, until) | suite_limits(settings)
        self._batches: dict[Window, dict[str, int]] = {}
        self._troubles: dict[str, list[Trouble]] = defaultdict(list)
        for trouble in failing_subjects(connection, until):
            self._troubles[trouble.check].append(trouble)

    def troubles(self, check: Check) -> list[Trouble]:
        """Return the subjects that did not pass lately."""
        return self._troubles[check.name]

    def at(self, check: Check) -> Look | None:
        """Return what a check looks at; None where there is nothing."""
        span = window(self._since, self._read_until.get(check.name), self._until)
        batch = self._batch(span)
        again = [trouble for trouble in self._troubles[check.name] if check.judges == "stored" and trouble.times]
        if check.name == "vendor-bars":
            return self._with_bars(span, batch, again)
        if check.name in ("candle-shape", "candle-levels", "candle-audit"):
            return self._with_pieces(check, span, batch, again)
        if check.judges in ("stored", "new") and not batch and not again:
            return None
        return Look(span, batch, again, self._parameters(span, batch, again))

    def _batch(self, span: Window) -> dict[str, int]:
        if span not in self._batches:
            self._batches[span] = symbols_in_window(self._connection, span.parameters)
        return self._batches[span]

    def _parameters(self, span: Window, batch: Mapping[str, int], again: Sequence[Trouble]) -> dict[str, Any]:
        symbols = {*batch, *(symbol_of(trouble.subject) for trouble in again)}
        bounds = span.parameters
        oldest = min((start for trouble in again for start, _ in trouble.times or ()), default=None)
        if oldest is not None:
            bounds["reference_from"] = min(bounds["reference_from"], oldest - REFERENCE)
        return {
            **bounds,
            **self._facts,
            "limits": limits({*symbols, *self._streamed}, self._settings),
            "again": spans(again),
            "streamed": self._streamed,
            "sample": SAMPLE_ROWS,
        }

    def _with_pieces(
        self, check: Check, span: Window, batch: Mapping[str, int], again: Sequence[Trouble]
    ) -> Look | None:
        part = self._part(check, span, batch)
        found = Objects([*part.pieces, *pieces(again)])
        if not found:
            return None
        judged = {symbol: batch[symbol] for symbol in part.symbols}
        parameters = self._parameters(span, batch, again) | {"pieces": found}
        return Look(span, judged, again, parameters, part.day)

    def _part(self, check: Check, span: Window, batch: Mapping[str, int]) -> Part:
        reached = self._read_until.get(HISTORY.format(check.name))
        if check.name == "candle-levels":
            return levels_part(self._connection, batch, self._streamed, span, reached)
        if check.name == "candle-audit":
            count = self._settings.quality.candles.audited_symbols
            return audit_part(self._connection, batch, count, span, reached)
        return new_part(batch, span)

    def _with_bars(self, span: Window, batch: Mapping[str, int], again: Sequence[Trouble]) -> Look | None:
        """Ask for bars of a sample, and for those of the minutes that failed."""
        if not bars_due(self._settings, span, self._read_until.get("vendor-bars")):
            return None
        failed = {trouble.subject: trouble.times or () for trouble in again}
        bars = vendor_bars(self._connection, self._settings, wanted_minutes(self._settings, batch, failed, span))
        compared = {row["symbol"] for row in bars}
        if not compared:
            return None
        judged = {symbol: batch.get(symbol, 0) for symbol in compared}
        looked_at = [trouble for trouble in again if trouble.subject in compared]
        return Look(span, judged, looked_at, self._parameters(span, batch, again) | {"bars": bars})
