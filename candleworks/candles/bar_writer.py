"""Writes bars as ticks with running totals, so that candles and volumes are computed from them as from other ticks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from candleworks import clock
from candleworks.candles.bar_ticks import ticks_of
from candleworks.candles.bar_totals import BarTotals, CarrierTotals, carrier_totals
from candleworks.database.connection import Connection
from candleworks.model.bars import BAR_ORIGIN, MINUTE_US, Bar, BarTick, MinuteSummary, Spans, within
from candleworks.model.trades import microseconds_of, moment_of
from candleworks.model.trading_day import ZoneOf, trading_day
from candleworks.storage.bars import (
    Carrier,
    KeptBar,
    PricedTick,
    RemovedTick,
    correct_carrier,
    has_totals,
    insert_bars,
    later_bars,
    remove_bars,
    remove_overlapping_bars,
    summarise_minutes,
    totals_around,
    totals_before,
)
from candleworks.storage.gaps import Followup, follow_up, locked_symbol, read_followups, settle_followup
from candleworks.storage.trades import Day, TradeStore


class _BarWithTicks(NamedTuple):
    """A bar, the parts of its minute to fill, what is stored there, and the ticks that represent the bar."""

    bar: Bar
    parts: Spans
    stored: MinuteSummary | None
    ticks: list[BarTick]

    @property
    def carrier(self) -> Carrier:
        return Carrier(self.bar.minute_us, self.ticks[-1].time_us, self.bar.volume)

    @property
    def kept(self) -> KeptBar:
        return KeptBar(self.parts, self.stored.known if self.stored else 0, self.carrier)


_TradingDay = tuple[datetime, datetime]


@dataclass(frozen=True)
class BarWriter:
    """Writes in a transaction of the caller; `prepare` has to be called before it begins.

    `received_us` is when the bars arrived, None: now.
    """

    connection: Connection
    zone_of: ZoneOf
    received_us: int | None = None

    @property
    def _received_at(self) -> datetime:
        return clock.now() if self.received_us is None else moment_of(self.received_us)

    @property
    def _store(self) -> TradeStore:
        return TradeStore(self.connection, BAR_ORIGIN, self.zone_of)

    def prepare(self, bars: Sequence[Bar]) -> None:
        """Create partitions for the bars."""
        self.prepare_from([bar.minute_us for bar in bars])

    def prepare_from(self, starts_us: Sequence[int]) -> None:
        """Create partitions for bars with these start times."""
        self._store.prepare(starts_us)

    def write(self, symbol: str, bars: Sequence[Bar], gaps: Spans) -> None:
        """Store bars inside `gaps`, replacing the stored bars of their minutes.

        A minute whose gap has ticks of a recording needs no bar and gets none.
        """
        parts = {bar.minute_us: within(gaps, bar.minute_us, bar.minute_us + MINUTE_US) for bar in bars}
        removed = remove_bars(self.connection, symbol, parts)
        if minutes := [(minute, minute + MINUTE_US) for minute in sorted(parts)]:
            removed += remove_overlapping_bars(self.connection, symbol, minutes)
        stored = summarise_minutes(self.connection, symbol, parts)
        added = [_with_ticks(bar, parts[bar.minute_us], stored.get(bar.minute_us)) for bar in bars]
        by_day = self._by_day(symbol, [bar for bar in added if bar.ticks], removed)
        for day, (bars_of_day, removed_of_day) in sorted(by_day.items()):
            self._write_day(symbol, day, bars_of_day, removed_of_day)

    def write_new(self, symbol: str, bars: Sequence[Bar], interval_us: int, traded: Mapping[int, Spans]) -> None:
        """Store bars that are `interval_us` long, in order, where no ticks and no bars as fine are stored.

        `traded` are the spans for the ticks of a bar, by its start. Longer bars give way. On days without running
        totals, on themselves or before, volumes are stored unchanged.
        """
        intervals = {bar.minute_us: [(bar.minute_us, bar.minute_us + interval_us)] for bar in bars}
        removed = remove_overlapping_bars(self.connection, symbol, _joined(bars, interval_us))
        added = [_BarWithTicks(b, intervals[b.minute_us], None, ticks_of(b, traded[b.minute_us], None)) for b in bars]
        if not removed and not has_totals(self.connection, symbol):
            self._insert_unchanged(symbol, added)
            return
        unchanged: list[_BarWithTicks] = []
        for day, (bars_of_day, removed_of_day) in sorted(self._by_day(symbol, added, removed).items()):
            if removed_of_day or self._continues_totals(symbol, day):
                self._write_day(symbol, day, bars_of_day, removed_of_day)
            else:
                unchanged += bars_of_day
        self._insert_unchanged(symbol, unchanged)

    def _continues_totals(self, symbol: str, day: _TradingDay) -> bool:
        """Whether the bars of a day get running totals: those of its ticks, or of the ticks before it."""
        return has_totals(self.connection, symbol, day) or totals_before(self.connection, symbol, day[0])[1]

    def _insert_unchanged(self, symbol: str, added: Sequence[_BarWithTicks]) -> None:
        """Store bars with their volumes, without running totals."""
        carried = {bar.carrier.time_us: bar.bar.volume for bar in added}
        ticks = [PricedTick(t, None, carried.get(t.time_us)) for bar in added for t in bar.ticks]
        insert_bars(self.connection, symbol, ticks, [bar.kept for bar in added], self._received_at)

    def follow_up(self) -> None:
        """Check the days of bars that were written recently.

        Bars are removed where ticks were stored since, and their running totals continue to that of the next tick.
        Symbols that another process fills are left to it: two processes changing one symbol would wait for each other.
        """
        for found in read_followups(self.connection, clock.now()):
            with locked_symbol(self.connection, found.symbol) as locked:
                if locked:
                    self._follow_up(found)

    def _follow_up(self, found: Followup) -> None:
        changed = self._store.replace_bars([(found.symbol, found.first, found.last)])
        day = (found.day_start, found.day_end)
        changed += self.continue_totals(found.symbol, day, microseconds_of(found.first))
        self._store.recompute_volumes([*changed, Day(found.symbol, *day, found.first, found.last, found.top or 0.0)])
        if found.settled:
            settle_followup(self.connection, found)

    def _by_day(
        self, symbol: str, added: Sequence[_BarWithTicks], removed: Sequence[RemovedTick]
    ) -> dict[_TradingDay, tuple[list[_BarWithTicks], list[RemovedTick]]]:
        zone = self.zone_of(symbol)
        days: dict[_TradingDay, tuple[list[_BarWithTicks], list[RemovedTick]]] = {}
        for bar in added:
            days.setdefault(trading_day(moment_of(bar.carrier.time_us), zone), ([], []))[0].append(bar)
        for tick in removed:
            days.setdefault(trading_day(tick[1], zone), ([], []))[1].append(tick)
        return days

    def _write_day(
        self, symbol: str, day: _TradingDay, added: Sequence[_BarWithTicks], removed: Sequence[RemovedTick]
    ) -> None:
        changed = [_changed(symbol, day, time, total) for _, time, total in removed]
        if added:
            changed += self._insert(symbol, day, added)
            first, last = (moment_of(at.ticks[index].time_us) for at, index in ((added[0], 0), (added[-1], -1)))
            top = max(change.top for change in changed)
            follow_up(self.connection, Day(symbol, *day, first, last, top))
        self._store.recompute_volumes(changed)

    def _insert(self, symbol: str, day: _TradingDay, added: Sequence[_BarWithTicks]) -> list[Day]:
        new = {bar.bar.minute_us: bar for bar in added}
        later = later_bars(self.connection, symbol, added[0].bar.minute_us, day[1])
        carriers = sorted([bar.carrier for bar in added] + later)
        computed = self._totals(symbol, day, carriers, {minute: bar.stored for minute, bar in new.items()})
        carried = {
            carrier.time_us: (total, volume)
            for carrier, total, volume in zip(carriers, computed.totals, computed.volumes, strict=True)
        }
        if computed.base is not None and len(added[0].ticks) > 1:
            carried[added[0].ticks[0].time_us] = (computed.base, None)
        ticks = [PricedTick(tick, *carried.get(tick.time_us, (None, None))) for bar in added for tick in bar.ticks]
        insert_bars(self.connection, symbol, ticks, [bar.kept for bar in added], self._received_at)
        changed = [_changed(symbol, day, moment_of(tick.tick.time_us), tick.day_volume) for tick in ticks]
        return changed + self._correct(
            symbol, day, later, computed, {time: total for time, (total, _) in carried.items()}
        )

    def continue_totals(self, symbol: str, day: _TradingDay, start_us: int) -> list[Day]:
        """Recompute the running totals of stored bars after ticks around them changed."""
        carriers = later_bars(self.connection, symbol, start_us - start_us % MINUTE_US, day[1])
        if not carriers:
            return []
        computed = self._totals(symbol, day, carriers, {})
        totals = {carrier.time_us: total for carrier, total in zip(carriers, computed.totals, strict=True)}
        return self._correct(symbol, day, carriers, computed, totals)

    def _totals(
        self, symbol: str, day: _TradingDay, carriers: Sequence[Carrier], stored: Mapping[int, MinuteSummary | None]
    ) -> CarrierTotals:
        around = totals_around(self.connection, symbol, carriers, day)
        older, had_totals = totals_before(self.connection, symbol, day[0])
        known = any(total is not None for totals in around for total in totals)
        plain = [summary.volume if (summary := stored.get(carrier.minute_us)) else 0.0 for carrier in carriers]
        bars = [
            BarTotals(carrier.volume, *totals, its_plain)
            for carrier, totals, its_plain in zip(carriers, around, plain, strict=True)
        ]
        return carrier_totals(bars, from_zero=older and (known or had_totals))

    def _correct(
        self,
        symbol: str,
        day: _TradingDay,
        stored: Sequence[Carrier],
        computed: CarrierTotals,
        totals: Mapping[int, float | None],
    ) -> list[Day]:
        """Set the new totals of stored carriers; carriers without a new total are unchanged."""
        if computed.base is not None:
            return []
        changed = []
        for carrier in stored:
            total = totals[carrier.time_us]
            if total is not None:
                correct_carrier(self.connection, symbol, carrier, total, None)
                changed.append(_changed(symbol, day, moment_of(carrier.time_us), total))
        return changed


def _with_ticks(bar: Bar, parts: Spans, stored: MinuteSummary | None) -> _BarWithTicks:
    ticks = [] if not parts or (stored and stored.recorded) else ticks_of(bar, parts, stored)
    return _BarWithTicks(bar, parts, stored, ticks)


def _changed(symbol: str, day: _TradingDay, time: datetime, total: float | None) -> Day:
    return Day(symbol, *day, time, time, 0.0 if total is None else total)


def _joined(bars: Sequence[Bar], interval_us: int) -> list[tuple[int, int]]:
    """Return the time of ascending bars, neighbours as one span: thousands of spans take a second to send."""
    spans: list[tuple[int, int]] = []
    for bar in bars:
        if spans and spans[-1][1] == bar.minute_us:
            spans[-1] = (spans[-1][0], bar.minute_us + interval_us)
        else:
            spans.append((bar.minute_us, bar.minute_us + interval_us))
    return spans
