"""Writes bars as ticks, with running totals, so that candles and volumes follow from them as from any tick."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from candleworks import clock
from candleworks.candles.bar_ticks import ticks_of
from candleworks.candles.bar_totals import BarTotals, Laid, lay
from candleworks.database.connection import Connection
from candleworks.model.bars import BAR_ORIGIN, MINUTE_US, Bar, BarTick, MinuteSummary, Spans, within
from candleworks.model.trades import microseconds_of, moment_of
from candleworks.model.trading_day import trading_day
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
from candleworks.storage.trades import Day, TradeStore, ZoneOf


class _Placed(NamedTuple):
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
    """Writes through a connection on which the caller has begun a transaction; `prepare` belongs before it.

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
        """Make room for the bars."""
        self.prepare_from([bar.minute_us for bar in bars])

    def prepare_from(self, starts_us: Sequence[int]) -> None:
        """Make room for bars that begin then."""
        self._store.prepare(starts_us)

    def write(self, symbol: str, bars: Sequence[Bar], gaps: Spans) -> None:
        """Store bars inside `gaps`, in place of the bars that their minutes hold so far.

        A minute in whose gap ticks of a recording stand has no need of a bar and gets none.
        """
        parts = {bar.minute_us: within(gaps, bar.minute_us, bar.minute_us + MINUTE_US) for bar in bars}
        removed = remove_bars(self.connection, symbol, parts)
        if minutes := [(minute, minute + MINUTE_US) for minute in sorted(parts)]:
            removed += remove_overlapping_bars(self.connection, symbol, minutes)
        stored = summarise_minutes(self.connection, symbol, parts)
        placed = [_place(bar, parts[bar.minute_us], stored.get(bar.minute_us)) for bar in bars]
        by_day = self._by_day(symbol, [bar for bar in placed if bar.ticks], removed)
        for day, (bars_of_day, removed_of_day) in sorted(by_day.items()):
            self._write_day(symbol, day, bars_of_day, removed_of_day)

    def write_new(self, symbol: str, bars: Sequence[Bar], interval_us: int, traded: Mapping[int, Spans]) -> None:
        """Store bars that are `interval_us` long, in order, where neither ticks nor bars as fine are stored.

        `traded` tells by a bar's beginning where its ticks may stand. Longer bars give way. Where the symbol has no
        running totals, volumes are stored as they are.
        """
        whole = {bar.minute_us: [(bar.minute_us, bar.minute_us + interval_us)] for bar in bars}
        removed = remove_overlapping_bars(self.connection, symbol, [span for spans in whole.values() for span in spans])
        placed = [_Placed(b, whole[b.minute_us], None, ticks_of(b, traded[b.minute_us], None)) for b in bars]
        if not removed and not has_totals(self.connection, symbol):
            carried = {bar.carrier.time_us: bar.bar.volume for bar in placed}
            ticks = [PricedTick(t, None, carried.get(t.time_us)) for bar in placed for t in bar.ticks]
            insert_bars(self.connection, symbol, ticks, [bar.kept for bar in placed], self._received_at)
            return
        for day, (bars_of_day, removed_of_day) in sorted(self._by_day(symbol, placed, removed).items()):
            self._write_day(symbol, day, bars_of_day, removed_of_day)

    def follow_up(self) -> None:
        """Look again at the days of bars that were written not long ago.

        Ticks that came since without meeting them make them give way, or bring the running total that they continue to.
        Symbols that another process fills are left to it: two that change the ticks of one would wait for each other.
        """
        for found in read_followups(self.connection, clock.now()):
            with locked_symbol(self.connection, found.symbol) as held:
                if held:
                    self._follow_up(found)

    def _follow_up(self, found: Followup) -> None:
        changed = self._store.replace_bars([(found.symbol, found.first, found.last)])
        day = (found.day_start, found.day_end)
        changed += self.lay_again(found.symbol, day, microseconds_of(found.first))
        self._store.recompute_volumes([*changed, Day(found.symbol, *day, found.first, found.last, found.top or 0.0)])
        if found.settled:
            settle_followup(self.connection, found)

    def _by_day(
        self, symbol: str, placed: Sequence[_Placed], removed: Sequence[RemovedTick]
    ) -> dict[_TradingDay, tuple[list[_Placed], list[RemovedTick]]]:
        zone = self.zone_of(symbol)
        days: dict[_TradingDay, tuple[list[_Placed], list[RemovedTick]]] = {}
        for bar in placed:
            days.setdefault(trading_day(moment_of(bar.carrier.time_us), zone), ([], []))[0].append(bar)
        for tick in removed:
            days.setdefault(trading_day(tick[1], zone), ([], []))[1].append(tick)
        return days

    def _write_day(
        self, symbol: str, day: _TradingDay, placed: Sequence[_Placed], removed: Sequence[RemovedTick]
    ) -> None:
        changed = [_changed(symbol, day, time, total) for _, time, total in removed]
        if placed:
            changed += self._insert(symbol, day, placed)
            first, last = (moment_of(at.ticks[index].time_us) for at, index in ((placed[0], 0), (placed[-1], -1)))
            top = max(change.top for change in changed)
            follow_up(self.connection, Day(symbol, *day, first, last, top))
        self._store.recompute_volumes(changed)

    def _insert(self, symbol: str, day: _TradingDay, placed: Sequence[_Placed]) -> list[Day]:
        new = {bar.bar.minute_us: bar for bar in placed}
        later = later_bars(self.connection, symbol, placed[0].bar.minute_us, day[1])
        carriers = sorted([bar.carrier for bar in placed] + later)
        laid = self._lay(symbol, day, carriers, {minute: bar.stored for minute, bar in new.items()})
        carried = {
            carrier.time_us: (total, volume)
            for carrier, total, volume in zip(carriers, laid.totals, laid.volumes, strict=True)
        }
        if laid.base is not None and len(placed[0].ticks) > 1:
            carried[placed[0].ticks[0].time_us] = (laid.base, None)
        ticks = [PricedTick(tick, *carried.get(tick.time_us, (None, None))) for bar in placed for tick in bar.ticks]
        insert_bars(self.connection, symbol, ticks, [bar.kept for bar in placed], self._received_at)
        changed = [_changed(symbol, day, moment_of(tick.tick.time_us), tick.day_volume) for tick in ticks]
        return changed + self._correct(symbol, day, later, laid, {time: total for time, (total, _) in carried.items()})

    def lay_again(self, symbol: str, day: _TradingDay, start_us: int) -> list[Day]:
        """Continue the running total through stored bars anew, now that other ticks stand around them."""
        carriers = later_bars(self.connection, symbol, start_us - start_us % MINUTE_US, day[1])
        if not carriers:
            return []
        laid = self._lay(symbol, day, carriers, {})
        totals = {carrier.time_us: total for carrier, total in zip(carriers, laid.totals, strict=True)}
        return self._correct(symbol, day, carriers, laid, totals)

    def _lay(
        self, symbol: str, day: _TradingDay, carriers: Sequence[Carrier], stored: Mapping[int, MinuteSummary | None]
    ) -> Laid:
        around = totals_around(self.connection, symbol, carriers, day)
        older, had_totals = totals_before(self.connection, symbol, day[0])
        known = any(total is not None for totals in around for total in totals)
        plain = [summary.volume if (summary := stored.get(carrier.minute_us)) else 0.0 for carrier in carriers]
        bars = [
            BarTotals(carrier.volume, *totals, its_plain)
            for carrier, totals, its_plain in zip(carriers, around, plain, strict=True)
        ]
        return lay(bars, from_zero=older and (known or had_totals))

    def _correct(
        self,
        symbol: str,
        day: _TradingDay,
        stored: Sequence[Carrier],
        laid: Laid,
        totals: Mapping[int, float | None],
    ) -> list[Day]:
        """Give carriers that are stored already their new totals; without totals they keep what they have."""
        if laid.base is not None:
            return []
        changed = []
        for carrier in stored:
            total = totals[carrier.time_us]
            if total is not None:
                correct_carrier(self.connection, symbol, carrier, total, None)
                changed.append(_changed(symbol, day, moment_of(carrier.time_us), total))
        return changed


def _place(bar: Bar, parts: Spans, stored: MinuteSummary | None) -> _Placed:
    ticks = [] if not parts or (stored and stored.recorded) else ticks_of(bar, parts, stored)
    return _Placed(bar, parts, stored, ticks)


def _changed(symbol: str, day: _TradingDay, time: datetime, total: float | None) -> Day:
    return Day(symbol, *day, time, time, 0.0 if total is None else total)
